"""The 8 bits of a fold: made of its training scans alone, near the network, and of no other weights."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from conftest import dataset, tiny_overrides
from exported import small_run
from network_table import BY_BUNDLE, NETWORKS

from evaluation.measures.metrics import dice
from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.data.study import load_study, open_study
from pipeline.inference import calibration, first_use
from pipeline.inference.calibration import calibrate, opened, quantised, training_scans
from pipeline.inference.chosen_model import open_model
from pipeline.inference.eight_bits import (
    NoEightBitsError,
    eight_bits_file,
    network_at_work,
    read_eight_bits,
    write_eight_bits,
)
from pipeline.inference.ensemble import Ensemble
from pipeline.inference.fold_scans import inputs_of, prepared
from pipeline.inference.members import find_members
from pipeline.inferers.openvino_network import OpenVinoNetwork
from pipeline.prediction.predict import predict
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import read_scan

WHY = "the extra `openvino` is not installed: pip install -e '.[openvino]'"
for needed in ("openvino", "nncf"):
    pytest.importorskip(needed, reason=WHY)

CPU = torch.device("cpu")
# Of the logits' own spread; 8 bits of a range are a few percent of it where layers stand on one another
NEAR = 0.1


def a_run(network: str, folder: Path) -> Path:
    """Two members with a study of four tiny chests."""
    open_study(folder, dataset(folder.parent / "data", ["one", "two", "three", "four"]), 2)
    # As wide and as deep as the chests
    own = {"spacing_mm": [0, 0, 0], "patch_size": [16, 16, 8], "slice_size": [32, 32], "mixed_precision": False}
    return small_run(network, folder, {**tiny_overrides(), **own})


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of two members whose first one has its 8 bits."""
    folder = a_run("unet_3d", tmp_path_factory.mktemp("run") / "cv")
    calibrate(folder / "fold0" / "model.pt")
    return folder


@pytest.fixture
def mine(run, tmp_path) -> Path:
    """The weights of the first member, in a copy of the run."""
    return Path(shutil.copytree(run, tmp_path / "cv")) / "fold0" / "model.pt"


@pytest.fixture
def here(monkeypatch) -> list[tuple[str, Path]]:
    """Calibrations happen in this process, and are counted; nothing is measured."""
    asked = []

    def run_here(command: str, model_file: Path) -> None:
        asked.append((command, model_file))
        if command == first_use.CALIBRATION:
            calibrate(model_file)

    monkeypatch.setattr(first_use, "run", run_here)
    return asked


def labels(folder: Path, name: str) -> np.ndarray:
    return sitk.GetArrayFromImage(read_scan(folder / f"{name}.nii.gz"))


@pytest.mark.parametrize("network", ["unet_3d", "anam_net"])
def test_logits_are_near_those_of_the_network(network, tmp_path):
    model = opened(a_run(network, tmp_path / "cv") / "fold0" / "model.pt")
    image = prepared(model, load_study(tmp_path / "cv").held_out(0)[0])
    windows = inputs_of(model, image)
    with torch.inference_mode():
        expected = model.network()(windows)
        calibrate(model.weights)
        found = network_at_work(model.network(), model.weights, CPU, True)(windows)
    assert (found - expected).square().mean().sqrt() < NEAR * expected.std()


@pytest.mark.parametrize("mode", ["int8", "int8-windows", "int8-fast"])
def test_a_label_lies_on_the_scanners_grid_and_is_near_that_of_exact(mode, mine, here, tmp_path):
    scan = Path(load_study(mine.parents[1]).held_out(0)[0]["image"])
    for each in (mode, "exact"):
        (done,) = predict(mine.parent, scan, tmp_path / each, mode=each, pages=False)
    found, exact = (labels(tmp_path / each, done["case"]) for each in (mode, "exact"))
    assert read_json(tmp_path / mode / f"{done['case']}.json")["model"]["mode"] == mode
    assert Geometry.of(read_scan(tmp_path / mode / scan.name)) == Geometry.of(read_scan(scan))
    # Of few voxels, each of which the network of three levels and four steps is in doubt about
    assert dice(exact > 0, found > 0) > 0.8
    assert here == []


def test_first_use_calibrates_on_training_scans_alone_and_measures(mine, here):
    eight_bits_file(mine).unlink()
    with open_model(mine.parent, mode="int8"):
        pass
    assert here == [("calibrate", mine), ("fidelity", mine)]
    hashes = {case["case"]: case["image_sha256"] for case in load_study(mine.parents[1]).training(0)}
    assert read_eight_bits(mine).made_of["calibrated_on"] == hashes


def test_no_other_mode_calibrates(mine, here):
    eight_bits_file(mine).unlink()
    with open_model(mine.parent, mode="whole"):
        pass
    assert here == []


def test_weights_that_were_trained_again_get_their_own(mine, here):
    torch.save(torch.load(mine.parents[1] / "fold1" / "model.pt"), mine)
    with pytest.raises(NoEightBitsError, match=r"model_int8.zip: was made of other weights than model.pt has now"):
        read_eight_bits(mine)
    with open_model(mine.parent, mode="int8"):
        assert read_eight_bits(mine)
    assert ("calibrate", mine) in here


def damage_a_weight(file: Path) -> None:
    """An archive whose own checksums are right, as somebody who packs it again would leave it."""
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in content.items():
            archive.writestr(name, bytes([part[0] ^ 1]) + part[1:] if name == "network.bin" else part)


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [damage_a_weight, cut_off, flip_a_bit])
def test_a_damaged_file_is_refused_and_made_anew_with_a_warning(damage, mine, here, caplog):
    damage(eight_bits_file(mine))
    with pytest.raises(InputError, match=r"model_int8.zip: is damaged, its checksums differ; delete it"):
        read_eight_bits(mine)
    with open_model(mine.parent, mode="int8"):
        assert read_eight_bits(mine)
    assert any("is damaged" in record.message for record in caplog.records if record.levelname == "WARNING")


def test_scans_that_are_gone_are_told_with_what_to_do(mine):
    study = load_study(mine.parents[1])
    text = (study.folder / "datalist.json").read_text().replace(study.datalist["dataset_dir"], "/moved")
    (study.folder / "datalist.json").write_text(text)
    with pytest.raises(InputError, match=r"^8 bits are calibrated .*there is no /moved/.*; or run MODE=int8 once"):
        calibrate(mine)


def test_a_model_without_a_study_is_told(mine, tmp_path):
    lone = Path(shutil.copytree(mine.parent, tmp_path / "lone")) / "model.pt"
    shutil.copy(mine.parents[1] / "inference.json", lone.parent)
    with pytest.raises(InputError, match=r"is in no fold of a cross-validation.*; or run MODE=int8 once where"):
        training_scans(opened(lone))


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_computed(mine, monkeypatch):
    monkeypatch.setattr(calibration.os, "access", lambda *_: False)
    with pytest.raises(InputError, match=r"fold0: cannot be written to \(read only\), and 8 bits are kept there"):
        calibrate(mine)


def test_of_many_scans_some_are_taken_from_all_over(mine, monkeypatch):
    monkeypatch.setattr(calibration, "MOST_SCANS", 1)
    assert len(training_scans(opened(mine))) == 1


def test_a_gpu_is_refused(mine):
    with pytest.raises(InputError, match="8 bits are for CPUs, but this runs on cuda"):
        network_at_work(torch.nn.Identity(), mine, torch.device("cuda"), True)


def test_what_is_replaced_gives_its_memory_back(mine):
    network = opened(mine).network()
    network_at_work(network, mine, CPU, True)
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}


def test_without_eight_bits_the_network_stays(mine):
    network = torch.nn.Identity()
    assert network_at_work(network, "nowhere.pt", CPU, False) is network


def test_every_member_of_an_ensemble_has_its_own(mine, here):
    with open_model(mine.parents[1], mode="int8") as model:
        ensemble = model.segmenter.evaluator.network
        case = load_study(mine.parents[1]).held_out(0)[0]
        label = model.segmenter.segment("case", read_scan(case["image"])).label
    assert isinstance(ensemble, Ensemble)
    assert all(isinstance(member, OpenVinoNetwork) for member in ensemble.members)
    assert here == [("calibrate", mine.parents[1] / "fold1" / "model.pt")]
    assert sitk.GetArrayViewFromImage(label).any()


def test_both_stages_of_a_cascade_are_in_eight_bits(here, tmp_path):
    folder = tmp_path / "cv"
    small_run("chs_net", folder, {**tiny_overrides(), "mixed_precision": False})
    (member,) = find_members(folder / "infection" / "fold0")
    assert [file.parts[-3:-1] for file in member.weight_files] == [("infection", "fold0"), ("lungs", "fold0")]


def test_a_bundle_is_refused(tmp_path):
    said = r"^MODE is int8, which is calibrated .* MODEL is a bundle, which has none"
    with pytest.raises(InputError, match=said), open_model(tmp_path / "a.zip", mode="int8"):
        pass


def test_two_that_write_at_once_leave_one_whole_file(mine):
    first, second = (write_eight_bits(mine, b"description", weights, {}) for weights in (b"one", b"another"))
    assert first == second
    assert read_eight_bits(mine).weights == b"another"
    assert [file.name for file in mine.parent.glob(".*")] == []


def test_what_openvino_cannot_express_names_the_network():
    class Strange(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.fft.ifftn(torch.fft.fftn(image) ** 3).real + torch.linalg.svd(image)[1].sum()

    with pytest.raises(InputError, match=r"^NETWORK strange: OpenVINO cannot express it"):
        quantised(Strange(), [np.ones((1, 1, 4, 4), np.float32)], "strange")


FEW = ("unet_3d", "anam_net")


def largest_difference(bundle: str) -> float:
    """Of the logits in 8 bits and in torch, on twice the size that the network was calibrated with, in spreads."""
    network = BY_BUNDLE[bundle]
    module = network.small().eval()
    image = network.ramp(batch=2)
    description, weights = quantised(network.small(), [image[:1].numpy(), image[1:].numpy()], bundle)
    larger = torch.cat([image, image.flip(2)], dim=2)
    with torch.inference_mode():
        expected, found = module(larger), OpenVinoNetwork(description, weights)(larger)
    assert found.shape == expected.shape
    return float((found - expected).square().mean().sqrt() / expected.std())


@pytest.mark.parametrize("bundle", FEW)
def test_a_network_takes_other_sizes_than_it_was_calibrated_with(bundle):
    assert largest_difference(bundle) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("bundle", sorted({network.bundle for network in NETWORKS} - {*FEW}))
def test_every_other_network_does_too(bundle):
    assert largest_difference(bundle) < 0.5
