"""How far something is: a bar where somebody looks on, lines in a log, events for a program, silence where asked."""

from __future__ import annotations

import fcntl
import itertools
import json
import logging
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from types import SimpleNamespace

import pytest

from pipeline.core import logs
from pipeline.core.progress_bar import BYTES, Form, Progress, duration, form, progress_bar, working
from pipeline.core.project import ROOT

# Five steps on a clock that goes on by a second whenever it is read, and a line in their midst
STEPS = """
import itertools, logging
from pipeline.core import logs, progress_bar
logs.set_up()
clock = itertools.count()
progress_bar.time.monotonic = lambda: next(clock)
for step in progress_bar.progress_bar(range(5), 5, "reading the scans"):
    if step == 3:
        logging.getLogger("pipeline.x").info("a line")
"""


@pytest.fixture(autouse=True)
def asked_for_nothing(monkeypatch, caplog):
    monkeypatch.delenv(logs.ENVIRONMENT, raising=False)
    caplog.set_level(logging.INFO, logger="pipeline.core.progress_bar")


@pytest.fixture
def lines(monkeypatch):
    monkeypatch.setattr("pipeline.core.progress_bar.form", lambda: Form.LINES)


@pytest.fixture
def slow_clock(monkeypatch):
    """A clock that goes on by ten seconds whenever it is read."""
    clock = itertools.count(step=10)
    monkeypatch.setattr("pipeline.core.progress_bar.time", SimpleNamespace(monotonic=lambda: next(clock)))


@pytest.fixture
def on_terminal(monkeypatch):
    monkeypatch.setattr("pipeline.core.progress_bar.on_terminal", lambda: True)


def on_a_terminal(script: str) -> str:
    """What a process draws on a terminal of 80 columns."""
    first, second = pty.openpty()
    fcntl.ioctl(second, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdout=second, stderr=second) as process:
        os.close(second)
        drawn = b""
        while process.poll() is None or drawn == b"":
            try:
                drawn += os.read(first, 4096)
            except OSError:
                # Of Linux, where nobody has the other side open any more
                break
    os.close(first)
    assert process.returncode == 0
    return drawn.decode()


def seen_at_last(drawn: str) -> list[str]:
    """The lines of a terminal after all was drawn; a return to their beginning overwrites them."""
    shown = []
    for line in drawn.replace("\r\n", "\n").split("\n"):
        cells: list[str] = []
        for part in line.split("\r"):
            cells[: len(part)] = part
        shown.append("".join(cells).rstrip())
    return shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (42, "42 s"),
        (60, "1 min"),
        (7 * 60 + 20, "7 min"),
        (3600, "1.0 h"),
        (3.2 * 3600, "3.2 h"),
        (5.4 * 86400, "5.4 days"),
    ],
)
def test_a_duration_is_said_in_its_largest_unit(seconds, words):
    assert duration(seconds) == words


def test_items_pass_the_progress_bar_unchanged():
    assert list(progress_bar("abc", total=3, what="preparing scans")) == ["a", "b", "c"]


def test_a_log_gets_a_line_every_half_minute_with_what_is_left(caplog, lines, slow_clock):
    list(progress_bar(range(9), total=9, what="preparing scans"))
    assert caplog.messages == [
        "preparing scans: 4 of 9, about 50 s left",
        "preparing scans: 8 of 9, about 10 s left",
    ]


def test_what_was_done_before_does_not_count_for_the_pace(caplog, lines, slow_clock):
    with Progress("preparing scans", total=108, done=100) as progress:
        for _ in range(4):
            progress.advance()
    assert caplog.messages == ["preparing scans: 104 of 108, about 40 s left"]


def test_bytes_are_told_in_megabytes(caplog, lines, slow_clock):
    with Progress("a.zip", 500_000_000, BYTES) as progress:
        for _ in range(4):
            progress.advance(100_000_000)
    assert caplog.messages == ["a.zip: 400 of 500 MB, about 10 s left"]


def test_where_nobody_knows_how_far_it_is_the_time_until_now_is_told(caplog, lines, slow_clock):
    with Progress("calibrating", None) as progress:
        for _ in range(4):
            progress.show()
    assert caplog.messages == ["calibrating: 40 s so far"]


def test_where_somebody_else_writes_lines_there_are_none(caplog, lines, slow_clock):
    with Progress("segmenting", 9, with_lines=False) as progress:
        for _ in range(9):
            progress.advance()
    assert caplog.messages == []


def test_a_long_step_is_told_of_while_it_lasts(monkeypatch):
    monkeypatch.setenv(logs.ENVIRONMENT, json.dumps({"as_json": True}))
    monkeypatch.setattr("pipeline.core.progress_bar.EVENT_EVERY_S", 0.01)
    monkeypatch.setattr("pipeline.core.progress_bar.SHOWN_AFTER_S", 0.0)
    told = []
    monkeypatch.setattr(logs, "event", lambda kind, **facts: told.append(facts))
    with working("calibrating"):
        while not told:
            pass
    assert told[0] == {"what": "calibrating", "done": 0, "total": None, "seconds_left": None}


def test_an_error_within_is_raised_and_no_thread_is_left():
    before = threading.active_count()
    with pytest.raises(ValueError, match="a bug"), working("calibrating"):
        raise ValueError("a bug")
    assert threading.active_count() == before


def test_events_have_what_is_left_and_other_facts(monkeypatch, capsys, slow_clock):
    monkeypatch.setenv(logs.ENVIRONMENT, json.dumps({"as_json": True}))
    with Progress("epoch 1", 4) as progress:
        progress.advance(loss=0.5)
    told = json.loads(capsys.readouterr().out)
    del told["at"]
    assert told == {"event": "progress", "what": "epoch 1", "done": 1, "total": 4, "seconds_left": 30.0, "loss": 0.5}


def test_there_is_at_most_one_event_a_second(monkeypatch, capsys):
    monkeypatch.setenv(logs.ENVIRONMENT, json.dumps({"as_json": True}))
    clock = itertools.count(step=0.25)
    monkeypatch.setattr("pipeline.core.progress_bar.time", SimpleNamespace(monotonic=lambda: next(clock)))
    list(progress_bar(range(20), 20, "reading"))
    # After 2 s the first, within 5 s
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_terminal_gets_a_bar(on_terminal):
    assert form() is Form.BAR


@pytest.mark.parametrize(
    ("asked", "expected"),
    [({"quiet": True}, Form.NONE), ({"as_json": True}, Form.EVENTS), ({"bars": False}, Form.LINES)],
)
def test_a_terminal_gets_no_bar_where_that_was_asked_for(monkeypatch, on_terminal, asked, expected):
    monkeypatch.setenv(logs.ENVIRONMENT, json.dumps(asked))
    assert form() is expected


def test_of_the_processes_of_a_training_the_first_one_tells(monkeypatch, on_terminal):
    monkeypatch.setenv("RANK", "1")
    assert form() is Form.NONE


def test_a_notebook_gets_a_bar(monkeypatch):
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert form() is Form.BAR


def test_a_notebook_without_widgets_is_not_warned_of_it():
    script = (
        "import sys, types, warnings\nwarnings.simplefilter('error')\n"
        "shell = types.SimpleNamespace(config={'IPKernelApp': {}})\n"
        "sys.modules['IPython'] = types.SimpleNamespace(get_ipython=lambda: shell)\n"
        "sys.modules['ipywidgets'] = None\n"
        "from pipeline.core import progress_bar\nprogress_bar.SHOWN_AFTER_S = 0\n"
        "print(list(progress_bar.progress_bar(range(2), 2, 'reading')))"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "[0, 1]\n")
    assert "reading:   0%" in ended.stderr


def test_a_bar_is_drawn_on_a_terminal_and_gone_at_the_end():
    drawn = on_a_terminal(STEPS)
    assert "reading the scans:  60%" in drawn
    assert [line[9:] for line in seen_at_last(drawn) if line] == ["a line"]


def test_nothing_is_drawn_of_what_ends_within_two_seconds():
    assert on_a_terminal(STEPS.replace("itertools.count()", "itertools.count(step=0.1)"))[9:] == "a line\r\n"
