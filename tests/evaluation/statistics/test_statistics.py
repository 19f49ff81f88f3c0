"""What the tables of intervals and comparisons say, in one sentence each."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from commands import run_command

from evaluation.measures.cases import COLUMNS, write_metrics_csv
from evaluation.statistics import intervals
from evaluation.statistics.comparison import Comparison
from evaluation.statistics.intervals import Estimate, estimate
from evaluation.statistics.paired import signed_rank, smallest_p
from evaluation.statistics.verdicts import (
    SMALL_SAMPLES,
    comparison_table,
    estimate_table,
    run_estimates,
    verdict,
    verdicts,
)
from pipeline.core.project import program


def comparison(differences, family=1, structure="infection"):
    """Of runs `a` and `b`, as one of `family` equal comparisons."""
    test = signed_rank(differences)
    median = Estimate(float(np.median(differences)), -0.01, 0.08, len(differences)) if len(differences) else None
    return Comparison(
        *("a", "b", "dice", structure, len(differences), 0),
        median or estimate([]),
        test,
        None if test.p is None else min(1.0, family * test.p),
        min(1.0, family * smallest_p(test.differing)),
    )


def run(dice):
    """A run of one case a patient: infection of the given Dice, lungs of 0.9."""
    values = {"infection": dice, "lungs": [0.9] * len(dice)}
    return {
        (f"case_{number}", 0, structure): dict.fromkeys(COLUMNS, 1)
        | {"case": f"case_{number}", "patient_id": f"case_{number}", "fold": 0, "structure": structure, "dice": value}
        for structure, mine in values.items()
        for number, value in enumerate(mine)
    }


def test_too_few_pairs_are_said_to_show_nothing():
    assert verdict(comparison([0.1, 0.2, 0.3, 0.4, 0.5])) == (
        "Dice of infection, a and b: with 5 differing pair(s) the smallest possible two-sided p is 0.0625, so no "
        "difference, however large, can be significant at 5 %, and none found shows nothing."
    )


def test_the_smallest_p_is_that_of_the_pairs_that_differ():
    assert "with 3 differing pair(s) the smallest possible two-sided p is 0.25" in verdict(comparison([0, 0, 1, 2, 3]))


def test_too_many_comparisons_are_said_to_show_nothing():
    said = verdict(comparison(np.arange(1, 7) / 10, family=6))
    assert "two-sided p is 0.03125, and 0.1875 after Holm's correction for so many comparisons" in said


def test_a_difference_is_told_with_its_direction():
    said = verdict(comparison(-np.arange(1, 9) / 100))
    assert said.startswith("Dice of infection, a and b: b is higher (p 0.0078 after Holm's correction, 8 pairs)")


def test_no_difference_is_not_called_equality():
    said = verdict(comparison([0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8]))
    assert "no difference is shown" in said
    assert (
        "does not make them equal: the interval of the median difference, uncorrected, goes from -0.010 to +0.080"
        in said
    )


def test_equal_runs_are_called_equal():
    assert verdict(comparison([0.0, 0.0])).endswith("the two are equal in each of 2 patient(s).")


def test_no_pair_at_all_is_said():
    assert verdict(comparison([])).endswith("no patient has a defined value in both, so nothing can be compared.")


def test_comparisons_that_show_the_same_share_a_sentence():
    both = [comparison([0.1, 0.2], structure=name) for name in ("lungs", "infection")]
    (said,) = verdicts(both)
    assert said.startswith("Dice of lungs, a and b; Dice of infection, a and b: with 2 differing")


def test_the_comparison_table_has_a_line_each():
    line = comparison_table([comparison(np.arange(1, 9) / 100)]).splitlines()[2]
    assert line.split() == [
        "a",
        "-",
        "b",
        "infection",
        "8",
        "+0.045",
        "-0.010",
        "to",
        "+0.080",
        "+1.000",
        "0.0078",
        "0.0078",
    ]


def test_the_notes_say_how_many_cases_were_left_out():
    one = dataclasses.replace(comparison([0.1, 0.2]), left_out=3)
    assert "left out (3 in all)" in " ".join(comparison_table([one]).split())


def test_mean_and_median_are_over_patients():
    mean, median = run_estimates(run([0.2, 0.6, 0.7]), "dice", "infection")
    assert (mean.value, median.value, mean.patients) == (pytest.approx(0.5), 0.6, 3)


def test_a_missing_interval_is_explained():
    text = estimate_table({"a": run([0.2, 0.6])}, "dice", ["infection"])
    assert "- No interval of the mean of infection, a: an interval needs 3 patients, there are 2." in text


@pytest.fixture
def two_runs(tmp_path):
    dice = {"enet": [0.5, 0.6, 0.7, 0.4, 0.55, 0.65], "unet": [0.6, 0.72, 0.8, 0.41, 0.7, 0.69]}
    for name, values in dice.items():
        write_metrics_csv(run(values).values(), tmp_path / name / "cv" / "metrics.csv")
    return [str(tmp_path / name / "cv") for name in dice]


@pytest.fixture
def printed(capsys, monkeypatch):
    """What the command prints."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the command sets it; put it back afterwards

    def of(*arguments):
        run_command("statistics", *arguments)
        return capsys.readouterr().out

    return of


def test_the_command_prints_both_tables(printed, two_runs):
    text = printed(*two_runs)
    assert "Dice over patients" in text
    assert "Differences in Dice, paired by patient" in text


def test_the_command_compares_the_structure_that_is_asked_for_alone(printed, two_runs):
    text = printed(*two_runs, "--structure", "infection")
    assert "lungs" not in text
    assert "corrected over the 1 comparison(s)" in " ".join(text.split())


def test_one_run_has_intervals_alone(printed, two_runs):
    assert "Differences" not in printed(two_runs[0])


def test_the_tables_stay_within_a_hundred_characters(printed, two_runs):
    assert max(map(len, printed(*two_runs).splitlines())) <= 100


def test_the_command_tells_of_a_missing_run_in_one_line(tmp_path):
    command = program("statistics", str(tmp_path / "gone"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == f"error: {tmp_path / 'gone'}: there is no such file; check the path.\n"


@pytest.mark.slow
@pytest.mark.parametrize(("patients", "share"), SMALL_SAMPLES.items())
def test_intervals_of_few_patients_hold_the_mean_as_often_as_stated(monkeypatch, patients, share):
    monkeypatch.setattr(intervals, "RESAMPLES", 999)
    draw, shape = np.random.default_rng(patients), (1000, patients)
    samples = np.where(draw.random(shape) < 0.15, draw.beta(1, 9, shape), draw.beta(16, 4, shape))
    found = [estimate(sample) for sample in samples]
    held = np.mean([one.low <= 0.15 * 0.1 + 0.85 * 0.8 <= one.high for one in found])
    assert held == pytest.approx(share, abs=0.01)
