"""What `make help` prints, from the tables of commands and options; of one target with TARGET in the environment."""

from __future__ import annotations

import os
import shlex
import sys
import textwrap
from collections.abc import Iterator

from pneumobundle.commands import GROUPS, TARGETS, Command
from pneumobundle.options import FLAG, Option

WIDTH = 120


def every_target() -> Iterator[str]:
    for group, title in GROUPS.items():
        yield f"{title}:"
        yield from (f"  make {name:<14} {each.what}" for name, each in TARGETS.items() if each.group == group)
        yield ""
    yield "make help TARGET=cv tells the variables of a target."


def one(name: str, command: Command) -> Iterator[str]:
    """What a target does, its variables and their defaults, and how it is called."""
    yield f"make {name}: {command.what}"
    yield ""
    for option in command.every_option:
        if not option.hidden:
            yield f"  {option.variable:<13} {default(option):<28} {meaning(option)}"
    if command.notes:
        yield ""
        yield from textwrap.wrap(command.notes, WIDTH, initial_indent="  ", subsequent_indent="  ")
    if command.examples:
        yield ""
        yield from (f"  make {name}{variables(words, command)}" for words, _ in command.examples)


def default(option: Option) -> str:
    return option.told_default or "none"


def meaning(option: Option) -> str:
    """Of a flag with the number that sets it."""
    return f"{int(not option.default)} {option.meaning}" if option.kind == FLAG else option.meaning


def variables(words: str, command: Command) -> str:
    """An example of the command line as make takes it."""
    options = {option.name: option for option in command.every_option}
    said: dict[str, list[str]] = {}
    name = command.words
    for word in shlex.split(words)[1:]:
        if word.startswith("--"):
            name = word[2:]
            if name.startswith("no-"):
                said[options[name[3:]].variable] = ["0"]
            elif options[name].kind == FLAG:
                said[options[name].variable] = ["1"]
        else:
            said.setdefault(options[name].variable, []).append(word)
            name = command.words
    return "".join(f" {key}={_quoted(' '.join(values))}" for key, values in said.items())


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text or ">" in text else text


def main() -> None:
    wanted = os.environ.get("TARGET", "")
    if wanted and wanted not in TARGETS:
        print(f"error: TARGET is {wanted}, which is no target; `make help` lists them", file=sys.stderr)
        raise SystemExit(2)
    print("\n".join(one(wanted, TARGETS[wanted]) if wanted else every_target()))


if __name__ == "__main__":
    main()
