"""Label files of anyone are scored as a run's own are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from commands import run_command

from evaluation.measures.cases import read_metrics_csv
from evaluation.report.compare import compare_runs
from pipeline.core.errors import InputError

PATIENTS = ["anna", "bert", "carl"]


@pytest.fixture
def data(tmp_path, write_dataset):
    return write_dataset(tmp_path / "data", PATIENTS)


def made(data: Path, folder: Path, change, ending: str = "", names=None) -> Path:
    """Label files of another program: the references' voxels, changed."""
    folder.mkdir(parents=True)
    for number, file in enumerate(sorted((data / "labels").glob("*.nii.gz"))):
        image = sitk.ReadImage(str(file))
        other = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)).astype(np.uint8))
        other.CopyInformation(image)
        name = names[number] if names else file.name.removesuffix(".nii.gz")
        sitk.WriteImage(other, str(folder / f"{name}{ending}.nii.gz"))
    return folder


def score(predictions: Path, data: Path, out: Path, *more: str) -> dict[tuple[str, str], float]:
    """Dice by case and structure."""
    run_command("score", predictions, "--data", data, "--out", out, *more)
    return {(row["case"], row["structure"]): row["dice"] for row in read_metrics_csv(out / "metrics.csv")}


def as_lungmask(codes: np.ndarray) -> np.ndarray:
    return np.choose(codes, [0, 2, 1, 3])


def test_lungmasks_coding_is_recognised_and_scores_1_where_nothing_is_wrong(data, tmp_path):
    dice = score(made(data, tmp_path / "lungmask", as_lungmask), data, tmp_path / "out")
    assert dice == dict.fromkeys(dice, 1.0)
    assert {structure for _, structure in dice} == {"left_lung", "right_lung", "lungs", "infection"}
    assert json.loads((tmp_path / "out" / "scored.json").read_text())["coding"].startswith("lungmask's codes")


def test_own_codes_say_it_where_the_numbers_are_others(data, tmp_path):
    predictions = made(data, tmp_path / "reader", lambda codes: np.choose(codes, [0, 30, 20, 10]), "_seg")
    dice = score(predictions, data, tmp_path / "out", "--codes", "30:left_lung 20:right_lung 10:infection")
    assert set(dice.values()) == {1.0}


def test_what_a_tool_misses_costs_it(data, tmp_path):
    def without_the_right_lung(codes: np.ndarray) -> np.ndarray:
        return np.where(codes == 2, 0, codes)

    predictions = made(data, tmp_path / "half", without_the_right_lung)
    dice = score(predictions, data, tmp_path / "out", "--codes", "1:left_lung 2:right_lung 3:infection")
    assert dice["case_0", "right_lung"] == 0
    assert dice["case_0", "left_lung"] == 1


def test_lungs_alone_are_held_against_whole_lungs(data, tmp_path):
    predictions = made(data, tmp_path / "totalsegmentator", lambda codes: np.choose(codes, [0, 11, 13, 10]))
    dice = score(predictions, data, tmp_path / "out")
    assert dice == {(f"case_{number}", "whole_lungs"): 1.0 for number in range(3)}


def test_a_folder_a_scan_with_a_file_a_lobe_is_read(data, tmp_path):
    for file in sorted((data / "labels").glob("*.nii.gz")):
        image = sitk.ReadImage(str(file))
        place = tmp_path / "lobes" / file.name.removesuffix(".nii.gz")
        place.mkdir(parents=True)
        for name, codes in {"lung_upper_lobe_left": (1, 3), "lung_lower_lobe_right": (2,), "heart": (0,)}.items():
            mask = sitk.GetImageFromArray(np.isin(sitk.GetArrayFromImage(image), codes).astype(np.uint8))
            mask.CopyInformation(image)
            sitk.WriteImage(mask, str(place / f"{name}.nii.gz"))
    assert set(score(tmp_path / "lobes", data, tmp_path / "out").values()) == {1.0}


def test_files_of_other_names_are_found_by_grid_and_content(data, tmp_path):
    predictions = made(data, tmp_path / "anonymous", as_lungmask, names=["x", "y", "z"])
    dice = score(predictions, data, tmp_path / "out")
    assert {case for case, _ in dice} == {"case_0", "case_1", "case_2"}
    assert set(dice.values()) == {1.0}


def test_a_label_with_its_axes_in_another_order_is_turned(data, tmp_path):
    predictions = made(data, tmp_path / "turned", as_lungmask)
    for file in predictions.glob("*.nii.gz"):
        sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(file)), "SAR"), str(file))
    assert set(score(predictions, data, tmp_path / "out").values()) == {1.0}


def test_another_grid_is_refused_by_name(data, tmp_path):
    predictions = made(data, tmp_path / "moved", as_lungmask)
    file = predictions / "case_1.nii.gz"
    image = sitk.ReadImage(str(file))
    image.SetSpacing((9, 9, 9))
    sitk.WriteImage(image, str(file))
    with pytest.raises(InputError, match=r"case case_1: .* lies on another grid than its scan: spacing"):
        score(predictions, data, tmp_path / "out")


def test_cases_without_a_file_and_files_of_no_case_are_told(data, tmp_path, caplog):
    predictions = made(data, tmp_path / "some", as_lungmask)
    (predictions / "case_2.nii.gz").rename(predictions / "somebody.nii.gz")
    stranger = sitk.ReadImage(str(predictions / "somebody.nii.gz"))
    stranger.SetOrigin((500, 0, 0))
    sitk.WriteImage(stranger, str(predictions / "somebody.nii.gz"))
    dice = score(predictions, data, tmp_path / "out")
    assert {case for case, _ in dice} == {"case_0", "case_1"}
    assert "1 cases have no label file, and no score: case_2" in caplog.text
    assert "1 label files are of no case, and were passed over: somebody.nii.gz" in caplog.text


def test_a_folder_of_nobodys_labels_is_refused(data, tmp_path):
    predictions = made(data, tmp_path / "strangers", np.zeros_like, names=["x", "y", "z"])
    with pytest.raises(InputError, match="none of 3 label files is of a case of DATA"):
        score(predictions, data, tmp_path / "out")


def test_the_page_says_that_nobody_knows_what_was_trained_on(data, tmp_path):
    score(made(data, tmp_path / "tool", as_lungmask), data, tmp_path / "out", "--name", "SomeTool")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<title>Label maps of SomeTool</title>" in page
    assert "Nothing here tells whether what made them has seen these patients before" in page
    assert "Losses" not in page


def test_two_readers_are_compared_patient_by_patient(data, tmp_path):
    def careless(codes: np.ndarray) -> np.ndarray:
        return np.where((codes == 3) & (np.indices(codes.shape)[0] % 2 == 0), 1, codes)

    for name, change in (("reader_1", as_lungmask), ("reader_2", lambda codes: as_lungmask(careless(codes)))):
        score(made(data, tmp_path / name, change), data, tmp_path / "scores" / name)
    told = compare_runs(
        [tmp_path / "scores" / name for name in ("reader_1", "reader_2")], tmp_path / "page.html", ["infection"], ""
    )
    assert "reader_1" in told
    assert "reader_2" in told


def test_a_cross_validations_folder_is_not_written_over(data, tmp_path):
    predictions = made(data, tmp_path / "tool", as_lungmask)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "folds.json").write_text("{}")
    with pytest.raises(InputError, match="the folder of a cross-validation, whose scores would be replaced"):
        score(predictions, data, tmp_path / "out")
    assert (tmp_path / "out" / "folds.json").read_text() == "{}"
