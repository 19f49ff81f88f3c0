"""Severity and flags of the cases of a cross-validation: examined, written, read back and told."""

from __future__ import annotations

import json

import pytest
from report_makers import write_run

from evaluation.measures.cases import Job, evaluate_cases
from evaluation.measures.flags import OF_LABELS
from evaluation.statistics.findings import (
    Finding,
    findings_summary,
    findings_text,
    read_findings,
    score_and_examine,
    worths,
    write_findings,
)
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.data.study import load_study


def jobs_of(run):
    study = load_study(run)
    held_out = [(case, fold) for fold in (0, 1) for case in study.held_out(fold)]
    return [
        Job(case["label"], study.prediction(case), case["case"], case["patient_id"], fold, scan=case["image"])
        for case, fold in held_out
    ]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    return jobs_of(write_run(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def rows(jobs):
    return evaluate_cases(jobs)


@pytest.fixture(scope="module")
def findings(jobs):
    return score_and_examine(jobs, label_map("lungs_infection"))[1]


def test_every_case_is_examined_in_the_order_of_the_jobs(findings, jobs):
    assert [(finding.case, finding.fold) for finding in findings] == [(job.case, job.fold) for job in jobs]


def test_a_prediction_that_misses_infection_is_less_severe(findings):
    worst = max(findings, key=lambda finding: finding.case)
    assert worst.severity["prediction_lungs_percent"] < worst.severity["reference_lungs_percent"]


def test_all_flags_are_there_but_those_of_other_models_and_of_the_training(findings):
    names = [limits.name for limits in OF_LABELS if limits.name != "agreement"]
    assert {tuple(flag.limits.name for flag in finding.flags) for finding in findings} == {tuple(names)}


def test_without_the_scan_its_intensities_are_not_judged(jobs):
    job = Job(jobs[0].reference, jobs[0].prediction, jobs[0].case, jobs[0].patient_id, 0)
    _, (found,) = score_and_examine([job], label_map("lungs_infection"))
    assert "typical_lung" not in [flag.limits.name for flag in found.flags]


def test_a_network_of_other_classes_has_severity_but_no_flags(tmp_path):
    _, found = score_and_examine(jobs_of(write_run(tmp_path, labels="infection")), label_map("infection"))
    assert [(bool(one.severity), one.flags) for one in found] == [(True, ())] * 4


def test_they_come_back_from_their_files_as_they_were(tmp_path, findings):
    write_findings(findings, tmp_path)
    # Percents may be nan, which equals nothing
    assert repr(read_findings(tmp_path)) == repr(sorted(findings, key=lambda finding: (finding.case, finding.fold)))


def test_a_folder_without_findings_has_none(tmp_path):
    assert read_findings(tmp_path) == []


def test_a_damaged_file_is_named(tmp_path, findings):
    write_findings(findings, tmp_path)
    file = tmp_path / "flags.csv"
    file.write_text(file.read_text().replace("lung_volume", "lung_colour"))
    with pytest.raises(InputError, match=r"flags\.csv: is not as it was written .*lung_colour"):
        read_findings(tmp_path)


def test_the_summary_holds_no_nan(findings, rows):
    assert json.dumps(findings_summary(findings, rows), allow_nan=False)


def test_the_summary_counts_every_case_in_the_confusion(findings, rows):
    confusion = findings_summary(findings, rows)["severity"]["grade_confusion"]
    assert sum(map(sum, confusion)) == len(findings)


def test_the_tiny_lungs_of_the_test_chests_raise_a_flag(findings, rows):
    raised = findings_summary(findings, rows)["flags"]["raised"]
    assert all("lung_volume" in names for names in raised.values())
    assert len(raised) == len(findings)


def test_each_flag_has_a_worth(findings, rows):
    assert [one.name for one in worths(findings, rows)] == [flag.limits.name for flag in findings[0].flags]


def test_the_text_tells_of_each_raised_flag(findings, rows):
    raised = sum(flag.raised for finding in findings for flag in finding.flags)
    assert f"Flags: {raised} raised in" in findings_text(findings, rows)


def test_without_infection_nothing_is_told(rows):
    assert findings_text([Finding("a", 0, None, ())], rows) == ""
