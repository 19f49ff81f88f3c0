"""What a user gives to `make` reaches the program as it is, or is refused before anything runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from monai.bundle import ConfigParser

from pipeline.core.project import ROOT
from pneumobundle.commands import TARGETS
from pneumobundle.options import FLAG, NUMBER, OPTIONS
from pneumobundle.run.defaults import as_monai_reads, path

ODD = [
    "O'Brien", "a b", "ä", "100%", "%j", "$b", "$(b)", "$$", "$x", "@x", "-x", "[x]", "(x)", "{y}", "a & b; c! | d",
    "`z`", 'q"q"', "b\\s", "end\\", "a,b", "1e3", "*", "~", 'all \' " $b `c` \\ (ä) [x] {y} ; & !', "#1 a#b",
]  # fmt: skip
PROGRAMS = sorted(name for name, command in TARGETS.items() if command.runs)
# In place of the environment's Python: what it would run the command with
PRINTS = """#!{python}
import json, os, sys
sys.path.insert(0, {root!r})
from pneumobundle.commands import TARGETS
from pneumobundle.from_make import arguments
assert sys.argv[1:3] == ["-m", "pneumobundle.from_make"], sys.argv
print(json.dumps([*arguments(TARGETS[sys.argv[3]], os.environ)]))
"""
Make = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def make(tmp_path) -> Make:
    """Runs `make` with a Python that prints what the program would be given in place of running it."""
    python, ready = tmp_path / "venv" / "bin" / "python", tmp_path / "venv" / ".ready"
    python.parent.mkdir(parents=True)
    python.write_text(PRINTS.format(python=sys.executable, root=str(ROOT)))
    python.chmod(0o755)
    ready.touch()

    def run(target: str, environment: dict[str, str] | None = None, **given: str) -> subprocess.CompletedProcess[str]:
        words = [f"{name}={value}" for name, value in given.items()]
        command = ["make", "-s", "-o", str(ready), target, f"VENV={tmp_path / 'venv'}", *words]
        own = {**os.environ, **(environment or {})}
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=own, check=False)

    return run


def given(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def read_by_monai(value: str | list[str]) -> object:
    return ConfigParser({"given": as_monai_reads(value)}).get_parsed_content("given")


@pytest.mark.parametrize("value", ODD)
def test_the_program_gets_exactly_what_was_given(make, value):
    assert given(make("predict", INPUT=value)) == [f"--input={value}"]


def test_what_the_environment_gives_is_taken_as_it_is(make):
    assert given(make("predict", {"INPUT": "a$b 'c'"})) == ["--input=a$b 'c'"]


@pytest.mark.parametrize("target", PROGRAMS)
def test_every_variable_of_a_target_becomes_its_option(make, target):
    options = [option for option in TARGETS[target].every_option if not option.hidden]
    said = {option.variable: "7" if option.kind == NUMBER else "a" for option in options if option.kind != FLAG}
    assert given(make(target, **said)) == [
        f"--{option.name}={said[option.variable]}" for option in options if option.kind != FLAG
    ]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"TRUST": "1", "PAGES": "1"}, ["--trust"]),
        ({"TRUST": "0", "PAGES": "0"}, ["--no-pages"]),
        ({"TRUST": "", "PAGES": "", "OUT": " "}, []),
    ],
)
def test_a_flag_is_0_or_anything_else_and_what_is_empty_is_not_given(make, variables, words):
    assert given(make("predict", **variables)) == words


def test_a_variable_of_another_target_is_no_option(make):
    assert given(make("status", FOLDS="3", RUN="a")) == ["--run=a"]


@pytest.mark.parametrize("target", PROGRAMS)
def test_nothing_that_is_given_runs_in_the_shell(make, tmp_path, target):
    evil = f"'; touch {tmp_path}/ran; \" $(touch {tmp_path}/ran) `touch {tmp_path}/ran` $(shell touch {tmp_path}/ran)"
    names = [option.variable for option in OPTIONS.values() if option.name != "python"]
    given(make(target, **dict.fromkeys(names, evil)))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", [*ODD, "runs/unet_3d"])
def test_monai_reads_a_text_as_it_is(value):
    assert read_by_monai(value) == value


def test_monai_reads_several_texts_as_they_are():
    assert read_by_monai(ODD) == ODD


@pytest.mark.parametrize("value", [0, True, None, {"partition": "a#b"}, [1, 2]])
def test_what_is_no_text_stays_what_it_is(value):
    assert as_monai_reads(value) == value


def test_a_path_is_no_option_and_no_reference():
    assert [path(value) for value in ("-x", "@x", "%j", "$b", "a-b")] == ["./-x", "./@x", "./%j", "./$b", "a-b"]
