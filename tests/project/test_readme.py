"""What the README and the pages of the documentation say is so."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from pipeline.core.configuration import TRAIN, cascades, merged, networks, presets
from pipeline.core.project import ROOT
from pneumobundle.commands import BY_NAME, OTHER_NAMES, TARGETS
from pneumobundle.options import ALWAYS, OPTIONS

PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "models/chest_ct_starter/README.md"]
PAGES += [f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = "pneumobundle|pipeline|evaluation|transforms|bundles|benchmarks|docs|tests|tools"

# Of the program, and of no table
OTHER_COMMANDS = ("completion",)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


MAKEFILE = read("Makefile").replace("\\\n", " ")
RULES = re.findall(r"^([a-z][a-z_-]*):", MAKEFILE, flags=re.MULTILINE)
PROGRAMS = MAKEFILE.partition("COMMANDS := ")[2].partition("\n")[0].split()


def code(page: str) -> list[str]:
    """Lines of code blocks, without their comments, and what stands in backquotes."""
    text = read(page)
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)).replace("\\\n", " ")
    inline = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [re.sub(r"\s#.*", "", line) for line in blocks.splitlines()] + [" ".join(words.split()) for words in inline]


def make_commands(page: str) -> list[tuple[str, list[str]]]:
    """Target and variables of each command."""
    found = [re.match(r"make ([a-z-]+)(.*)", line) for line in code(page)]
    return [(match[1], re.findall(r" ([A-Z_]+)=", match[2])) for match in found if match]


def paths(page: str) -> list[str]:
    """Those of the project in backquotes; a name alone is in the folder that is named before it in the line."""
    found, folder = [], ""
    for line in read(page).splitlines():
        for word in re.findall(r"`([\w./-]+)`", line):
            if re.match(rf"({FOLDERS})/", word):
                folder = word.rpartition("/")[0]
                found.append(word)
            elif folder and re.fullmatch(r"\w+\.py", word):
                found.append(f"{folder}/{word}")
        folder = ""
    return found


def links(page: str) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", read(page)) if "://" not in link]


def anchors(file: Path) -> list[str]:
    """Of the headings of a page, as GitHub and mkdocs name them."""
    headings = re.findall(r"^#+ (.*)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def leads_somewhere(page: str, link: str) -> bool:
    name, _, anchor = link.partition("#")
    file = (ROOT / page).parent / name if name else ROOT / page
    return file.exists() and (not anchor or anchor in anchors(file))


def module_exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def table_row(page: str, name: str) -> list[str]:
    """The cells of the table row that begins with `name` in backquotes."""
    (row,) = [line for line in read(page).splitlines() if line.startswith(f"| `{name}`")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def numbers(cell: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\.?\d*", cell)]


def make_help(target: str = "") -> str:
    command = ["make", "help", f"TARGET={target}"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout


def variables(target: str) -> set[str]:
    return {option.variable for option in TARGETS[target].every_option}


def command_words(page: str) -> list[list[str]]:
    """The words of each command of the program itself."""
    found = [re.match(r"(?:\S*python -m )?pneumobundle ([a-z].*)", line) for line in code(page)]
    return [shlex.split(match[1]) for match in found if match]


def test_the_readme_is_short():
    assert len(read("README.md").splitlines()) < 150
    assert len(read("README.md")) < 9000


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_is_named_exists(page):
    assert {target for target, _ in make_commands(page)} - {*TARGETS} == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_variable_in_a_command_is_one_of_its_target(page):
    given = [(target, name) for target, names in make_commands(page) for name in names]
    assert [(target, name) for target, name in given if name not in variables(target)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_program_is_one(page):
    for command, *words in command_words(page):
        if command in OTHER_COMMANDS:
            continue
        options = {f"--{option.name}" for option in (*BY_NAME[OTHER_NAMES.get(command, command)].every_option, *ALWAYS)}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options | {"--no-pages", "--help"}


@pytest.mark.parametrize("page", PAGES)
def test_every_module_that_a_command_runs_exists(page):
    named = re.findall(r"python\S* -m ([\w.]+)", "\n".join(code(page)))
    assert [name for name in named if not module_exists(name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page):
    assert [path for path in paths(page) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    assert [link for link in links(page) if not leads_somewhere(page, link)] == []


def test_pictures_are_small():
    sizes = {file.name: file.stat().st_size for file in (ROOT / "docs" / "pictures").iterdir()}
    assert {name: size for name, size in sizes.items() if size > 150_000} == {}


def test_the_makefile_has_a_rule_for_every_target_of_the_table():
    assert sorted({*RULES, *PROGRAMS}) == sorted(TARGETS)
    assert sorted(PROGRAMS) == sorted(name for name, command in TARGETS.items() if command.runs)


def test_make_help_has_a_line_for_every_target():
    assert sorted(re.findall(r"^  make (\S+)  +\S", make_help(), flags=re.MULTILINE)) == sorted(TARGETS)


def test_make_help_begins_with_ten_for_every_day():
    assert len(re.findall(r"^  make ", make_help().split("\n\n")[0], flags=re.MULTILINE)) == 10


def test_make_help_of_a_target_tells_its_variables():
    told = re.findall(r"^  ([A-Z_]+) +\S.*  \S", make_help("predict"), flags=re.MULTILINE)
    assert sorted(told) == sorted(variables("predict") - {"SHARD"})


@pytest.mark.parametrize("target", sorted(name for name, command in TARGETS.items() if not command.runs))
def test_a_rule_of_the_makefile_alone_uses_the_variables_that_its_help_tells(target):
    (found,) = re.findall(rf"^{target}:(.*\n(?:\t.*\n)*)", MAKEFILE, flags=re.MULTILINE)
    text = found.replace("$(USUAL)", MAKEFILE[MAKEFILE.index("USUAL =") :].partition("\n")[0])
    used = {*re.findall(r"\b([A-Z]+)\b(?=[:)\"}])", text)} & {option.variable for option in OPTIONS.values()}
    known = {"help": {"TARGET"}, "setup": {"PYTHON", "TORCH"}, "image": {"TORCH"}}
    assert known.get(target, used - {"PYTHON"}) == variables(target)


def test_make_help_refuses_a_target_that_is_none():
    done = subprocess.run(["make", "help", "TARGET=cvv"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, "TARGET is cvv" in done.stderr) == (2, True)


@pytest.mark.parametrize("preset", presets())
def test_the_table_of_presets_has_the_configured_numbers(preset):
    content = merged(TRAIN, "unet_3d", preset, {}, {})
    _, _, spacing, patch, steps, network = table_row("docs/training.md", preset)
    assert numbers(spacing) == content["spacing_mm"]
    assert numbers(patch) == content["patch_size"]
    assert numbers(steps) == [content["max_epochs"] * content["iterations_per_epoch"]]
    assert numbers(network)[0] == content["network_def"].get("features", [32])[0]


@pytest.mark.parametrize("network", networks())
def test_the_table_of_networks_has_the_parameter_counts(network):
    definition = ConfigParser(merged(TRAIN, network, "paper", {}, {})).get_parsed_content("network_def")
    assert numbers(table_row("README.md", network)[-1]) == [sum(weight.numel() for weight in definition.parameters())]


@pytest.mark.parametrize("cascade", cascades())
def test_the_page_of_networks_names_every_cascade(cascade):
    assert f"make cv NETWORK={cascade}" in read("docs/networks.md")
