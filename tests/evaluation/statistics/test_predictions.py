"""Labels that a bundle wrote are scored as cross-validation scores them."""

from __future__ import annotations

import SimpleITK as sitk

from evaluation.measures.cases import read_metrics_csv
from evaluation.statistics.predictions import evaluate_predictions, without_labels
from pipeline.core.atomic import read_json


def predicted_as_labelled(cases, folder):
    """Predictions that equal the references."""
    folder.mkdir()
    for case in cases:
        sitk.WriteImage(sitk.ReadImage(case["label"]), str(folder / f"{case['case']}.nii.gz"))


def test_inference_gets_names_and_images_alone(make_cases, tmp_path):
    (case,) = make_cases(tmp_path / "data", 1)
    assert without_labels([case]) == [{"case": "case_0", "image": case["image"]}]


def test_predictions_that_equal_the_references_score_one(make_cases, tmp_path):
    cases = make_cases(tmp_path / "data", 2)
    predicted_as_labelled(cases, tmp_path / "labels")
    summary = evaluate_predictions(cases, tmp_path / "labels", "lungs_infection", fold=1)
    assert {scores["dice"]["mean"] for scores in summary["structures"].values()} == {1.0}


def test_the_tables_are_written_beside_the_labels(make_cases, tmp_path):
    cases = make_cases(tmp_path / "data", 2)
    predicted_as_labelled(cases, tmp_path / "labels")
    summary = evaluate_predictions(cases, tmp_path / "labels", "lungs_infection", fold=1)
    rows = read_metrics_csv(tmp_path / "labels" / "metrics.csv")
    assert {(row["case"], row["fold"]) for row in rows} == {("case_0", 1), ("case_1", 1)}
    assert read_json(tmp_path / "labels" / "summary.json") == summary
