"""Severity and flags in the report, and the severity map among the drawings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk
from report_makers import write_run

from evaluation.measures.flags import LUNG_VOLUME, judged
from evaluation.measures.severity import Severity
from evaluation.report import finding_tables, sections
from evaluation.report.cross_validation import report
from evaluation.report.pictures import case_files, chosen_cases, pictures
from evaluation.report.run import read_run
from evaluation.report.score_tables import surface_table
from evaluation.report.stack import read_stack, thinned
from evaluation.statistics.findings import Finding, score_and_examine, write_findings
from evaluation.statistics.summary import summarise
from evaluation.tables.severity_table import grade_agreement, severity_row
from pipeline.core.labels import label_map
from pipeline.data.study import load_study
from pipeline.runs.scores import job_of


def texts(cells):
    return [cell.text for cell in cells]


def finding(case, reference, prediction, *flags):
    shares = [Severity(share, share, share) for share in (reference, prediction)]
    return Finding(case, 0, severity_row(case, *shares), flags)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run with severity and flags, and the probabilities of its first case alone."""
    out = write_run(tmp_path_factory.mktemp("run"))
    study = load_study(out)
    jobs = [job_of(study, case, fold) for fold in (0, 1) for case in study.held_out(fold)]
    write_findings(score_and_examine(jobs, label_map("lungs_infection"))[1], out)
    predicted = sitk.ReadImage(str(out / "predictions" / "case_0.nii.gz"))
    (out / "probabilities").mkdir()
    sitk.WriteImage(sitk.Cast(predicted == 3, sitk.sitkUInt8) * 200, str(out / "probabilities" / "case_0.nii.gz"))
    return out


def test_a_case_has_both_shares_and_both_grades():
    (row,) = finding_tables.severity_table([finding("a", 0.3, 0.1)]).body
    assert texts(row) == ["a", "0", "30.0", "10.0", "30.0", "10.0", "30.0", "10.0", "CT-2", "CT-1"]


def test_a_case_without_lungs_has_dashes():
    (row,) = finding_tables.severity_table([finding("a", math.nan, 0.1)]).body
    assert (row[2].text, row[-2].text) == ("-", "-")


def test_the_confusion_has_the_references_grades_down():
    rows = [finding("a", 0.3, 0.1).severity, finding("b", 0.1, 0.1).severity]
    table = finding_tables.confusion_table(grade_agreement(rows))
    assert [texts(row)[:4] for row in table.body[1:3]] == [["CT-1", "0", "1", "0"], ["CT-2", "0", "1", "0"]]


def test_only_raised_flags_are_listed_with_their_sentences():
    flags = (judged(LUNG_VOLUME, 200.0), judged(LUNG_VOLUME, 5000.0))
    (row,) = finding_tables.raised_table([finding("a", 0.1, 0.1, *flags)]).body
    assert texts(row)[2:4] == ["lung volume", "200"]
    assert row[5].text.startswith("The lungs hold 200 ml together, less than")


def test_lost_structures_are_counted_beside_the_distances(run_folder):
    rows = [{**row, "hd95_mm": math.inf} if row["case"] == "case_0" else row for row in read_run(run_folder).rows]
    table = surface_table(summarise(rows))
    assert {row[table.columns.index("lost")].text for row in table.body} == {"1"}


def test_the_report_has_severity_and_flags(run_folder):
    page = report(read_run(run_folder), 1)
    assert '<section id="severity"' in page
    assert '<section id="flags"' in page


def test_a_run_without_infection_has_neither(tmp_path):
    run = read_run(write_run(tmp_path, labels="lungs"))
    assert (sections.severity(run), sections.flags(run)) == (None, None)


def test_a_case_with_probabilities_has_its_severity_map(run_folder):
    run = read_run(run_folder)
    seen = pictures(run, chosen_cases(run, 10))
    drawn = {picture.shown.case: picture.panels.severity is not None for picture in seen if picture.panels}
    assert drawn == {case: case == "case_0" for case in drawn}
    assert "case_0" in drawn


def test_probabilities_follow_the_slices_that_are_taken(run_folder):
    run = read_run(run_folder)
    stack = read_stack(*case_files(run, "case_0"), "case_0", run.label_map, (-1250, 250), run.probability("case_0"))
    few = thinned(stack, 4, 16)
    assert few.probability.shape == few.hu.shape
    assert np.array_equal(stack.probability == 200, stack.prediction == 3)
