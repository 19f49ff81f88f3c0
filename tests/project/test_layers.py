"""The house stands as docs/architecture.md says: no wing takes from one above it, and no modules import each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from pipeline.core.project import ROOT

TOPS = ("pipeline", "transforms", "evaluation", "benchmarks", "pneumobundle")
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
# Wing, such as `pipeline/core` -> its floor
FLOORS = {
    wing: int(floor)
    for floor, wings in re.findall(r"^\| (\d+) \| ([^|]+) \|", PAGE, flags=re.MULTILINE)
    for wing in re.findall(r"`([\w/]+)/`", wings)
}


def module_files(root: Path = ROOT) -> dict[str, Path]:
    """Dotted name of every module -> its file; a package is its folder's."""
    files = [file for top in TOPS for file in (root / top).rglob("*.py")]
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports_of(text: str, modules: Mapping[str, object]) -> Iterator[str]:
    """The modules that a module takes from, wherever in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute, so that a line tells where it takes from"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else str(node.module) for name in names)


def wing_of(module: str) -> str:
    """`pipeline.scans.dicom.grid` -> `pipeline/scans`; a folder without wings, such as `transforms`, is one itself."""
    top, _, rest = module.partition(".")
    return f"{top}/{rest.partition('.')[0]}" if top in ("pipeline", "evaluation") and rest else top


def upward(module: str, taken: str) -> str:
    """What is wrong with an import; "" where it stays in its wing or goes down."""
    wing, other = wing_of(module), wing_of(taken)
    if wing == other or FLOORS[other] < FLOORS[wing]:
        return ""
    return f"{module} (floor {FLOORS[wing]}) takes from {taken} (floor {FLOORS[other]})"


MODULES = module_files()
IMPORTS = {
    name: {taken for taken in imports_of(file.read_text(encoding="utf-8"), MODULES) if taken in MODULES} - {name}
    for name, file in MODULES.items()
}


def test_every_module_is_in_a_wing_of_the_table():
    # The folders themselves hold nothing but their __init__.py, three excepted
    without_wings = {"transforms", "benchmarks", "pneumobundle"}
    assert {wing_of(name) for name in MODULES} - set(TOPS) | without_wings == set(FLOORS)


@pytest.mark.parametrize("wing", FLOORS)
def test_a_wing_takes_from_lower_floors_alone(wing):
    pairs = [(name, taken) for name in MODULES if wing_of(name) == wing for taken in sorted(IMPORTS[name])]
    assert [said for pair in pairs if (said := upward(*pair))] == []


@pytest.mark.parametrize("wing", FLOORS)
def test_a_wing_says_what_it_takes_from(wing):
    name = wing.replace("/", ".")
    told = re.search(r"^Takes from: (.*?)\.$", ast.get_docstring(ast.parse(MODULES[name].read_text())), re.M | re.S)
    taken = {wing_of(one) for module in MODULES if wing_of(module) == wing for one in IMPORTS[module]} - {wing}
    assert {*re.findall(r"[a-z_]+(?:/[a-z_]+)?(?=,|$)", told[1].replace("\n", " "))} - {"project"} == taken


@pytest.mark.parametrize("top", ["pipeline", "evaluation"])
def test_nothing_lies_loose(top):
    assert [file.name for file in (ROOT / top).glob("*.py")] == ["__init__.py"]


def test_no_modules_import_each_other():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def test_an_upward_import_is_seen_wherever_it_stands():
    text = "def late():\n    from pipeline.runs import compare\n"
    (taken,) = imports_of(text, MODULES)
    assert upward("pipeline.core.atomic", taken) == (
        "pipeline.core.atomic (floor 1) takes from pipeline.runs.compare (floor 13)"
    )


def test_an_import_from_beside_is_refused_too():
    assert upward("pipeline.networks.enet", "pipeline.losses.focal")
