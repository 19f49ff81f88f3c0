"""Exports: equal to the network, self-describing, calibrated on training scans alone, refused beyond a tolerance."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import dataset, tiny_overrides
from network_table import NETWORKS
from torch import nn

from pipeline.core.atomic import write_json
from pipeline.core.configuration import INFERENCE, merged
from pipeline.core.errors import InputError
from pipeline.core.project import ROOT
from pipeline.data.study import load_study, open_study
from pipeline.inference.features import UNTRAINED, Model, parsed, trained, untrained
from pipeline.inference.fold_scans import calibration_inputs, chosen_scans, inputs_of, prepared
from pipeline.small_devices import parity
from pipeline.small_devices.deployed import NORMALISED, Probabilities, metadata
from pipeline.small_devices.export import check_formats, export, refuse_optional
from pipeline.small_devices.formats import operation_in, write_onnx
from pipeline.small_devices.parity import Agreement, agreements, complaint
from pipeline.small_devices.prepared import with_fixed_size
from pipeline.small_devices.runner_agreement import RUN_ONNX
from pipeline.small_devices.runners import onnx_runner, passes, spread, torch_runner

for needed in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

TINY = {
    "anam_net": {"network_def::features": [8, 8, 12, 16]},
    "unet_3d": {"network_def::features": [2, 4, 6]},
}
BY_BUNDLE = {network.bundle: network for network in NETWORKS}
# The default tests take these; all the others are slow
FEW = ("small_covid_net", "unet_3d")
# And the operation that ONNX does not have: of spectral pooling, on complex numbers
NOT_IN_ONNX = {"raiu_net": "aten.select_scatter.default"}
# Of probabilities; tiny networks' logits go up to thousands
CLOSE = 3e-5


def fold_of(folder: Path, network: str) -> Path:
    """Fold 0 of a cross-validation of two tiny chests, its weights drawn at random; case_1 or case_0 is held out."""
    cv = folder / "runs" / network / "cv"
    open_study(cv, dataset(folder / "data", ["one", "two", "three", "four"]), 2)
    own = {"spacing_mm": [0, 0, 0], "slice_size": [32, 32], "patch_size": [16, 16, 8], **TINY[network]}
    overrides = {key: value for key, value in {**tiny_overrides(), **own}.items() if key != "scales"}
    configuration = merged(INFERENCE, network, "demo", overrides, {})
    write_json(cv / "inference.json", configuration)
    (cv / "fold0").mkdir()
    torch.save(Model(parsed(configuration), None).network().state_dict(), cv / "fold0" / "model.pt")
    return cv / "fold0"


@pytest.fixture(scope="module")
def anam_fold(tmp_path_factory):
    return fold_of(tmp_path_factory.mktemp("anam"), "anam_net")


@pytest.fixture(scope="module")
def exported(anam_fold, tmp_path_factory):
    """Where a tiny Anam-Net lies in all formats, and what was printed."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        return folder, in_all_formats(anam_fold, folder, patch)


def in_all_formats(fold: Path, folder: Path, patch: pytest.MonkeyPatch) -> str:
    """What is printed of an export whose 8 bits are not judged: labels of random weights stand on a knife's edge."""
    patch.setattr(parity, "LARGEST_CHANGE", 1.0)
    patch.setattr(parity, "LARGEST_DICE_LOSS", 1.0)
    return export(trained(fold), None, ["onnx", "onnx-int8", "torchscript"], folder, repeats=1)


def onnx_model(file: Path):
    import onnx

    return onnx.load(file)


def props(file: Path) -> dict[str, str]:
    return {prop.key: prop.value for prop in onnx_model(file).metadata_props}


def largest_difference(bundle: str, folder: Path, count: int) -> float:
    """Of the probabilities of a network of the contract's table in ONNX, for as many inputs."""
    network = BY_BUNDLE[bundle]
    module = Probabilities(network.small()).eval()
    write_onnx(module, bundle, network.size, {}, folder / "network.onnx")
    images = network.ramp(batch=count)
    with torch.inference_mode():
        return float((onnx_runner(folder / "network.onnx", 1)(images) - module(images)).abs().max())


@pytest.mark.parametrize("bundle", FEW)
def test_onnx_equals_eager_for_a_number_of_slices_it_was_not_made_with(bundle, tmp_path):
    assert largest_difference(bundle, tmp_path, 3) < CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("bundle", sorted(BY_BUNDLE.keys() - {*FEW, *NOT_IN_ONNX}))
def test_every_other_network_exports_to_onnx(bundle, tmp_path):
    assert largest_difference(bundle, tmp_path, 3) < CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("bundle", NOT_IN_ONNX)
def test_a_network_that_onnx_cannot_express_names_the_operation(bundle, tmp_path):
    with pytest.raises(InputError, match=rf"^NETWORK {bundle} cannot be .*{NOT_IN_ONNX[bundle]} has no form in ONNX"):
        largest_difference(bundle, tmp_path, 3)


def test_every_format_is_written_with_the_tables(exported):
    files = {"anam_net.onnx", "anam_net_int8.onnx", "anam_net.ts", "run_onnx.py"}
    assert {file.name for file in exported[0].iterdir()} == files | {"export.md", "export.json", "export.csv"}


def test_the_table_tells_how_far_the_runner_agrees_with_make_predict(exported):
    notes = json.loads((exported[0] / "export.json").read_text())["notes"]
    told = [note for note in notes if note.startswith("run_onnx.py, onnx: beside the label of make predict MODE=exact")]
    assert re.search(r", (\d+) of 5760 voxels differ; Dice ", told[0])


def test_the_runner_that_lies_beside_the_files_is_the_projects_own(exported):
    assert (exported[0] / "run_onnx.py").read_bytes() == RUN_ONNX.read_bytes()


@pytest.mark.slow
def test_a_3d_network_is_written_in_every_format(tmp_path, monkeypatch):
    in_all_formats(fold_of(tmp_path, "unet_3d"), tmp_path / "export", monkeypatch)
    assert {"unet_3d.onnx", "unet_3d_int8.onnx", "unet_3d.ts"} <= {
        file.name for file in (tmp_path / "export").iterdir()
    }


def test_the_table_has_a_row_a_format(exported):
    rows = json.loads((exported[0] / "export.json").read_text())["formats"]
    assert [row["format"] for row in rows] == ["eager float32", "onnx", "onnx-int8", "torchscript"]


def test_formats_in_float_agree_with_eager_on_the_held_out_scans(exported):
    rows = {row["format"]: row for row in json.loads((exported[0] / "export.json").read_text())["formats"]}
    assert max(rows[kind]["largest_difference"] for kind in ("onnx", "torchscript")) < CLOSE


def test_the_printed_text_names_the_held_out_scans(exported, anam_fold):
    held_out = [case["case"] for case in load_study(anam_fold.parent).held_out(0)]
    assert f"held out from fold 0 ({', '.join(held_out)})" in " ".join(exported[1].split())


def test_the_number_of_slices_is_free_and_their_size_fixed(exported):
    (image,) = onnx_model(exported[0] / "anam_net.onnx").graph.input
    assert [axis.dim_param or axis.dim_value for axis in image.type.tensor_type.shape.dim] == ["slices", 1, 32, 32]


@pytest.mark.parametrize("name", ["anam_net.onnx", "anam_net_int8.onnx"])
def test_an_onnx_file_tells_its_labels_and_its_preprocessing(exported, name):
    told = props(exported[0] / name)
    labels = json.loads(told["label_names"])
    numbers = [json.loads(told[key]) for key in ("window_hu", "spacing_mm", "input_size")]
    assert labels == ["background", "left_lung", "right_lung", "infection"]
    assert numbers == [[-1250.0, 250.0], [0.0, 0.0, 0.0], [32, 32]]


def test_torchscript_tells_what_onnx_tells(exported):
    extra = {"metadata.json": ""}
    torch.jit.load(str(exported[0] / "anam_net.ts"), _extra_files=extra)
    assert json.loads(extra["metadata.json"]) == props(exported[0] / "anam_net.onnx")


def test_no_file_names_this_machines_folders(exported, tmp_path):
    texts = [file.read_bytes() for file in exported[0].iterdir()]
    assert not any(str(ROOT).encode() in text or str(exported[0].parent).encode() in text for text in texts)


def test_int8_has_a_scale_for_each_output_channel(exported):
    graph = onnx_model(exported[0] / "anam_net_int8.onnx").graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    scales = [shapes.get(node.input[1]) for node in graph.node if node.op_type == "DequantizeLinear"]
    assert [8] in scales


def test_int8_keeps_the_softmax_in_float(exported):
    graph = onnx_model(exported[0] / "anam_net_int8.onnx").graph
    assert graph.output[0].name in next(node for node in graph.node if node.op_type == "Softmax").output


def test_int8_is_calibrated_on_training_scans_alone(anam_fold):
    chosen = chosen_scans(trained(anam_fold), None)
    names = [{case["case"] for case in cases} for cases in (chosen.calibration, chosen.compared)]
    study = load_study(anam_fold.parent)
    assert names == [{case["case"] for case in cases} for cases in (study.training(0), study.held_out(0))]


def test_scans_that_are_given_are_compared_on_but_not_calibrated_on(anam_fold, tmp_path):
    chosen = chosen_scans(trained(anam_fold), dataset(tmp_path, ["other"]))
    assert [case["image"] for case in chosen.compared] == [str(tmp_path / "images" / "case_0.nii.gz")]
    assert str(tmp_path) not in {case["image"] for case in chosen.calibration}


def test_calibration_takes_as_many_inputs_of_every_scan(anam_fold):
    model = trained(anam_fold)
    cases = load_study(anam_fold.parent).training(0)
    model, _ = with_fixed_size(model, cases)
    assert [one.shape for one in calibration_inputs(model, cases, 6)] == [(1, 1, 32, 32)] * 6


def test_a_slice_is_padded_to_the_size_of_the_largest_scan(anam_fold, tmp_path):
    model = trained(anam_fold)
    model.parser["slice_size"] = [8, 8]
    # The chests have 24 x 20 pixels, of which 32 is the next multiple
    assert with_fixed_size(model, load_study(anam_fold.parent).held_out(0))[1] == (32, 32)


def test_a_3d_network_gets_windows(tmp_path):
    fold = fold_of(tmp_path, "unet_3d")
    model = trained(fold)
    seen = inputs_of(model, prepared(model, load_study(fold.parent).held_out(0)[0]))
    assert seen.shape[1:] == (1, 16, 16, 8)


def test_initial_weights_need_scans():
    with pytest.raises(InputError, match=r"^INPUT is empty, and initial weights have no scans"):
        chosen_scans(untrained("anam_net", "demo"), None)


def test_initial_weights_say_so():
    assert metadata(untrained("anam_net", "demo"), (96, 96))["weights"] == UNTRAINED


def test_a_model_outside_a_cross_validation_is_refused(tmp_path):
    (tmp_path / "model.pt").touch()
    with pytest.raises(InputError, match=r"is in no fold of a cross-validation"):
        chosen_scans(Model(untrained("anam_net", "demo").parser, tmp_path / "model.pt"), None)


def test_every_normalisation_is_told_in_words():
    from pipeline.scans.front import NORMALISATIONS

    assert NORMALISED.keys() == NORMALISATIONS.keys()


def test_an_export_beyond_its_tolerance_is_an_error_and_not_kept(anam_fold, tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(
        InputError, match=r"^anam_net: beyond tolerance and not kept: torchscript: a probability differs"
    ):
        export(trained(anam_fold), None, ["torchscript"], tmp_path, repeats=1)
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["export.csv", "export.json", "export.md"]


@pytest.mark.parametrize(
    ("name", "own", "trained_", "told"),
    [
        ("onnx", Agreement(difference=0.0005), True, None),
        ("onnx", Agreement(difference=0.002), True, "onnx: a probability differs by 0.002"),
        ("onnx", Agreement(difference=math.inf), True, "onnx: a probability differs by inf"),
        ("onnx-int8", Agreement(difference=0.9, changed=1, found=100), True, None),
        ("onnx-int8", Agreement(changed=9, found=100), True, "onnx-int8: 9.0% of the labels change"),
        ("onnx-int8", Agreement(changed=9, found=100), False, None),
        ("onnx-int8", Agreement(dice={"lungs": [0.8]}), True, "onnx-int8: the Dice of lungs falls by 0.100"),
        ("onnx-int8", Agreement(dice={"lungs": [0.89], "infection": [math.nan]}), True, None),
    ],
)
def test_what_is_beyond_a_tolerance_is_told(name, own, trained_, told):
    found = complaint(name, own, Agreement(dice={"lungs": [0.9], "infection": [math.nan]}), trained_)
    assert found is None if told is None else found.startswith(told)


def test_the_share_of_changed_labels_is_of_what_either_network_finds():
    agreement = Agreement()
    same = torch.zeros(2, 1, 1, 4)
    agreement.add(same, same, (np.array([[[0, 0, 1, 1]]]), np.array([[[0, 1, 1, 1]]])))
    assert agreement.changed_share == pytest.approx(1 / 3)


def test_a_probability_that_is_no_number_is_an_infinite_difference():
    agreement = Agreement()
    labels = np.zeros((1, 1, 1))
    agreement.add(torch.zeros(2, 1, 1, 1), torch.full((2, 1, 1, 1), math.nan), (labels, labels))
    assert agreement.difference == math.inf


def test_a_network_agrees_with_itself(anam_fold):
    model = trained(anam_fold)
    network = torch_runner(Probabilities(model.network()).eval(), 1)
    found = agreements(model, load_study(anam_fold.parent).held_out(0)[:1], {parity.EAGER: network, "again": network})
    assert (found["again"].difference, found["again"].changed) == (0.0, 0)


class Unknown(nn.Module):
    """A function of which ONNX has nothing."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(image)


def test_an_operation_that_onnx_does_not_have_is_named(tmp_path):
    with pytest.raises(InputError, match=r"^NETWORK made_up cannot be .* its operation \S*bessel_j0\S* has no form in"):
        write_onnx(Unknown(), "made_up", (8, 8), {}, tmp_path / "network.onnx")


def test_the_operation_that_the_exporter_stumbled_over_is_found_in_a_cause():
    error = ValueError("Failed to decompose")
    error.__cause__ = RuntimeError(
        "no.\n\nWhile executing %copy : = call_function[target=torch.ops.aten.copy.default]()"
    )
    assert operation_in(error) == "aten.copy.default"


def test_an_error_without_an_operation_names_none():
    assert operation_in(ValueError("something else")) is None


@pytest.mark.parametrize("given", [[], ["onnx", "tflite"]])
def test_an_unknown_format_is_refused(given):
    with pytest.raises(InputError, match=r"^FORMAT is '.*', expected some of: onnx, onnx-int8, torchscript\.$"):
        check_formats(given)


def test_without_its_packages_onnx_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"needs the package onnxruntime, .*pip install '\.\[export\]'$"):
        check_formats(["onnx"])


def test_torchscript_needs_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert check_formats(["torchscript"]) is None


def test_a_detector_is_refused():
    with pytest.raises(InputError, match=r"^NETWORK mask_rcnn cannot be exported: it works on a list of boxes"):
        refuse_optional("mask_rcnn")


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    torch_runner(nn.Identity(), before + 1)(torch.zeros(1))
    assert torch.get_num_threads() == before


def test_every_runner_is_timed_after_a_warm_up():
    calls: list[str] = []
    runners = {name: lambda image, name=name: calls.append(name) or image for name in "ab"}
    assert passes(runners, torch.zeros(1), 2).keys() == {"a", "b"}
    assert calls == ["a", "b"] * 3


def test_repeats_differ_by_a_share_of_their_median():
    assert spread([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]]) == 1.5
