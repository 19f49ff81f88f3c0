"""Threads that wait briefly: what is set, what is left as the user has it, and that torch's library takes it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pipeline.core.project import ROOT
from pipeline.core.waiting import SETTINGS, wait_briefly

NAMES = {*SETTINGS, "OMP_WAIT_POLICY"}
WITHOUT = {name: value for name, value in os.environ.items() if name not in NAMES}
# OpenMP libraries print their settings when they are loaded
SHOW = {"OMP_DISPLAY_ENV": "VERBOSE"}


def loaded(code: str, **own: str) -> str:
    """What OpenMP libraries told of themselves in a process."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env={**WITHOUT, **SHOW, **own}, capture_output=True, text=True).stderr


def test_what_is_not_set_is_set() -> None:
    environment = {"GOMP_SPINCOUNT": "7"}
    wait_briefly(environment)
    assert environment == {**SETTINGS, "GOMP_SPINCOUNT": "7"}


def test_a_policy_of_the_user_stands() -> None:
    environment = {"OMP_WAIT_POLICY": "PASSIVE"}
    wait_briefly(environment)
    assert environment == {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.skipif("GOMP_SPINCOUNT" not in loaded("import torch"), reason="torch has another OpenMP here than GNU's")
@pytest.mark.parametrize(("own", "spins"), [({}, SETTINGS["GOMP_SPINCOUNT"]), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_torch_is_loaded_with_it(own: dict[str, str], spins: str) -> None:
    """By any module of the project, since its package comes first."""
    assert f"GOMP_SPINCOUNT = '{spins}'" in loaded("import pipeline.core.machine", **own)


def test_make_sets_the_same() -> None:
    asked = "include Makefile\nshown:\n\t@env\n"
    for own, expected in (({}, SETTINGS), ({"GOMP_SPINCOUNT": "7"}, {**SETTINGS, "GOMP_SPINCOUNT": "7"})):
        command = ["make", "--silent", "-f", "-", "shown"]
        told = subprocess.run(command, cwd=ROOT, env={**WITHOUT, **own}, input=asked, capture_output=True, text=True)
        lines = told.stdout.splitlines()
        assert {name: value for name, _, value in (line.partition("=") for line in lines) if name in NAMES} == expected
    told = subprocess.run(
        ["make", "--silent", "-f", "-", "shown"],
        cwd=ROOT, env={**WITHOUT, "OMP_WAIT_POLICY": "PASSIVE"}, input=asked, capture_output=True, text=True,
    )  # fmt: skip
    assert not any(line.startswith(tuple(SETTINGS)) for line in told.stdout.splitlines())
