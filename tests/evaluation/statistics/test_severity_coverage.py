"""Severity of several runs in one table."""

from __future__ import annotations

import re

import pytest
from commands import run_command
from report_makers import row

from evaluation.measures.cases import write_metrics_csv
from evaluation.measures.severity import Severity
from evaluation.statistics.findings import Finding, findings_summary, severity_worth, write_findings
from evaluation.statistics.severity_coverage import severity_coverage
from evaluation.tables.severity_table import severity_row
from pipeline.core.errors import InputError


def findings(*errors):
    """A case an error in percentage points, in two folds, all of grade 1; the first one's is 0 in truth."""
    found = []
    for place, error in enumerate(errors):
        truth = 0.2 if place else 0.0
        prediction = truth + error / 100
        severities = [Severity(share, share, share) for share in (truth, prediction)]
        found.append(Finding(f"case_{place}", place % 2, severity_row(f"case_{place}", *severities), ()))
    return found


def rows(count):
    return [row(f"case_{place}", 0.5, fold=place % 2, patient_id=f"patient_{place}") for place in range(count)]


@pytest.fixture
def make_run(tmp_path):
    def made(name, *errors):
        folder = tmp_path / name
        folder.mkdir()
        write_findings(findings(*errors), folder)
        write_metrics_csv(rows(len(errors)), folder / "metrics.csv")
        return folder

    return made


TEN = (1, 2, 1, 2, 1, 2, 1, 2, 4, 2)


def test_a_run_is_told_in_sentences():
    assert severity_worth(findings(*TEN), rows(10)).sentences == [
        "The 80 % interval of the infected share, from 10 patients, reaches 2.0 percentage points to either side; 9 of "
        "them lay within the one that the patients of the other folds give.",
        "The CT grade was right in 9 of 10 patients.",
    ]


def test_too_few_patients_have_grades_and_no_interval():
    assert severity_worth(findings(1, 2), rows(2)).sentences == ["The CT grade was right in 1 of 2 patients."]


def test_a_summary_has_the_numbers():
    held_out = findings_summary(findings(*TEN), rows(10))["severity"]["held_out"]
    assert (held_out["grades_right"], held_out["graded"], held_out["lungs"]) == (
        9,
        10,
        {
            "level_percent": 80,
            "patients": 10,
            "reach_percent": pytest.approx(2),
            "held": 9,
            "mean_width_percent": pytest.approx((3 + 4 * 4 + 5 * 8) / 10),
        },
    )


def test_runs_of_other_data_stand_in_one_table(make_run):
    first, second = severity_coverage([make_run("one", *TEN), make_run("other", 1, 2)]).splitlines()[2:4]
    assert re.split(" {2,}", first) == ["one", "10", "80 %", *["2.0", "9 of 10", "5.9"] * 2, "9 of 10"]
    assert re.split(" {2,}", second) == ["other", *["-"] * 8, "1 of 2"]


def test_a_run_without_severity_is_refused_by_name(make_run):
    empty = make_run("empty")
    with pytest.raises(InputError, match=r"empty: has no severity\.csv with a case in it"):
        severity_coverage([empty])


def test_the_command_prints_the_table(make_run, capsys):
    run_command("statistics", make_run("one", *TEN), "--metric", "severity")
    assert "9 of 10" in capsys.readouterr().out
