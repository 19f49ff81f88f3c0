"""What a user can mend is one line and status 2; everything else keeps its traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from torch._utils import ExceptionWrapper

from pipeline.core.errors import CAUSE_FILE, SHOW_TRACEBACK, InputError, input_error_in, one_sentence
from pipeline.core.project import ROOT

MISTAKE = 'raise InputError("case a: is damaged; copy it again.")'
WRAPPED = f"""
try:
    {MISTAKE}
except InputError as error:
    raise RuntimeError("Failed to instantiate") from error
"""


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process that reports plainly and then runs the script."""
    preamble = "from pipeline.core.errors import InputError, report_plainly\nreport_plainly()\n"
    kept = {name: value for name, value in os.environ.items() if name != SHOW_TRACEBACK}
    command = [sys.executable, "-c", preamble + script]
    return subprocess.run(command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", [MISTAKE, WRAPPED], ids=["raised", "the cause of another error"])
def test_an_input_error_is_one_line(script):
    assert run(script).stderr == "error: case a: is damaged; copy it again.\n"


@pytest.mark.parametrize("script", [MISTAKE, WRAPPED], ids=["raised", "the cause of another error"])
def test_an_input_error_exits_with_status_2(script):
    assert run(script).returncode == 2


def test_another_error_keeps_its_traceback_and_status_1():
    ended = run('raise ValueError("a bug")')
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.endswith("ValueError: a bug\n")


def test_the_traceback_is_shown_on_demand():
    stderr = run(WRAPPED, **{SHOW_TRACEBACK: "1"}).stderr
    assert stderr.startswith("Traceback")
    assert stderr.endswith("RuntimeError: Failed to instantiate\n")


def test_a_process_without_errors_ends_well():
    assert run('print("done")').returncode == 0


def test_an_input_error_of_a_loader_worker_is_one_sentence():
    try:
        raise InputError("case a: is damaged; copy it again.")
    except InputError:
        # How a worker hands its error over
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(InputError, match="Original Traceback") as caught:
        wrapped.reraise()
    assert one_sentence(caught.value) == "case a: is damaged; copy it again."


def test_errors_that_cause_each_other_hold_no_input_error():
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert input_error_in(one) is None


def test_ctrl_c_is_one_line_and_the_shells_status():
    stopped = run("raise KeyboardInterrupt")
    assert (stopped.returncode, stopped.stderr) == (130, "stopped; the same command goes on from here.\n")


def test_ctrl_c_is_told_once_by_the_command_that_waits(tmp_path):
    cause = tmp_path / "cause.txt"
    stopped = run("raise KeyboardInterrupt", **{CAUSE_FILE: str(cause)})
    assert (stopped.returncode, stopped.stderr, cause.read_text()) == (130, "", "interrupted")
