"""Label maps on disk to rows, and rows to csv and back."""

import csv
import math

import numpy as np
import pytest
import SimpleITK as sitk

from evaluation.measures.cases import (
    COLUMNS,
    NUMBERS,
    Job,
    evaluate_case,
    evaluate_cases,
    read_metrics_csv,
    write_metrics_csv,
)
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map

SPACING_MM = (0.8, 0.5, 2.5)
VOXEL_ML = 0.001


def chest_labels():
    """Axes (z, y, x): 24 voxels of left lung, 36 of right lung, 4 of infection."""
    labels = np.zeros((4, 6, 8), np.uint8)
    labels[:3, 1:5, 5:7] = 1
    labels[:3, 1:5, 0:3] = 2
    labels[3, 2:4, 1:3] = 3
    return labels


def saved(labels, path, spacing_mm=SPACING_MM, origin_mm=(-10.0, 20.0, 300.0)):
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(spacing_mm)
    image.SetOrigin(origin_mm)
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def reference(tmp_path):
    return saved(chest_labels(), tmp_path / "reference.nii.gz")


def rows_of(reference, prediction_labels, case="medseg_1"):
    prediction = saved(prediction_labels, reference.with_name("prediction.nii.gz"))
    return {row["structure"]: row for row in evaluate_case(Job(reference, prediction, case, "patient 1", 2))}


def test_each_structure_has_a_row_with_all_columns(reference):
    rows = evaluate_case(Job(reference, reference, "medseg_1", "patient 1", 2))
    assert [row["structure"] for row in rows] == ["left_lung", "right_lung", "lungs", "infection"]
    assert all(tuple(row) == COLUMNS for row in rows)


def test_rows_say_whose_they_are(reference):
    row = rows_of(reference, chest_labels())["infection"]
    assert (row["case"], row["patient_id"], row["fold"]) == ("medseg_1", "patient 1", 2)


def test_a_perfect_prediction_scores_one_everywhere(reference):
    rows = rows_of(reference, chest_labels())
    assert {row[metric] for row in rows.values() for metric in ("dice", "sensitivity", "specificity")} == {1.0}


def test_a_missed_half_of_the_infection_is_counted(reference):
    prediction = chest_labels()
    prediction[3, 2] = 0
    row = rows_of(reference, prediction)["infection"]
    assert (row["dice"], row["sensitivity"], row["specificity"]) == (pytest.approx(2 / 3), 0.5, 1.0)


def test_the_counts_are_those_of_all_voxels(reference):
    prediction = chest_labels()
    prediction[3, 2] = 0
    prediction[0, 0, :3] = 3
    row = rows_of(reference, prediction)["infection"]
    assert [row[count] for count in ("tp", "fp", "fn", "tn")] == [2, 3, 2, 4 * 6 * 8 - 7]


def test_a_false_infection_lowers_the_specificity(reference):
    prediction = chest_labels()
    prediction[0, 0, :4] = 3
    row = rows_of(reference, prediction)["infection"]
    assert row["specificity"] == pytest.approx(1 - 4 / (4 * 6 * 8 - 4))


def test_swapped_lungs_spoil_each_lung_but_not_both_together(reference):
    rows = rows_of(reference, np.array([0, 2, 1, 3], np.uint8)[chest_labels()])
    assert [rows[name]["dice"] for name in ("left_lung", "right_lung", "lungs")] == [0, 0, 1]


def test_volumes_are_in_millilitres_of_the_scanners_grid(reference):
    rows = rows_of(reference, np.zeros_like(chest_labels()))
    volumes = [rows[name]["reference_ml"] for name in ("left_lung", "right_lung", "lungs", "infection")]
    assert volumes == pytest.approx([24 * VOXEL_ML, 36 * VOXEL_ML, 60 * VOXEL_ML, 4 * VOXEL_ML])
    assert rows["lungs"]["prediction_ml"] == 0


def test_the_volume_error_has_a_sign(reference):
    row = rows_of(reference, np.zeros_like(chest_labels()))["infection"]
    assert row["volume_error_ml"] == pytest.approx(-4 * VOXEL_ML)


def test_a_shift_by_a_voxel_is_measured_along_the_files_axes(reference):
    shifted = np.roll(chest_labels(), 1, axis=1)
    assert rows_of(reference, shifted)["left_lung"]["hd95_mm"] == pytest.approx(SPACING_MM[1])


def test_a_lost_infection_is_infinitely_far(reference):
    row = rows_of(reference, np.where(chest_labels() == 3, 0, chest_labels()))["infection"]
    assert (row["hd95_mm"], row["surface_dice"]) == (math.inf, 0)


def test_slices_without_infection_count_one_in_the_papers_average(reference):
    missed = np.where(chest_labels() == 3, 0, chest_labels())
    row = rows_of(reference, missed)["infection"]
    assert (row["slice_dice_empty_1"], row["slices"]) == (0.75, 4)


def test_lesions_are_counted_in_the_infection_alone(reference):
    rows = rows_of(reference, chest_labels())
    assert [name for name, row in rows.items() if not math.isnan(row["lesions"])] == ["infection"]


def test_the_auc_is_that_of_the_infections_probability(reference):
    levels = np.where(chest_labels() == 3, 200, 10).astype(np.uint8)
    levels[3, 2, 1] = 10
    probability = saved(levels, reference.with_name("probability.nii.gz"))
    rows = evaluate_case(Job(reference, reference, "medseg_1", "patient 1", 2, probability))
    assert rows[3]["auc"] == pytest.approx(3 / 4 + 1 / 4 / 2)


def test_a_probability_on_another_grid_is_refused(reference):
    probability = saved(chest_labels(), reference.with_name("probability.nii.gz"), spacing_mm=(0.8, 0.5, 5.0))
    with pytest.raises(InputError, match=r"case medseg_1: .* different grids: .*delete it and its prediction"):
        evaluate_case(Job(reference, reference, "medseg_1", "patient 1", 2, probability))


def test_infection_in_neither_file_has_no_dice(tmp_path):
    healthy = np.where(chest_labels() == 3, 0, chest_labels())
    file = saved(healthy, tmp_path / "healthy.nii.gz")
    assert math.isnan(evaluate_case(Job(file, file, "medseg_1", "patient 1", 0))[3]["dice"])


def test_a_label_map_scores_its_own_classes_against_the_projects_codes(reference):
    prediction = saved(np.array([0, 2, 2, 1], np.uint8)[chest_labels()], reference.with_name("prediction.nii.gz"))
    rows = evaluate_case(Job(reference, prediction, "medseg_1", "patient 1", 0), label_map("abnormal_normal"))
    assert [(row["structure"], row["dice"]) for row in rows] == [("abnormal", 1.0), ("normal", 1.0)]


def test_a_class_that_the_label_map_lacks_is_an_error(reference):
    job = Job(reference, reference, "medseg_1", "patient 1", 0)
    with pytest.raises(InputError, match=r"^case medseg_1: .* holds the value 2; expected the labels 0, 1; relabel it"):
        evaluate_case(job, label_map("infection"))


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_label_maps_may_be_stored_in_wider_numbers(reference, kind):
    assert rows_of(reference, chest_labels().astype(kind)) == rows_of(reference, chest_labels())


@pytest.mark.parametrize(
    ("what", "grid"), [("spacing", {"spacing_mm": (0.8, 0.5, 5.0)}), ("origin", {"origin_mm": (-10.0, 20.0, 302.5)})]
)
def test_another_grid_is_an_error_that_names_the_case(reference, what, grid):
    prediction = saved(chest_labels(), reference.with_name("prediction.nii.gz"), **grid)
    with pytest.raises(InputError, match=f"case medseg_1: .*{what}"):
        evaluate_case(Job(reference, prediction, "medseg_1", "patient 1", 0))


def test_another_size_is_an_error_that_names_the_case(reference):
    with pytest.raises(InputError, match=r"case medseg_1: .*size \(8, 6, 4\) against \(8, 6, 3\)"):
        rows_of(reference, chest_labels()[:3])


@pytest.mark.parametrize(("kind", "value"), [(np.uint8, 255), (np.int16, -1), (np.float32, 1.5)])
def test_a_foreign_label_is_an_error_that_names_case_and_value(reference, kind, value):
    prediction = chest_labels().astype(kind)
    prediction[2, 0, 0] = value
    with pytest.raises(InputError, match=f"case medseg_1: .*prediction.nii.gz holds the value {value:g};"):
        rows_of(reference, prediction)


def test_cases_come_back_in_the_order_of_the_jobs(reference):
    jobs = [Job(reference, reference, f"case {index}", "patient 1", index) for index in range(6)]
    rows = evaluate_cases(jobs, workers=3)
    assert [row["case"] for row in rows[::4]] == [f"case {index}" for index in range(6)]


def test_the_error_of_a_worker_arrives_with_its_cause(reference):
    missing = reference.with_name("gone.nii.gz")
    jobs = [Job(reference, reference, "a", "a", 0), Job(reference, missing, "b", "b", 0)]
    with pytest.raises(InputError, match=r"gone\.nii\.gz"):
        evaluate_cases(jobs)


def some_rows():
    numbers = (("dice", 1 / 3), ("sensitivity", math.nan), ("specificity", 0.1 + 0.2))
    more = {**dict.fromkeys(NUMBERS, 0.25), "hd95_mm": math.inf, "auc": math.nan, "prediction_ml": 1234.5678901234}
    who = {"case": "Köln, 1", "patient_id": "007", "fold": 0, "structure": "infection"}
    return [{**who, **more, **dict(numbers)}]


def test_rows_come_back_from_csv_as_they_were(tmp_path):
    write_metrics_csv(some_rows(), tmp_path / "metrics.csv")
    # Undefined is the one object math.nan on both sides, so that rows compare equal
    assert read_metrics_csv(tmp_path / "metrics.csv") == some_rows()


def test_an_undefined_value_is_an_empty_cell(tmp_path):
    write_metrics_csv(some_rows(), tmp_path / "metrics.csv")
    with open(tmp_path / "metrics.csv", newline="", encoding="utf-8") as stream:
        assert next(csv.DictReader(stream))["sensitivity"] == ""


def interrupted():
    yield some_rows()[0]
    raise InputError("surprise")


def test_a_failed_write_leaves_the_old_table(tmp_path):
    write_metrics_csv(some_rows(), tmp_path / "metrics.csv")
    with pytest.raises(InputError, match="surprise"):
        write_metrics_csv(interrupted(), tmp_path / "metrics.csv")
    assert len(read_metrics_csv(tmp_path / "metrics.csv")) == 1


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path):
    write_metrics_csv(some_rows(), tmp_path / "metrics.csv")
    text = (tmp_path / "metrics.csv").read_text(encoding="utf-8")
    (tmp_path / "metrics.csv").write_text(text, encoding="utf-8-sig")
    assert read_metrics_csv(tmp_path / "metrics.csv")[0]["case"] == "Köln, 1"


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.csv: there is no such file"):
        read_metrics_csv(tmp_path / "gone.csv")


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "metrics.csv").write_text(",".join(COLUMNS).replace("fold,", "") + "\n")
    with pytest.raises(InputError, match=r"metrics\.csv: has no column fold"):
        read_metrics_csv(tmp_path / "metrics.csv")


@pytest.mark.parametrize("line", ["a,p,0,lungs,0,9", "a,p,one,lungs,1,1,1,5,5", "a,p,0,lungs,high,1,1,5,5"])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "metrics.csv").write_text(",".join(COLUMNS) + "\n" + line + "\n")
    with pytest.raises(InputError, match=r"metrics\.csv, line 2"):
        read_metrics_csv(tmp_path / "metrics.csv")


def test_a_reference_of_other_codes_is_scored_as_one_of_the_projects(tmp_path, reference):
    foreign = saved(np.choose(chest_labels(), [0, 2, 1, 9]).astype(np.uint8), tmp_path / "foreign.nii.gz")
    codes = {"1": "right_lung", "2": "left_lung", "9": "infection"}
    jobs = [Job(reference, reference, "a", "a", 0), Job(foreign, reference, "a", "a", 0, codes=codes)]
    own, other = map(evaluate_case, jobs)
    assert [row["dice"] for row in other] == [row["dice"] for row in own]
    assert [row["reference_ml"] for row in other] == [row["reference_ml"] for row in own]
