"""A data set in nnU-Net's layout has our scans, our folds and nothing that nobody knows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from commands import run_command
from conftest import dataset

from evaluation.measures.cases import read_metrics_csv
from pipeline.core.errors import InputError
from pipeline.data.datalist import read_datalist
from pipeline.data.folds import make_folds

PATIENTS = ["anna", "bert", "bert", "carl", "dora"]
LABELS = {"background": 0, "left_lung": 1, "right_lung": 2, "infection": 3}


@pytest.fixture
def data(tmp_path) -> Path:
    return dataset(tmp_path / "our scans", PATIENTS)


def made(data: Path, tmp_path: Path, *options: object) -> Path:
    """The raw data set."""
    run_command("nnunet", data, "--folds", 3, "--out", tmp_path / "out", *options)
    (raw,) = (tmp_path / "out" / "nnUNet_raw").iterdir()
    return raw


def splits(raw: Path) -> list[dict[str, list[str]]]:
    return json.loads((raw.parents[1] / "nnUNet_preprocessed" / raw.name / "splits_final.json").read_text())


def described(raw: Path) -> dict[str, object]:
    return json.loads((raw / "dataset.json").read_text())


def voxels(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))


def annotate(data: Path, structures: list[str], case: str = "case_0") -> None:
    manifest = json.loads((data / "manifest.json").read_text())
    for entry in manifest["cases"]:
        entry.update({"annotates": structures} if entry["case"] == case else {})
    (data / "manifest.json").write_text(json.dumps(manifest))


def relabel(data: Path, case: str, change) -> None:
    file = data / "labels" / f"{case}.nii.gz"
    image = sitk.ReadImage(str(file))
    label = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)).astype(np.uint8))
    label.CopyInformation(image)
    sitk.WriteImage(label, str(file))


def without_infection(codes: np.ndarray) -> np.ndarray:
    return np.where(codes == 3, 1, codes)


def test_files_are_named_as_nnunet_asks(data, tmp_path):
    raw = made(data, tmp_path)
    assert raw.name == "Dataset500_our_scans"
    assert sorted(file.name for file in (raw / "imagesTr").iterdir()) == [f"case_{n}_0000.nii.gz" for n in range(5)]
    assert sorted(file.name for file in (raw / "labelsTr").iterdir()) == [f"case_{n}.nii.gz" for n in range(5)]
    assert described(raw) == {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "numTraining": 5,
        "file_ending": ".nii.gz",
    }


def test_scans_are_the_same_bytes_and_labels_the_same_voxels_on_their_grids(data, tmp_path):
    raw = made(data, tmp_path)
    for number in range(5):
        scan, label = raw / "imagesTr" / f"case_{number}_0000.nii.gz", raw / "labelsTr" / f"case_{number}.nii.gz"
        assert scan.read_bytes() == (data / "images" / f"case_{number}.nii.gz").read_bytes()
        assert np.array_equal(voxels(label), voxels(data / "labels" / label.name))
        one, other = sitk.ReadImage(str(scan)), sitk.ReadImage(str(label))
        assert (one.GetSpacing(), one.GetOrigin(), one.GetDirection()) == (
            other.GetSpacing(),
            other.GetOrigin(),
            other.GetDirection(),
        )


def test_another_format_is_written_as_nifti(data, tmp_path):
    for kind in ("images", "labels"):
        image = sitk.ReadImage(str(data / kind / "case_3.nii.gz"))
        (data / kind / "case_3.nii.gz").unlink()
        sitk.WriteImage(image, str(data / kind / "case_3.mha"))
    raw = made(data, tmp_path)
    assert np.array_equal(voxels(raw / "imagesTr" / "case_3_0000.nii.gz"), voxels(data / "images" / "case_3.mha"))


def test_folds_are_those_of_a_cross_validation(data, tmp_path):
    found = splits(made(data, tmp_path, "--seed", 7))
    ours = make_folds(read_datalist(data), 3, seed=7)["folds"]
    assert [fold["val"] for fold in found] == [fold["test"] for fold in ours]


def test_no_patient_is_trained_on_and_held_out(data, tmp_path):
    patient_of = {f"case_{number}": patient for number, patient in enumerate(PATIENTS)}
    for fold in splits(made(data, tmp_path)):
        assert {*fold["train"]} | {*fold["val"]} == patient_of.keys()
        assert not {patient_of[case] for case in fold["train"]} & {patient_of[case] for case in fold["val"]}


def test_what_the_labels_of_lungs_alone_do_not_tell_is_ignored(data, tmp_path):
    annotate(data, ["left_lung", "right_lung"])
    relabel(data, "case_0", without_infection)
    raw = made(data, tmp_path)
    assert described(raw)["labels"] == {**LABELS, "ignore": 4}
    codes = voxels(data / "labels" / "case_0.nii.gz")
    assert np.array_equal(voxels(raw / "labelsTr" / "case_0.nii.gz"), np.where(codes > 0, 4, 0))
    assert np.array_equal(voxels(raw / "labelsTr" / "case_1.nii.gz"), voxels(data / "labels" / "case_1.nii.gz"))


def test_a_mask_of_infection_tells_infection_alone(data, tmp_path):
    annotate(data, ["infection"])
    relabel(data, "case_0", lambda codes: np.where(codes == 3, 3, 0))
    raw = made(data, tmp_path)
    codes = voxels(data / "labels" / "case_0.nii.gz")
    assert np.array_equal(voxels(raw / "labelsTr" / "case_0.nii.gz"), np.where(codes == 3, 3, 4))


def test_masks_of_infection_and_nothing_else_are_one_class(data, tmp_path):
    for number in range(5):
        annotate(data, ["infection"], f"case_{number}")
        relabel(data, f"case_{number}", lambda codes: np.where(codes == 3, 3, 0))
    raw = made(data, tmp_path)
    assert described(raw)["labels"] == {"background": 0, "infection": 1}
    assert np.array_equal(voxels(raw / "labelsTr" / "case_2.nii.gz"), voxels(data / "labels" / "case_2.nii.gz") // 3)


def test_lungs_that_no_label_tells_are_no_class(data, tmp_path, caplog):
    annotate(data, ["left_lung", "right_lung"], "case_1")
    relabel(data, "case_1", without_infection)
    for number in (0, 2, 3, 4):
        annotate(data, ["infection"], f"case_{number}")
        relabel(data, f"case_{number}", lambda codes: np.where(codes == 3, 3, 0))
    raw = made(data, tmp_path)
    assert described(raw)["labels"] == {"background": 0, "infection": 1}
    assert "1 scans are left out, of which no label tells infection: case_1" in caplog.text


def test_ignored_voxels_are_read_back_as_such(data, tmp_path):
    relabel(data, "case_0", lambda codes: np.where((codes == 1) & (np.indices(codes.shape)[0] > 8), 255, codes))
    raw = made(data, tmp_path)
    codes, written = voxels(data / "labels" / "case_0.nii.gz"), voxels(raw / "labelsTr" / "case_0.nii.gz")
    assert np.array_equal(written, np.where(codes == 255, 4, codes))
    again = read_datalist(raw)["training"]
    assert [case["patient_id"] for case in again] == PATIENTS
    assert [case["volume_ml"] for case in again] == [case["volume_ml"] for case in read_datalist(data)["training"]]


def test_single_slices_are_left_out_and_counted(data, tmp_path, caplog):
    for kind in ("images", "labels"):
        image = sitk.ReadImage(str(data / kind / "case_4.nii.gz"))
        sitk.WriteImage(image[:, :, 6:7], str(data / kind / "case_4.nii.gz"))
    raw = made(data, tmp_path)
    assert "1 single slices are left out: nnU-Net trains its 3D networks on whole scans alone." in caplog.text
    assert described(raw)["numTraining"] == 4
    assert "case_4" not in json.dumps(splits(raw))


def test_the_same_command_goes_on_where_it_was_killed(data, tmp_path):
    raw = made(data, tmp_path)
    before = {file: file.read_bytes() for file in raw.rglob("*.*")}
    (raw / "dataset.json").unlink()
    (raw / "imagesTr" / "case_2_0000.nii.gz").unlink()
    (raw / "labelsTr" / "case_3.nii.gz").write_bytes(b"half")
    made(data, tmp_path)
    assert {file: file.read_bytes() for file in raw.rglob("*.*")} == before


def test_somebody_elses_nnunet_folder_is_refused(data, tmp_path):
    (tmp_path / "out" / "nnUNet_raw").mkdir(parents=True)
    with pytest.raises(InputError, match="which holds nnUNet_raw, which this program did not write and might replace"):
        made(data, tmp_path)


def test_a_fold_that_tests_no_scan_is_refused(data, tmp_path):
    for kind in ("images", "labels"):
        image = sitk.ReadImage(str(data / kind / "case_4.nii.gz"))
        sitk.WriteImage(image[:, :, 6:7], str(data / kind / "case_4.nii.gz"))
    split = tmp_path / "split.json"
    names = sorted(file.name.removesuffix(".nii.gz") for file in (data / "images").iterdir())
    split.write_text(json.dumps({"folds": [{"fold": place, "test": [name]} for place, name in enumerate(names)]}))
    last = names.index("case_4")
    with pytest.raises(InputError, match=f"fold {last}: tests no whole scan, without which nnU-Net does not train"):
        made(data, tmp_path, "--split", split, "--folds", len(names))


def test_what_to_type_is_told(data, tmp_path, capsys):
    made(data, tmp_path)
    told = capsys.readouterr().out
    results = f"{tmp_path}/out/nnUNet_results"
    assert f"  export nnUNet_results={results}\n" in told
    assert "  nnUNetv2_plan_and_preprocess -d 500 -c 3d_fullres --verify_dataset_integrity\n" in told
    assert "  nnUNetv2_train 500 3d_fullres 2\n" in told
    trained = f"{results}/Dataset500_our_scans/nnUNetTrainer__nnUNetPlans__3d_fullres"
    assert f"  make score PREDICTIONS={trained} DATA=" in told


def test_what_nnunet_holds_out_in_all_folds_is_scored_at_once(data, tmp_path):
    raw = made(data, tmp_path)
    trained = tmp_path / "results" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    for number, fold in enumerate(splits(raw)):
        (trained / f"fold_{number}" / "validation").mkdir(parents=True)
        for case in fold["val"]:
            file = f"{case}.nii.gz"
            (trained / f"fold_{number}" / "validation" / file).write_bytes((raw / "labelsTr" / file).read_bytes())
    (trained / "dataset.json").write_text(json.dumps({"labels": {**LABELS, "ignore": 4}}))
    run_command("score", trained, "--data", data, "--out", tmp_path / "all")
    rows = read_metrics_csv(tmp_path / "all" / "metrics.csv")
    assert {row["case"] for row in rows} == {f"case_{number}" for number in range(5)}
    assert {row["dice"] for row in rows} == {1.0}
    some = [trained / f"fold_{number}" / "validation" for number in (0, 2)]
    run_command("score", *some, "--data", data, "--out", tmp_path / "some")
    held_out = {case for number in (0, 2) for case in splits(raw)[number]["val"]}
    assert {row["case"] for row in read_metrics_csv(tmp_path / "some" / "metrics.csv")} == held_out
