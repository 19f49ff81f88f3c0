"""`run_onnx.py` goes by what a file says alone, gives the labels of `make predict MODE=exact`, overwrites nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from conftest import chest, placed
from exported import small_run
from monai.data.utils import dense_patch_slices
from scipy import ndimage

from evaluation.measures.metrics import dice
from pipeline.export.verify import STANDALONE
from pipeline.inference.features import trained
from pipeline.prediction.predict import predict
from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.small_parts import without_small_parts
from pipeline.small_devices.deployed import Probabilities, changed, metadata
from pipeline.small_devices.formats import write_onnx
from pipeline.small_devices.prepared import with_fixed_size
from pipeline.small_devices.runner_agreement import RUN_ONNX
from pipeline.small_devices.scheme import SCHEME, to_grey_levels, to_grid

for needed in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)
run_onnx = pytest.importorskip("pipeline.small_devices.run_onnx")

# Hides from a process all that is installed but three packages and what these require
GUARD = """\
import importlib.metadata, importlib.util, sys
spec = importlib.util.spec_from_file_location("standalone", {standalone!r})
standalone = importlib.util.module_from_spec(spec)
spec.loader.exec_module(standalone)
allowed = standalone.with_requirements(["numpy", "onnxruntime", "SimpleITK"])
owners = importlib.metadata.packages_distributions()
refused = {{name for name, by in owners.items() if not allowed & {{standalone.normal(one) for one in by}}}}
sys.meta_path[:] = [standalone.Guard(refused | {{*standalone.OWN}}, list(sys.meta_path))]
"""
# Axes that go to the front, the right and the head, turned by some degrees about the last one
COS, SIN = np.cos(0.2), np.sin(0.2)
TURNED = (SIN, -COS, 0.0, -COS, -SIN, 0.0, 0.0, 0.0, 1.0)
# What a network sees, and how: network and settings
WAYS = {
    "windows": ("unet_3d", {"spacing_mm": [1.6, 1.5, 2.0], "patch_size": [16, 16, 8], "interpolation_order": 3}),
    "mirrored": (
        "unet_3d",
        {"spacing_mm": [3, 3, 0], "patch_size": [16, 24, 32], "infection_threshold": 0.3, "smallest_lung_part": 0.4},
    ),
    "slices": ("anam_net", {"spacing_mm": [0, 0, 0], "slice_size": [64, 64], "normalisation": "zscore"}),
    "tiles": ("anam_net", {"slice_pixels": 50, "slice_size": [32, 32], "in_tiles": True, "normalisation": "unit"}),
}

SLOW = ("mirrored", "tiles")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    file = tmp_path_factory.mktemp("scan") / "chest.nii.gz"
    sitk.WriteImage(chest(size=(40, 36, 20), direction=TURNED)[0], str(file))
    return file


@pytest.fixture(scope="module")
def made(tmp_path_factory, scan):
    """The ONNX file of one of WAYS, exported once, and the label map that `make predict MODE=exact` writes."""

    @cache
    def of_way(way):
        folder = tmp_path_factory.mktemp(way)
        network, settings = WAYS[way]
        fold = small_run(network, folder / "cv", {"device": "$torch.device('cpu')", **settings}, folds=1) / "fold0"
        find_all_classes(fold, scan)
        predict(fold, scan, folder / "labels", mode="exact", pages=False)
        model, size = with_fixed_size(changed(trained(fold), {"mixed_precision": False}), [{"image": str(scan)}])
        file = folder / f"{way}.onnx"
        write_onnx(Probabilities(model.network()).eval(), network, size, metadata(model, size), file)
        return file, folder / "labels" / scan.name

    return of_way


def find_all_classes(fold: Path, scan: Path) -> None:
    """Make the last layer of a model that has learned little give each class logits of mean 0 and deviation 1."""
    model = trained(fold)
    image = model.setting("preprocessing")({"case": "chest", "image": str(scan)})["image"]
    logits = model.infer(model.network(), image)[0][0].flatten(1)
    weights = torch.load(fold / "model.pt", weights_only=True)
    bias = [name for name, weight in weights.items() if name.endswith("bias") and len(weight) == len(logits)][-1]
    weight = bias.replace("bias", "weight")
    weights[bias] = (weights[bias] - logits.mean(1)) / logits.std(1)
    weights[weight] /= logits.std(1).reshape(-1, *[1] * (weights[weight].ndim - 1))
    torch.save(weights, fold / "model.pt")


def alone(folder: Path, *words: object, program: Path = RUN_ONNX) -> subprocess.CompletedProcess[str]:
    """`run_onnx.py`, copied to a folder, in a process that finds nothing but what it says it needs."""
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD.format(standalone=str(STANDALONE)))
    copy = shutil.copyfile(program, folder / "guard" / "copy.py")
    environment = {**os.environ, "PYTHONPATH": str(folder / "guard")}
    command = [sys.executable, str(copy), *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def run(monkeypatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["run_onnx.py", *map(str, words)])
    run_onnx.main()


def onnx_file(folder: Path, props: dict[str, str]) -> Path:
    """A network that does nothing, and says what is given of itself."""
    import onnx

    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("image", "same")]
    node = onnx.helper.make_node("Identity", ["image"], ["same"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "none", value[:1], value[1:]), ir_version=8)
    model.opset_import[0].version = 18
    onnx.helper.set_model_props(model, props)
    onnx.save(model, folder / "made.onnx")
    return folder / "made.onnx"


def told_of(front: Front) -> dict:
    return json.loads(json.dumps({**to_grid(front), **to_grey_levels(front)}))


@pytest.mark.parametrize("way", ["windows", "slices", *(pytest.param(way, marks=pytest.mark.slow) for way in SLOW)])
def test_the_label_is_that_of_make_predict_without_torch_monai_scipy_and_this_project(way, made, scan, tmp_path):
    file, expected = made(way)
    done = alone(tmp_path, file, scan, tmp_path / "label.nii.gz")
    assert done.returncode == 0, done.stderr
    theirs, own = (sitk.GetArrayFromImage(sitk.ReadImage(str(one))) for one in (expected, tmp_path / "label.nii.gz"))
    found = {int(number) for number in np.unique(theirs)} - {0}
    assert len(found) > 1
    assert min(dice(theirs == number, own == number) for number in found) > 0.999


@pytest.mark.parametrize("hidden", ["torch", "monai", "scipy", "pipeline"])
def test_the_process_of_these_tests_does_not_find(hidden, tmp_path):
    (tmp_path / "asks.py").write_text(f"import numpy, onnxruntime, SimpleITK\nimport {hidden}")
    done = alone(tmp_path, program=tmp_path / "asks.py")
    assert f"ModuleNotFoundError: No module named '{hidden}'" in done.stderr


def test_the_label_lies_on_the_scans_grid(made, scan, tmp_path, monkeypatch):
    run(monkeypatch, made("slices")[0], scan, tmp_path / "label.nii.gz")
    grids = [Geometry.of(sitk.ReadImage(str(file))) for file in (scan, tmp_path / "label.nii.gz")]
    assert grids[0].differences(grids[1]) == []


def test_scheme_and_runner_have_the_same_number():
    assert str(SCHEME) == run_onnx.SCHEME


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("normalisation", ["zscore", "window", "landmarks"])
def test_a_scan_is_prepared_as_the_project_does(order, normalisation):
    front = Front(spacing_mm=(1.7, 0, 1.3), order=order, normalisation=normalisation)
    scan = chest(size=(30, 28, 14), direction=TURNED)[0]
    voxels, grid = run_onnx.prepared(scan, told_of(front))
    assert Geometry.of(grid).differences(front.grid(Geometry.of(scan)), tolerance_mm=1e-6) == []
    assert np.abs(voxels - front.image(scan, "chest")[0]).max() < 1e-4


def test_slices_of_a_number_of_pixels_have_it_along_their_longer_side():
    # 36 mm and 30 mm
    scan = chest(size=(30, 20, 8))[0]
    assert run_onnx.prepared(scan, told_of(Front(slice_pixels=33)))[0].shape[:2] == (33, 27)


def test_every_value_of_16_bits_becomes_the_grey_level_that_the_project_gives_it():
    values = placed(np.arange(2**16, dtype=np.uint16).view(np.int16).reshape(256, 256, 1))
    front = Front(spacing_mm=(0, 0, 0), order=0, normalisation="unit")
    assert np.array_equal(run_onnx.prepared(values, told_of(front))[0], front.image(values, "all")[0])


def test_a_scan_in_grey_stays_as_it_is():
    grey = placed(np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 10)
    told = told_of(Front(spacing_mm=(0, 0, 0), normalisation="unit"))
    assert np.allclose(run_onnx.prepared(grey, told)[0] * 255, np.arange(24).reshape(2, 3, 4) * 10)


def test_probabilities_go_back_as_the_project_takes_them_back():
    front = Front(spacing_mm=(2.1, 2.6, 2.0))
    scan = chest(size=(26, 22, 10), direction=TURNED)[0]
    scanner = Geometry.of(scan)
    shares = np.random.default_rng(0).dirichlet(np.ones(4), front.grid(scanner).size).astype(np.float32)
    shares = np.ascontiguousarray(np.moveaxis(shares, -1, 0))
    told = {"class_factors": [1.0] * 4, "label_values": [0, 1, 2, 3], "way_back_order": 1, "smallest_part": 0}
    own = run_onnx.label_map(shares, front.grid(scanner).empty_image(), scan, told)
    theirs = front.probabilities_to_label(shares, scanner)
    assert np.array_equal(sitk.GetArrayFromImage(own), sitk.GetArrayFromImage(theirs))


def test_a_factor_weighs_a_class_and_its_value_is_written():
    shares = np.array([0.6, 0.4], np.float32).reshape(2, 1, 1, 1)
    image = placed(np.zeros((1, 1, 1), np.uint8))
    told = {"class_factors": [1.0, 2.0], "label_values": [0, 7], "way_back_order": 1, "smallest_part": 0}
    assert sitk.GetArrayFromImage(run_onnx.label_map(shares, image, image, told)).item() == 7


def test_small_parts_are_background_as_in_the_project():
    # Blobs of many sizes, some of which touch by a corner alone
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(24, 22, 20)), 1)
    shares = np.stack([np.where(noise > 0.12, 0.2, 0.8), np.where(noise > 0.12, 0.8, 0.2)]).astype(np.float32)
    expected = without_small_parts(torch.from_numpy(shares), 0.05).numpy()
    assert 0 < expected.argmax(0).sum() < shares.argmax(0).sum()
    assert np.array_equal(run_onnx.without_small_parts(shares, 0.05), expected)


@pytest.mark.parametrize(("length", "size", "step"), [(8, 8, 4), (9, 8, 4), (12, 8, 4), (30, 8, 3), (21, 8, 8)])
def test_windows_begin_where_those_of_monai_do(length, size, step):
    theirs = [window[0].start for window in dense_patch_slices((length,), (size,), (step,))]
    assert run_onnx.starts(length, size, step) == theirs


class TwoWindows:
    """Of three voxels the first two, then the last two, with other probabilities of two classes."""

    @staticmethod
    def get_inputs():
        return [type("Input", (), {"name": "image"})]

    @staticmethod
    def run(_, inputs):
        first, second = (0.9, 0.1), (0.2, 0.8)
        shares = [first if image[0, 0, 0, 0] == 0 else second for image in inputs["image"]]
        return [np.array(shares, np.float32)[:, :, None, None, None].repeat(2, axis=4)]


def test_overlapping_windows_are_joined_by_their_logits():
    told = {"input_size": [1, 1, 2], "steps": [1, 1, 1], "inputs": "windows", "padding": "mirrored", "at_once": 1}
    image = np.arange(3, dtype=np.float32).reshape(1, 1, 3)
    shares = run_onnx.probabilities(TwoWindows, image, {**told, "label_values": [0, 1]})
    # The mean of logits is the geometric mean of odds: the roots of .9 * .2 and of .1 * .8
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.2, 0.8]])).mean(0)
    assert np.allclose(shares[:, 0, 0], np.array([[0.9, logits.softmax(0)[0], 0.2], [0.1, logits.softmax(0)[1], 0.8]]))


def test_a_probability_of_zero_is_none_of_a_nan():
    class Sure(TwoWindows):
        @staticmethod
        def run(_, inputs):
            return [np.array([[1.0, 0.0]], np.float32)[:, :, None, None, None].repeat(2, axis=4)]

    told = {"input_size": [1, 1, 2], "steps": [1, 1, 1], "inputs": "windows", "padding": "mirrored", "at_once": 1}
    shares = run_onnx.probabilities(Sure, np.zeros((1, 1, 3), np.float32), {**told, "label_values": [0, 1]})
    assert np.allclose(shares[0], 1)


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({}, r"made\.onnx: has scheme None, expected 2; "),
        ({"scheme": "1"}, r"made\.onnx: has scheme 1, expected 2; "),
        ({"scheme": "2", "needs": '["lungs"]'}, r"made\.onnx: needs lungs that another network finds"),
    ],
)
def test_a_file_that_does_not_say_all_is_refused(props, message, scan, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, onnx_file(tmp_path, props), scan, tmp_path / "label.nii.gz")


def test_what_is_no_onnx_file_is_refused(scan, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"chest\.nii\.gz: ONNX Runtime cannot open it"):
        run(monkeypatch, scan, scan, tmp_path / "label.nii.gz")


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 4, 2)])
def test_a_scan_that_is_no_volume_is_refused(shape, tmp_path, monkeypatch):
    file = onnx_file(tmp_path, {"scheme": "2", "needs": "[]"})
    sitk.WriteImage(sitk.Image(shape, sitk.sitkInt16), str(tmp_path / "scan.nii"))
    with pytest.raises(SystemExit, match=rf"scan\.nii: has {len(shape)} axes and 1 numbers a voxel, expected 3 and 1"):
        run(monkeypatch, file, tmp_path / "scan.nii", tmp_path / "label.nii.gz")


def test_a_file_that_is_no_scan_is_refused(tmp_path, monkeypatch):
    file = onnx_file(tmp_path, {"scheme": "2", "needs": "[]"})
    with pytest.raises(SystemExit, match=r"made\.onnx: cannot be read as a scan"):
        run(monkeypatch, file, file, tmp_path / "label.nii.gz")


@pytest.mark.parametrize("values", [(0, 1000), (7, 7), (-1000, np.nan)])
def test_a_scan_whose_values_nobody_knows_is_refused(values):
    scan = placed(np.array(values, np.float32).reshape(1, 1, 2))
    with pytest.raises(SystemExit, match=r"^The scan holds .*, expected Hounsfield units or grey 0 to 255"):
        run_onnx.grey_levels(scan, told_of(Front()))


def test_a_slice_that_is_larger_than_the_file_takes_is_refused():
    told = {"input_size": [8, 8], "steps": [8, 8], "inputs": "slices"}
    with pytest.raises(SystemExit, match=r"^Prepared slices have \(8, 9\) pixels, the file takes \(8, 8\)"):
        run_onnx.probabilities(None, np.zeros((8, 9, 4), np.float32), told)


@pytest.mark.parametrize("name", ["scan.nii.gz", "folder", "folder/missing/label.nii.gz", "label.png"])
def test_a_target_that_cannot_be_written_or_is_there_is_refused_before_anything_is_read(name, tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "scan.nii.gz").write_bytes(b"a scan")
    with pytest.raises(SystemExit, match=rf"{name}: expected a new file, "):
        run(monkeypatch, "none.onnx", tmp_path / "scan.nii.gz", tmp_path / name)
    assert (tmp_path / "scan.nii.gz").read_bytes() == b"a scan"


def test_without_three_names_it_says_how_it_is_run(monkeypatch):
    with pytest.raises(SystemExit, match=r"python run_onnx\.py unet_3d\.onnx scan\.nii\.gz label\.nii\.gz"):
        run(monkeypatch, "one.onnx")


def test_refusals_are_one_line_in_a_process(scan, tmp_path):
    done = alone(tmp_path, onnx_file(tmp_path, {}), scan, tmp_path / "label.nii.gz")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
