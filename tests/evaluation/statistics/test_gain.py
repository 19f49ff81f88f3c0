"""The comparison of a semi-supervised run with the supervised one, on hand-made tables."""

from __future__ import annotations

import csv

import pytest
from report_makers import rows

from evaluation.measures.cases import write_metrics_csv
from evaluation.statistics.gain import COLUMNS, write_gain
from pipeline.core.errors import InputError

SUPERVISED = [0.5, 0.6, 0.7, 0.4, 0.55, 0.65]
BETTER = [dice + more for dice, more in zip(SUPERVISED, (0.01, 0.02, 0.03, 0.04, 0.05, 0.06), strict=True)]


@pytest.fixture
def compared(tmp_path):
    """Compares two lists of Dice; gives the text and the table's row."""

    def write(semi, supervised=SUPERVISED, remarks=()):
        for name, dice in (("semi", semi), ("cv", supervised)):
            write_metrics_csv(rows(dice), tmp_path / name / "metrics.csv")
        text = write_gain(tmp_path / "semi", tmp_path / "cv", remarks)
        with (tmp_path / "semi" / "comparison.csv").open(newline="") as table:
            (row,) = csv.DictReader(table)
        return text, row

    return write


def test_the_difference_is_semi_supervised_less_supervised(compared):
    assert float(compared(BETTER)[1]["mean_difference"]) == pytest.approx(0.035)


def test_the_interval_holds_the_difference(compared):
    row = compared(BETTER)[1]
    low, high = float(row["mean_difference_low"]), float(row["mean_difference_high"])
    assert 0.01 < low < 0.035 < high < 0.06


def test_the_test_is_paired_by_patient(compared):
    # All of six patients better: the smallest p there is
    assert float(compared(BETTER)[1]["p"]) == pytest.approx(2 / 2**6)


def test_a_worse_run_is_said_to_be_worse(compared):
    text, row = compared([dice - 0.1 * number for number, dice in enumerate(SUPERVISED, 1)], SUPERVISED)
    assert float(row["mean_difference"]) < 0
    assert "supervised is higher" in text


def test_equal_runs_have_no_interval_and_no_p(compared):
    row = compared(SUPERVISED)[1]
    assert (row["mean_difference_low"], row["p"]) == ("", "")


def test_the_table_has_its_columns(compared):
    assert tuple(compared(BETTER)[1]) == COLUMNS


def test_remarks_are_in_the_text(compared, tmp_path):
    text, _ = compared(BETTER, remarks=["Three scans."])
    assert "- Three scans." in text
    assert (tmp_path / "semi" / "comparison.txt").read_text() == text + "\n"


def test_runs_of_other_cases_are_refused(compared):
    with pytest.raises(InputError, match="case case_5"):
        compared(BETTER[:5])
