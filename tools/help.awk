# What `make help` prints, read from the Makefile: behind a target `## what it does: how it is called`, above it
# `#> group: its variables`, a default of its own as in OUT=folder; and once for each variable
# `#: NAME = default | meaning`. With TARGET in the environment: that target and its variables.
function line(name, value, text) { printf "  %-13s %-28s %s\n", name, value, text }

BEGIN {
  groups = split("daily data training several cost sharing project", group)
  split("Daily|Data|Training|Several models, and papers|Costs, and a look inside|Sharing a model|The project", title, "|")
}
/^#: / {
  split(substr($0, 4), half, / +\| +/)
  place = index(half[1], " = ")
  name = place ? substr(half[1], 1, place - 1) : half[1]
  default_of[name] = place ? substr(half[1], place + 3) : ""
  meaning[name] = half[2]
}
/^#> [a-z]+:/ { group_above = substr($2, 1, length($2) - 1); above = "" }
/^#> / { above = above " " substr($0, index($0, ":") ? index($0, ":") + 2 : 4) }
/^[a-z][a-z-]*:.*## / {
  target = substr($0, 1, index($0, ":") - 1)
  text = substr($0, index($0, "## ") + 3)
  place = index(text, ": make ")
  usage[target] = place ? substr(text, place + 2) : "make " target
  what[target] = place ? substr(text, 1, place - 1) : text
  own[target] = above
  of_group[group_above] = of_group[group_above] " " target
  above = ""
}
function all(  g, names, count, i) {
  for (g = 1; g <= groups; g++) {
    print (g > 1 ? "\n" : "") title[g]
    count = split(of_group[group[g]], names, " ")
    for (i = 1; i <= count; i++) printf "  make %-14s %s\n", names[i], what[names[i]]
  }
  print "\nmake help TARGET=cv tells the variables of a target."
}
function one(target,  names, count, i, place, name) {
  print "make " target ": " what[target] "\n\n  " usage[target]
  count = split(own[target], names, " ")
  if (count) print ""
  for (i = 1; i <= count; i++) {
    place = index(names[i], "=")
    name = place ? substr(names[i], 1, place - 1) : names[i]
    line(name, place ? substr(names[i], place + 1) : default_of[name], meaning[name])
  }
}
END {
  wanted = ENVIRON["TARGET"]
  if (wanted == "") all()
  else if (wanted in what) one(wanted)
  else { print "error: TARGET is " wanted ", which is no target; `make help` lists them" > "/dev/stderr"; exit 2 }
}
