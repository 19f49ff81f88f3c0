"""Slices are scored and averaged by the paper's rule."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from slice_set_makers import write

from evaluation.measures.cases import Job
from evaluation.measures.metrics import METRICS, Overlap
from evaluation.measures.slices import case_slice_rows, mean_scores, model_means, slice_rows, slice_scores
from evaluation.tables.paper_table import SLICE_COLUMNS, markdown, published, text, write_means
from pipeline.core.annotation import Annotation
from pipeline.core.atomic import write_csv
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map

ABNORMAL_NORMAL = label_map("abnormal_normal")
EMPTY, ONE = np.zeros((2, 2), bool), np.array([[True, False], [False, False]])


def row(model: int, dice: float, name: str = "abnormal", network: str = "enet") -> dict:
    scores = {"dice": dice, "specificity": 0.5, "sensitivity": math.nan, "accuracy": 1.0}
    return {"network": network, "model": model, "class": name, "slice": 0, "case": "a", **scores}


def test_accuracy_is_the_share_of_right_voxels():
    assert Overlap(tp=1, fp=2, fn=3, tn=4).accuracy == 0.5


def test_the_metrics_of_volumes_have_no_accuracy():
    assert METRICS == ("dice", "sensitivity", "specificity")


def test_an_empty_slice_that_is_found_empty_has_dice_1():
    assert slice_scores(EMPTY, EMPTY)["dice"] == 1


@pytest.mark.parametrize(("reference", "prediction"), [(EMPTY, ONE), (ONE, EMPTY)])
def test_one_empty_mask_of_two_gives_dice_0(reference, prediction):
    assert slice_scores(reference, prediction)["dice"] == 0


def test_sensitivity_is_undefined_without_reference_pixels():
    assert math.isnan(slice_scores(EMPTY, ONE)["sensitivity"])


def test_a_slice_is_scored_by_hand():
    prediction = np.array([[True, True], [False, False]])
    expected = {"dice": 2 / 3, "specificity": 2 / 3, "sensitivity": 1, "accuracy": 3 / 4}
    assert slice_scores(ONE, prediction) == pytest.approx(expected)


def test_every_slice_has_a_row_for_every_class():
    stack = np.array([[[0, 1]], [[2, 2]]], np.uint8)
    rows = slice_rows(stack, stack, ABNORMAL_NORMAL.structures)
    assert [(row["slice"], row["class"], row["reference_pixels"]) for row in rows] == [
        *((0, "abnormal", 1), (0, "normal", 0)),
        *((1, "abnormal", 0), (1, "normal", 2)),
    ]


def test_stacks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="expected one shape"):
        slice_rows(np.zeros((2, 2, 2)), np.zeros((1, 2, 2)), ABNORMAL_NORMAL.structures)


def test_a_reference_in_the_projects_codes_equals_a_prediction_in_classes(tmp_path):
    reference = write(tmp_path / "r.nii.gz", np.array([[[0, 1], [2, 3]]], np.uint8))
    prediction = write(tmp_path / "p.nii.gz", np.array([[[0, 2], [2, 1]]], np.uint8))
    assert {row["dice"] for row in case_slice_rows(Job(reference, prediction, "a", "a", 0), ABNORMAL_NORMAL)} == {1}


def test_what_a_reference_does_not_annotate_has_no_rows(tmp_path):
    reference = write(tmp_path / "r.nii.gz", np.array([[[0, 0], [3, 3]]], np.uint8))
    prediction = write(tmp_path / "p.nii.gz", np.array([[[0, 2], [2, 1]]], np.uint8))
    job = Job(reference, prediction, "a", "a", 0, annotation=Annotation.of(["infection"]))
    (row,) = case_slice_rows(job, ABNORMAL_NORMAL)
    assert (row["class"], row["dice"]) == ("abnormal", 2 / 3)


def test_infection_that_nobody_annotated_is_lung(tmp_path):
    reference = write(tmp_path / "r.nii.gz", np.array([[[0, 1], [1, 1]]], np.uint8))
    prediction = write(tmp_path / "p.nii.gz", np.array([[[0, 2], [2, 1]]], np.uint8))
    job = Job(reference, prediction, "a", "a", 0, annotation=Annotation.of(["left_lung", "right_lung"]))
    (row,) = case_slice_rows(job, ABNORMAL_NORMAL)
    assert (row["class"], row["dice"]) == ("normal", 1)


def test_codes_of_a_file_are_read_as_told_and_ignored_pixels_are_not_counted(tmp_path):
    reference = write(tmp_path / "r.nii.gz", np.array([[[0, 255], [1, 1]]], np.uint8))
    prediction = write(tmp_path / "p.nii.gz", np.array([[[0, 1], [1, 2]]], np.uint8))
    job = Job(reference, prediction, "a", "a", 0, codes={"1": "infection"}, annotation=Annotation.of(["infection"]))
    (row,) = case_slice_rows(job, ABNORMAL_NORMAL)
    assert (row["reference_pixels"], row["dice"], row["accuracy"]) == (2, 2 / 3, 2 / 3)


def test_a_prediction_of_another_label_map_is_an_error(tmp_path):
    file = write(tmp_path / "a.nii.gz", np.array([[[0, 3]]], np.uint8))
    with pytest.raises(InputError, match=r"case a: .* holds the value 3; expected the labels 0, 1, 2"):
        case_slice_rows(Job(file, file, "a", "a", 0), ABNORMAL_NORMAL)


def test_a_prediction_on_another_grid_is_an_error(tmp_path):
    files = [write(tmp_path / f"{n}.nii.gz", np.zeros((1, 2, 2), np.uint8), (n, 1, 1)) for n in (1, 2)]
    with pytest.raises(InputError, match="different grids"):
        case_slice_rows(Job(*files, "a", "a", 0), ABNORMAL_NORMAL)


def test_undefined_values_are_left_out_of_a_mean_and_counted():
    means = mean_scores([row(0, 1.0), row(0, 0.0)])
    assert (means["dice"], means["sensitivity"], means["sensitivity_undefined"]) == (0.5, None, 2)


def test_models_weigh_alike_in_their_mean():
    *_, mean = model_means([row(0, 1.0), row(0, 1.0), row(1, 0.0)])
    assert (mean["model"], mean["dice"]) == ("mean", 0.5)


def test_networks_and_classes_are_averaged_apart():
    means = model_means([row(0, 1.0), row(0, 0.0, name="normal"), row(0, 0.25, network="lednet")])
    assert [(mean["network"], mean["class"], mean["dice"]) for mean in means if mean["model"] == "mean"] == [
        *(("enet", "abnormal", 1.0), ("enet", "normal", 0.0), ("lednet", "abnormal", 0.25)),
    ]


@pytest.mark.parametrize(
    ("file", "expected"), [("anam_net_table5.csv", 0.755), ("anam_net_table6.csv", 0.798)], ids=["V", "VI"]
)
def test_the_papers_tables_have_eight_networks_and_two_classes(file, expected):
    table = published(file)
    assert len(table) == 16
    assert table["anam_net", "abnormal"]["dice"] == expected


def test_the_table_has_the_papers_numbers_to_the_right():
    lines = text("title", [], model_means([row(0, 1.0)]), published("anam_net_table5.csv")).splitlines()
    assert lines[2].split() == ["enet", "abnormal", "1.000", "0.500", "-", "1.000", "0.694", "0.990", "0.857", "0.988"]


def test_without_a_table_of_the_paper_there_are_no_columns_for_it():
    assert "paper" not in text("title", [], model_means([row(0, 1.0)]), published(None))


def test_the_page_has_a_note_a_line():
    page = markdown("Title", ["first", "second"], model_means([row(0, 1.0)]), {})
    assert page.startswith("# Title\n\n| network | class | Dice |")
    assert page.endswith("- first\n- second\n")


def test_the_papers_numbers_stand_beside_the_mean_alone(tmp_path):
    write_means(tmp_path / "results.csv", model_means([row(0, 1.0)]), published("anam_net_table5.csv"))
    with (tmp_path / "results.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [(line["model"], line["paper_dice"]) for line in rows] == [("0", ""), ("mean", "0.694")]


def test_an_undefined_value_is_an_empty_cell(tmp_path):
    write_csv(tmp_path / "slices.csv", SLICE_COLUMNS, [row(0, 1.0)])
    with (tmp_path / "slices.csv").open() as table:
        assert next(csv.DictReader(table))["sensitivity"] == ""
