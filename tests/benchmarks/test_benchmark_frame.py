"""Contestants run in turn, each in its own process, and the table says what was met."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from benchmarks.__main__ import benchmark
from benchmarks.contest import GIB, TUNED_ALLOCATOR, Contestant, run_alternately
from benchmarks.machine_name import machine
from benchmarks.row import Row, shown, table
from benchmarks.settings import Settings
from pipeline.core.errors import InputError

MEBI = 2**20


def contestant(function: str, **arguments: object) -> Contestant:
    return Contestant("some", f"test_benchmark_frame:{function}", arguments, {"PYTHONPATH": os.path.dirname(__file__)})


def allocating(mebibytes: int):
    return lambda: {"length": len(bytearray(mebibytes * MEBI))}


def telling_the_allocator():
    return lambda: {name: int(name in os.environ) for name in TUNED_ALLOCATOR}


def failing():
    raise ValueError("a reason")


def test_what_the_measured_part_returns_is_kept():
    assert run_alternately([contestant("allocating", mebibytes=2)], 1)["some"].numbers == {"length": 2 * MEBI}


def test_peak_memory_is_that_of_the_process():
    both = [replace(contestant("allocating", mebibytes=size), name=f"{size} MiB") for size in (201, 1)]
    large, small = run_alternately(both, 1).values()
    assert (large.peak_gib - small.peak_gib) * GIB == pytest.approx(200 * MEBI, rel=0.1)


def test_allocator_settings_of_the_caller_are_no_contestants(monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "0")
    assert run_alternately([contestant("telling_the_allocator")], 1)["some"].numbers == dict.fromkeys(
        TUNED_ALLOCATOR, 0
    )


def test_allocator_settings_of_a_contestant_are_its_own():
    tuned = replace(contestant("telling_the_allocator"), name="tuned")
    tuned = replace(tuned, environment={**tuned.environment, **TUNED_ALLOCATOR})
    found = run_alternately([tuned, contestant("telling_the_allocator")], 1)
    assert found["tuned"].numbers == dict.fromkeys(TUNED_ALLOCATOR, 1)
    assert found["some"].numbers == dict.fromkeys(TUNED_ALLOCATOR, 0)


def test_a_contestant_that_fails_is_named_with_its_reason():
    with pytest.raises(RuntimeError, match=r"some ended with status 1[\s\S]*a reason"):
        run_alternately([contestant("failing")], 1)


def test_the_table_says_how_many_times_and_whether_the_goal_is_met():
    row = Row(1, "fast mode", 5.678, "s", "stock", 31.24, "at least 25 times", True, 1.5)
    assert table([row]).splitlines()[2] == (
        "| 1 | fast mode | 5.68 s | stock | 31.2 | at least 25 times | 1.50 | met |"
    )


@pytest.mark.parametrize(
    ("number", "text"), [(0.0, "0"), (0.01234, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_numbers_are_shown_with_the_digits_that_matter(number, text):
    assert shown(number) == text


def test_the_machine_is_named():
    assert {"cpu", "cores", "torch"} <= machine().keys()


def test_an_unknown_goal_is_refused(tmp_path):
    with pytest.raises(InputError, match="GOALS names 'speed'"):
        benchmark(["speed"], Settings(1, tmp_path, tmp_path), tmp_path)


def test_what_has_taken_long_enough_is_not_repeated(monkeypatch):
    monkeypatch.setattr("benchmarks.contest.ENOUGH_S", 1e-9)
    outcome = run_alternately([contestant("allocating", mebibytes=1)], 3)["some"]
    assert len(outcome.repeats) == 1


def test_another_interpreter_may_run_a_contestant():
    with pytest.raises(FileNotFoundError, match="no_python"):
        run_alternately([replace(contestant("allocating", mebibytes=1), python="no_python")], 1)
