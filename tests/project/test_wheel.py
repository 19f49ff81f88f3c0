"""The wheel: all that is needed at run time is in it, under one name. `tools/try_wheel.sh` builds and uses it."""

from __future__ import annotations

import re
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from pipeline.bundle_files.package import Module, foreign_imports, module_of, relative_imports
from pipeline.core.commit import BUILT_FROM, commit
from pipeline.core.configuration import load
from pipeline.core.project import FOLDERS, PROJECT, ROOT, inner_name
from pipeline.core.run_files import DATA_LICENCE_FILE
from pipeline.inference.members import find_members
from pipeline.inference.starter_model import STARTER, starter_folder, starter_model
from pneumobundle.commands import COMMANDS

MODULES = [
    Module(".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), file)
    for folder in (*FOLDERS, PROJECT)
    for file in sorted((ROOT / folder).rglob("*.py"))
]
SETTINGS = ConfigParser()
SETTINGS.read(ROOT / "setup.cfg", encoding="utf-8")


def listed(text: str) -> set[str]:
    """Names of the distributions of a list of requirements."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {re.split(r"[^\w-]", line)[0].lower().replace("_", "-") for line in lines}


def listed_files(patterns: str) -> set[str]:
    return {file.relative_to(ROOT).as_posix() for pattern in patterns.split() for file in ROOT.glob(pattern)}


def test_all_that_is_imported_is_asked_for():
    distributions = packages_distributions()
    asked = listed(SETTINGS["options"]["install_requires"])
    # monai[fire,ignite,...]
    asked |= {"fire", "pytorch-ignite", "tensorboard", "tqdm"}
    optional = set().union(*(listed(text) for text in SETTINGS["options.extras_require"].values()))
    names = foreign_imports(module for module in MODULES if module.name.partition(".")[0] != PROJECT) | {"click"}
    known = {name: {each.lower().replace("_", "-") for each in distributions.get(name, [name])} for name in names}
    assert [
        name for name, by in known.items() if not by & (asked | optional | {"huggingface-hub", "indexed-gzip"})
    ] == []


def test_every_file_that_is_no_code_is_in_it():
    patterns = {
        (ROOT / inner_name(package).replace(".", "/") if inner_name(package) else ROOT / package, pattern)
        for package, text in SETTINGS["options.package_data"].items()
        for pattern in text.split()
    }
    packed = {file for folder, pattern in patterns for file in folder.glob(pattern)}
    there = {
        file
        for folder in (*FOLDERS, PROJECT)
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix != ".py" and "__pycache__" not in file.parts
    }
    assert there == packed


def test_the_starter_model_is_in_it_whole_and_small():
    folder = starter_folder()
    assert starter_model().parent == folder
    assert {member.configuration.parent for member in find_members(starter_model())} == {folder}
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 12e6
    assert '"models"' in (ROOT / "setup.py").read_text(encoding="utf-8")
    assert "graft models" in (ROOT / "MANIFEST.in").read_text(encoding="utf-8")


def test_it_says_both_licences():
    terms = (starter_folder() / DATA_LICENCE_FILE).read_text(encoding="utf-8")
    weights = load([STARTER])["weights_licence"]
    assert weights in terms
    assert SETTINGS["metadata"]["license"] == f"Apache-2.0 AND {weights.replace(' ', '-')}"
    assert [command.name for command in COMMANDS if weights in command.notes] == ["predict"]
    assert weights in (ROOT / "README.md").read_text(encoding="utf-8")
    assert listed_files(SETTINGS["metadata"]["license_files"]) == {
        "LICENSE",
        f"models/{starter_folder().name}/data_license.txt",
    }


@pytest.mark.parametrize("top", [*FOLDERS, PROJECT])
def test_its_modules_import_one_another_by_its_name_alone(top):
    names = re.compile(rf"^\s*(?:from|import) ({'|'.join(FOLDERS)})\b", re.M)
    for module in MODULES:
        if module.name.partition(".")[0] == top:
            inner = Module(module.name.removeprefix(f"{PROJECT}."), module.file)
            text = relative_imports(inner)
            compile(text, str(module.file), "exec")
            assert not names.search(text), module.name


def test_a_module_of_a_wheel_tells_the_same_imports(tmp_path):
    (tmp_path / "pipeline" / "core").mkdir(parents=True)
    (tmp_path / "pipeline" / "core" / "b.py").touch()
    file = tmp_path / "pipeline" / "a.py"
    for text in ("from pipeline.core.b import C\n", "from .core.b import C\n"):
        file.write_text(text)
        assert set(Module("pipeline.a", file).imports()) == {"pipeline.core.b", "pipeline.core.b.C"}
    assert module_of("pneumobundle.pipeline.core.b.C", tmp_path) == Module(
        "pipeline.core.b", tmp_path / "pipeline/core/b.py"
    )


def test_it_tells_the_commit_that_it_was_built_from(tmp_path: Path):
    (tmp_path / BUILT_FROM).write_text("0123456789ab\n")
    assert commit(tmp_path) == "0123456789ab"
    (tmp_path / BUILT_FROM).write_text("")
    assert commit(tmp_path) is None
