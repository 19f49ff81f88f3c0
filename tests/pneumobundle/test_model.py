"""A model in a program: whatever a scan is given as, the label is that of the file, and nothing is said or written."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import exported_once
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from conftest import chest
from dicom_makers import classic, write
from exported import small_run
from monai.data import MetaTensor
from monai.transforms import LoadImage

import pneumobundle as pb
from pipeline.bundle_files.archive import zip_bundle
from pipeline.core.atomic import read_json
from pipeline.folders.manifest import BEGUN
from pipeline.prediction.predict import predict

TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
QUIET = """
import os, sys
import nibabel
import pneumobundle as pb
os.chdir(sys.argv[3])
with pb.load(sys.argv[1]) as model:
    model.segment(sys.argv[2])
    model.segment(nibabel.load(sys.argv[2])).probability('infection')
"""


def large_chest(seed: int = 0, direction: tuple[float, ...] = TURNED) -> sitk.Image:
    """Of a person's size, in which a small network finds something."""
    return chest((60, 50, 30), (5.0, 6.0, 9.0), direction=direction, seed=seed)[0]


@pytest.fixture(scope="module")
def run(shared_folder) -> Path:
    return exported_once.run(shared_folder, "unet_3d")


@pytest.fixture(scope="module")
def models(run, shared_folder, tmp_path_factory) -> dict[str, Path]:
    """A fold, an ensemble, a bundle and a zip file."""
    bundle = exported_once.bundle(shared_folder, "unet_3d")
    copy = Path(shutil.copytree(bundle, tmp_path_factory.mktemp("zip") / bundle.name))
    return {"fold": run / "fold0", "ensemble": run, "bundle": bundle, "zip": zip_bundle(copy, "0.1.0")}


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    """A chest that lies on its side, so that axes must not be mixed up."""
    file = tmp_path_factory.mktemp("scan") / "a.nii.gz"
    sitk.WriteImage(large_chest(3), str(file))
    return file


@pytest.fixture(scope="module")
def predicted(models, scan, tmp_path_factory) -> dict[str, Path]:
    """What `make predict` makes of the scan by each model."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in models}
    for kind, folder in folders.items():
        predict(models[kind], scan, folder)
    return folders


@pytest.fixture(scope="module")
def model(run):
    with pb.load(run / "fold0") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def of_file(model, scan) -> pb.Result:
    return model.segment(scan)


def voxels(file: Path) -> np.ndarray:
    """(W, H, D)."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file))).transpose(2, 1, 0)


def given(kind: str, file: Path) -> dict:
    """The scan of a file as something else."""
    image = nibabel.load(file)
    array = np.asanyarray(image.dataobj)
    return {
        "path": lambda: {"scan": str(file)},
        "SimpleITK": lambda: {"scan": sitk.ReadImage(str(file))},
        "nibabel": lambda: {"scan": image},
        "array": lambda: {"scan": array, "affine": image.affine},
        "float64": lambda: {"scan": image.get_fdata(), "affine": image.affine},
        "big-endian": lambda: {"scan": array.astype(">i2"), "affine": image.affine},
        "tensor": lambda: {"scan": torch.from_numpy(array.copy())[None], "affine": image.affine},
        "MetaTensor": lambda: {"scan": MetaTensor(array.copy(), affine=torch.from_numpy(image.affine))},
        "MONAI": lambda: {"scan": LoadImage(image_only=True, ensure_channel_first=True)(file)},
    }[kind]()


KINDS = ("path", "SimpleITK", "nibabel", "array", "float64", "big-endian", "tensor", "MetaTensor", "MONAI")


@pytest.mark.parametrize("which", ["fold", "ensemble", "bundle", "zip"])
def test_every_kind_of_scan_has_the_label_that_predict_writes(which, models, predicted, scan):
    expected = voxels(predicted[which] / "a.nii.gz")
    assert len(np.unique(expected)) > 1
    with pb.load(models[which]) as loaded:
        differing = {kind: int((loaded.segment(**given(kind, scan)).label != expected).sum()) for kind in KINDS}
    assert differing == dict.fromkeys(KINDS, 0)


@pytest.mark.parametrize("which", ["fold", "ensemble", "zip"])
def test_save_writes_what_predict_writes(which, models, predicted, scan, tmp_path):
    with pb.load(models[which]) as loaded:
        loaded.segment(scan).save(tmp_path)
    mine, theirs = (
        {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in (tmp_path, predicted[which])
    )
    # Of all scans of a folder
    del theirs["results.csv"]
    changing = ("at", "seconds", "peak_memory_mib")
    told = [{k: v for k, v in json.loads(files.pop("a.json")).items() if k not in changing} for files in (mine, theirs)]
    assert told[0] == told[1]
    assert mine == theirs


def test_dicom_is_segmented_and_saved_with_its_objects(model, tmp_path):
    write(classic(chest(seed=5)[0]), tmp_path / "study")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for file in (tmp_path / "study").iterdir():
            archive.write(file, file.name)
    predict(model_folder(model), tmp_path / "study", tmp_path / "predicted")
    for kind in ("study", "study.zip"):
        result = model.segment(tmp_path / kind, name="a")
        saved = result.save(tmp_path / f"of {kind}")
        assert [file.name for file in saved[1:4]] == ["a.nii.gz", "a.seg.dcm", "a.sr.dcm"]
        (theirs,) = (tmp_path / "predicted").glob("*.nii.gz")
        np.testing.assert_array_equal(result.label, voxels(theirs))
    drawn_too = result.save(tmp_path / "drawn", rtstruct=True)
    assert [file.name for file in drawn_too[2:5]] == ["a.seg.dcm", "a.sr.dcm", "a.rtstruct.dcm"]


def model_folder(model: pb.Model) -> Path:
    return Path(model._scans.model.segmenter.workflow.parser["model_file"]).parent


def test_saving_returns_every_file(of_file, tmp_path):
    saved = of_file.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(file.name for file in saved)


def test_a_file_of_somebody_else_s_is_not_replaced(of_file, tmp_path):
    (tmp_path / "a.nii.gz").write_text("mine")
    with pytest.raises(pb.InputError, match=r"holds a\.nii\.gz, which this program did not write"):
        of_file.save(tmp_path)
    assert (tmp_path / "a.nii.gz").read_text() == "mine"


def test_another_scan_of_one_name_is_not_replaced(model, of_file, scan, tmp_path):
    model.segment(sitk.ReadImage(str(scan)), name="a").save(tmp_path)
    before = (tmp_path / "a.json").read_text()
    with pytest.raises(pb.InputError, match="another scan of this name"):
        model.segment(chest(seed=8)[0], name="a").save(tmp_path)
    assert (tmp_path / "a.json").read_text() == before


def test_what_was_not_written_to_its_end_is_begun_and_can_be_saved_again(of_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.prediction.case_files.CaseFiles.write_page", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            of_file.save(tmp_path)
    assert read_json(tmp_path / "a.json")["status"] == BEGUN
    assert of_file.save(tmp_path)[0] == tmp_path / "a.json"


def test_nothing_is_printed_and_nothing_written(run, scan, tmp_path, models):
    for which in (run / "fold0", models["zip"]):
        command = [sys.executable, "-c", QUIET, str(which), str(scan), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout + done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_loads_no_torch():
    told = subprocess.run(
        [sys.executable, "-c", "import pneumobundle, sys; print('torch' in sys.modules, pneumobundle.__all__)"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert told.startswith("False ['InputError', 'Model'")


def test_a_name_that_the_package_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        pb.segment  # noqa: B018


def test_the_array_that_was_given_stays_as_it_is(model, scan):
    asked = given("array", scan)
    before = asked["scan"].copy()
    model.segment(**asked).label[:] = 7
    np.testing.assert_array_equal(asked["scan"], before)


def test_a_caller_s_image_may_change_afterwards(model, scan, tmp_path):
    image = sitk.ReadImage(str(scan))
    result = model.segment(image, name="a")
    image[0, 0, 0] = 3000
    result.save(tmp_path)
    assert int(sitk.GetArrayViewFromImage(result._found.scan).max()) < 3000


def test_random_numbers_of_the_program_stay_its_own(run):
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    pb.load(run / "fold0").close()
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"scan": np.zeros((4, 5, 6))}, "scan: is an array with neither spacing_mm nor affine"),
        ({"scan": np.zeros((4, 5, 6)), "spacing_mm": (1, 1, 1), "affine": np.eye(4)}, "both spacing_mm and affine"),
        ({"scan": np.zeros((4, 5)), "spacing_mm": (1, 1, 1)}, r"has shape \(4, 5\); expected one volume"),
        ({"scan": np.zeros((2, 4, 5, 6)), "spacing_mm": (1, 1, 1)}, r"has shape \(2, 4, 5, 6\)"),
        ({"scan": np.zeros((6, 9, 9)), "spacing_mm": (5, 1, 1)}, r"looks like \(D, H, W\).*transpose\(2, 1, 0\)"),
        ({"scan": np.zeros((4, 5, 6)), "spacing_mm": (1, 1)}, "expected three lengths above 0"),
        ({"scan": np.zeros((4, 5, 6)), "spacing_mm": (1, 0, 1)}, "expected three lengths above 0"),
        ({"scan": np.zeros((4, 5, 6)), "affine": np.eye(3)}, "affine has 3 x 3 numbers, expected 4 x 4"),
        ({"scan": np.zeros((4, 5, 6), complex), "spacing_mm": (1, 1, 1)}, "type complex128; expected whole"),
        ({"scan": np.full((4, 5, 6), np.nan), "spacing_mm": (1, 1, 1)}, "120 NaN or infinite voxels"),
        ({"scan": np.zeros((4, 5, 6)), "spacing_mm": (1, 1, 1)}, "every voxel is 0; expected a CT scan"),
        ({"scan": [1, 2, 3]}, "is of type list; expected a path, an array"),
        ({"scan": sitk.Image(3, 3, 3, sitk.sitkInt16), "spacing_mm": (1, 1, 1)}, "brings its own grid"),
        ({"scan": sitk.Image(3, 3, 3, sitk.sitkVectorUInt8)}, "scan: has size .* expected one three-dimensional"),
        ({"scan": "nowhere.nii.gz"}, "there is no such file"),
        ({"scan": np.zeros((4, 5, 6)), "affine": np.eye(4), "name": "../a"}, "name is '../a'"),
        ({"scan": np.zeros((4, 5, 6)), "affine": np.eye(4), "series": "1.2"}, "series is 1.2, but scan is no DICOM"),
    ],
)  # fmt: skip
def test_what_cannot_be_segmented_is_told_in_a_sentence(model, wrong, told):
    with pytest.raises(pb.InputError, match=told) as caught:
        model.segment(**wrong)
    assert str(caught.value).count("\n") == 0


def test_a_file_brings_its_own_grid(model, scan):
    with pytest.raises(pb.InputError, match="a file brings its grid"):
        model.segment(scan, affine=np.eye(4))


def test_a_folder_of_several_scans_is_for_segment_many(model, scan, tmp_path):
    for name in "ab":
        shutil.copy(scan, tmp_path / f"{name}.nii.gz")
    with pytest.raises(pb.InputError, match="holds 2 scans"):
        model.segment(tmp_path)
    assert [result.name for result in model.segment_many(tmp_path)] == ["a", "b"]


def test_what_the_gate_refuses_is_segmented_anyway_and_says_so(model):
    dense = chest()[0] + 800
    with pytest.raises(pb.InputError, match="anyway=True segments it all the same"):
        model.segment(dense)
    assert any(told.startswith("segmented ANYWAY") for told in model.segment(dense, anyway=True).warnings)


def test_an_array_without_an_affine_is_said_to_be_assumed_to_lie_as_in_dicom(model):
    array = sitk.GetArrayFromImage(chest()[0]).transpose(2, 1, 0)
    result = model.segment(array, spacing_mm=(1.2, 1.5, 3.0))
    assert any("its axes were taken to grow" in told for told in result.warnings)
    np.testing.assert_allclose(np.diag(result.affine), (-1.2, -1.5, 3.0, 1))


def test_a_damaged_scan_ends_segment_many_or_is_collected(model, scan, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"no gzip")
    scans = [scan, tmp_path / "bad.nii.gz", chest(seed=1)[0]]
    with pytest.raises(pb.InputError, match="not readable"):
        list(model.segment_many(scans))
    failed: list[tuple[str, pb.InputError]] = []
    assert [result.name for result in model.segment_many(scans, failed)] == ["a", "scan_3"]
    assert [name for name, _ in failed] == ["bad"]


def test_threads_share_a_model_and_each_gets_its_own_scan(model):
    scans = [chest(seed=seed)[0] for seed in range(4)]
    alone = [model.segment(scan).label for scan in scans]
    with ThreadPoolExecutor(4) as pool:
        together = [result.label for result in pool.map(model.segment, scans)]
    for mine, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_a_model_that_was_closed_says_so_and_its_results_stay(run, scan):
    loaded = pb.load(run / "fold0")
    result = loaded.segment(scan)
    loaded.close()
    with pytest.raises(pb.InputError, match="the model was closed"):
        loaded.segment(scan)
    assert result.probability("infection").shape == result.label.shape


def test_a_bundle_s_copy_is_there_for_as_long_as_the_model(models, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pb.load(models["zip"]):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_two_bundles_with_one_code_may_be_open_at_a_time(models, predicted, scan):
    first = pb.load(models["bundle"])
    with pb.load(models["zip"]) as second:
        first.close()
        np.testing.assert_array_equal(second.segment(scan).label, voxels(predicted["bundle"] / "a.nii.gz"))


def test_a_bundle_of_one_name_with_other_code_is_refused_while_the_first_is_open(models, tmp_path):
    other = Path(shutil.copytree(models["bundle"], tmp_path / models["bundle"].name))
    (code,) = other.glob("*/__init__.py")
    code.write_text("CHANGED = True\n")
    with pb.load(models["bundle"]), pytest.raises(pb.InputError, match="close that model first"):
        pb.load(other, trust=True)


def test_a_configuration_that_reads_and_writes_files_alone_has_the_same_label(
    run, of_file, scan, tmp_path, monkeypatch
):
    # As those of versions before scans came as tensors
    monkeypatch.setattr("pipeline.inference.segmenter.LOADS", "nothing")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pb.load(run / "fold0") as older:
        for given_as in (scan, sitk.ReadImage(str(scan))):
            result = older.segment(given_as)
            np.testing.assert_array_equal(result.label, of_file.label)
        with pytest.raises(pb.InputError, match="segment it with probabilities=True"):
            result.probability("infection")
    assert list(tmp_path.iterdir()) == []


def test_a_mask_is_where_the_label_is_and_probabilities_add_up(of_file):
    np.testing.assert_array_equal(of_file.mask("lungs"), (of_file.label == 1) | (of_file.label == 2))
    shares = [of_file.probability(name) for name in of_file.labels.values()]
    assert shares[0].dtype == np.float32
    np.testing.assert_allclose(sum(shares), 1, atol=5e-3)


def test_the_label_is_nearly_everywhere_where_the_probability_is_largest(of_file):
    # Half precision may turn what is next to equal
    likeliest = np.argmax([of_file.probability(name) for name in of_file.labels.values()], axis=0)
    assert np.mean(likeliest != of_file.label) < 1e-3


def test_a_name_that_is_no_structure_is_told_with_the_nearest(of_file):
    for ask in (of_file.mask, of_file.probability):
        with pytest.raises(pb.InputError, match=r"knows no 'infections' \(did you mean infection\?\); expected one of"):
            ask("infections")


def test_eight_bits_are_not_made_unless_asked_for(run):
    pytest.importorskip("openvino", reason="openvino is not installed")
    with pytest.raises(pb.InputError, match="give make_eight_bits=True"):
        pb.load(run / "fold0", mode="int8", device="cpu")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"mode": "swift"}, "swift"),
        ({"device": "gpu"}, "device is 'gpu', expected"),
        ({"method": "all"}, "METHOD is 'all'"),
    ],
)
def test_a_model_that_cannot_be_loaded_so_is_told_in_a_sentence(run, wrong, told):
    with pytest.raises(pb.InputError, match=told):
        pb.load(run, **wrong)


def test_a_cascade_computes_on_the_device_that_was_asked_for_in_both_stages(tmp_path):
    run = small_run("chs_net", tmp_path / "cv", exported_once.OVERRIDES)
    with pb.load(run / "infection" / "fold0", device="cpu") as loaded:
        assert loaded.device == "cpu"
        first = loaded._scans.model.segmenter.evaluated("first_stage")
        assert first.settings["device"] == "$torch.device('cpu')"
        result = loaded.segment(chest()[0])
    assert {*result.labels.values()} == {"background", "lungs", "infection"}
    assert result.probability("infection").max() <= 1


def test_a_model_and_a_result_tell_what_they_are_in_a_line(model, of_file):
    assert repr(model) == "Model(unet_3d, its own mode, cpu)"
    assert repr(of_file).startswith("Result('a', 60 x 50 x 30")
