"""A case is claimed by one process at a time; what nobody works on any more is claimed anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.core.claims import Claims, each_when_done
from pipeline.core.project import ROOT

HOLD = """
import sys, time
from pipeline.core.claims import Claims, each_when_done
with Claims(sys.argv[1]).held("case") as mine:
    print(bool(mine), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has the case for a minute."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", HOLD, str(tmp_path / "claims")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def claim_of(folder: Path) -> Path:
    (claim,) = (file for file in folder.iterdir() if not file.name.startswith("."))
    return claim


def of_another_machine(folder: Path, age_s: float) -> None:
    """Make the claim in a folder one of a machine that nobody can ask, last touched so long ago."""
    claim = claim_of(folder)
    claim.write_text(json.dumps({**json.loads(claim.read_text()), "host": "elsewhere"}))
    os.utime(claim, (time.time() - age_s,) * 2)


def test_a_free_case_can_be_had(tmp_path):
    with Claims(tmp_path).held("case") as mine:
        assert mine


def test_a_case_that_a_process_holds_cannot_be_had(tmp_path):
    with Claims(tmp_path).held("case"), Claims(tmp_path).held("case") as mine:
        assert not mine


def test_another_case_can_be_had_meanwhile(tmp_path):
    with Claims(tmp_path).held("case"), Claims(tmp_path).held("other") as mine:
        assert mine


def test_what_was_given_back_can_be_had_again(tmp_path):
    for _ in range(2):
        with Claims(tmp_path).held("case") as mine:
            assert mine


def test_a_case_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), Claims(tmp_path).held("case"):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_a_case_of_a_living_process_cannot_be_had(tmp_path, holder):
    with Claims(tmp_path / "claims").held("case") as mine:
        assert not mine


def test_a_case_of_a_process_that_was_killed_can_be_had_at_once(tmp_path, holder):
    holder.kill()
    holder.wait()
    with Claims(tmp_path / "claims").held("case") as mine:
        assert mine


def test_a_case_that_was_taken_over_cannot_be_had_by_a_third(tmp_path, holder):
    holder.kill()
    holder.wait()
    with Claims(tmp_path / "claims").held("case"), Claims(tmp_path / "claims").held("case") as mine:
        assert not mine


def test_nothing_is_left_of_a_case_that_was_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    with Claims(tmp_path / "claims") as claims, claims.held("case"):
        pass
    assert not (tmp_path / "claims").exists()


@pytest.mark.parametrize(("age_s", "free"), [(1, False), (1000, True)], ids=["touched lately", "not for long"])
def test_a_case_of_another_machine_can_be_had_when_it_was_not_touched_for_long(tmp_path, age_s, free):
    with Claims(tmp_path, refresh_s=1000).held("case"):
        of_another_machine(tmp_path, age_s)
        with Claims(tmp_path, stale_s=300).held("case") as mine:
            assert bool(mine) == free


def test_a_claim_that_is_held_is_touched(tmp_path):
    with Claims(tmp_path, refresh_s=0.01).held("case"):
        os.utime(claim_of(tmp_path), (0, 0))
        while claim_of(tmp_path).stat().st_mtime == 0:
            time.sleep(0.01)


def test_a_number_that_another_process_has_now_is_not_taken_for_the_holder(tmp_path, monkeypatch):
    with Claims(tmp_path).held("case"):
        claim = claim_of(tmp_path)
        claim.write_text(json.dumps({**json.loads(claim.read_text()), "started": "1"}))
        with Claims(tmp_path).held("case") as mine:
            assert mine


def test_a_claim_that_is_no_claim_is_somebody_s_until_it_is_old(tmp_path):
    with Claims(tmp_path).held("case"):
        claim_of(tmp_path).write_text("")
        with Claims(tmp_path).held("case") as mine:
            assert not mine


def test_a_folder_with_a_claim_in_it_stays(tmp_path):
    with Claims(tmp_path / "claims").held("case"):
        with Claims(tmp_path / "claims"):
            pass
        assert claim_of(tmp_path / "claims").is_file()


def test_those_that_others_are_at_are_come_back_to_until_they_are_done():
    turns = {"a": [1], "b": [None, None, 2], "c": [None, 3]}
    waited: list[int] = []
    every = each_when_done(["a", "b", "c"], lambda case: turns[case].pop(0), wait_s=0, waiting=waited.append)
    assert list(every) == [("a", 1), ("c", 3), ("b", 2)]
    # Not after the turn in which none was done, and not at the end
    assert waited == [2, 1]


def test_each_case_is_told_before_the_next_is_attempted():
    attempted: list[str] = []
    every = each_when_done(["a", "b"], lambda case: attempted.append(case) or case, wait_s=0)
    assert next(every) == ("a", "a")
    assert attempted == ["a"]


def test_nothing_is_attempted_while_all_wait(monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr("pipeline.core.claims.time.sleep", waits.append)
    answers = iter([None, None, "done"])
    assert list(each_when_done(["a"], lambda _: next(answers), wait_s=7)) == [("a", "done")]
    assert waits == [7, 7]


def test_cases_are_attempted_in_a_pool_too():
    with ThreadPoolExecutor(2) as pool:
        every = each_when_done(list("abcd"), str.upper, 0, pool.map)
        assert list(every) == [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")]


def test_a_case_that_is_held_is_waited_for_until_it_is_given_back(tmp_path):
    claims, other = Claims(tmp_path), Claims(tmp_path).held("case")
    other.__enter__()

    def attempt(case: str) -> int | None:
        with claims.held(case) as claim:
            return claim or None

    every = each_when_done(["free", "case"], attempt, wait_s=0, waiting=lambda _: other.__exit__(None, None, None))
    assert [case for case, _ in every] == ["free", "case"]
