"""What the benchmarks of preparation and augmentation compare is the same work."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from benchmarks import preparation, training
from pipeline.scans import unpacking
from transforms.patch_on_device import collate, prepare_batch

SHAPE = (1, 180, 170, 90)


@pytest.fixture(scope="module")
def case() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    label = random.integers(0, 4, SHAPE, dtype=np.uint8)
    return {"image": random.normal(size=SHAPE).astype(np.float16), "label": label}


@pytest.mark.parametrize("way", [training.own, training.monai], ids=lambda way: way.__name__)
def test_every_way_gives_a_patch_and_its_label(case, way):
    found = way(case)(0)
    assert found["image"].shape == found["label"].shape == (1, 160, 160, 80)


def test_plain_batchgenerators_gives_a_patch_and_its_label(case):
    image, label = training.plain(case)(0)
    assert image.shape == label.shape == (1, 160, 160, 80)


def test_what_is_drawn_for_the_device_is_finished_to_a_patch_and_its_label(case):
    image, label = prepare_batch(collate([training.drawn(case)(0)]), torch.device("cpu"))
    assert image.shape == label.shape == (1, 1, 160, 160, 80)


@pytest.mark.parametrize("way", [training.DRAWN, training.FINISHED])
def test_both_halves_on_the_device_can_be_measured(case, way, tmp_path):
    np.savez(tmp_path / "case.npz", **case)
    threads = torch.get_num_threads()
    try:
        assert training.patches(str(tmp_path / "case.npz"), way, 1)() is None
    finally:
        torch.set_num_threads(threads)


def test_a_step_is_measured_beside_its_data_in_both_places(monkeypatch, tmp_path):
    small = {"patch_size": [32, 32, 16], "network_def::features": [4, 8, 8]}
    monkeypatch.setattr(training, "_configured", partial(training._configured, **small))
    monkeypatch.setattr(training, "PATCHES", dict.fromkeys(training.PATCHES, 1))
    monkeypatch.setattr(training, "keep_allocations", bool)
    random = np.random.default_rng(0)
    image = random.normal(size=(1, 40, 40, 24)).astype(np.float16)
    np.savez(tmp_path / "case.npz", image=image, label=(image > 1).astype(np.uint8))
    numbers = training.step(str(tmp_path / "case.npz"))()
    assert [row.value > 0 for row in training.of_step(numbers, peak_gib=1.0)] == [True] * 5


def test_a_gpu_s_rows_say_whether_its_processes_keep_up(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "GPU")
    monkeypatch.setattr(training, "loader_workers", lambda device: 10)
    monkeypatch.setattr(training, "BATCH", 2)
    numbers = {"network_s": 0.1, "drawn_s": 0.2, "finished_s": 0.1}
    rows = training.on_gpu(numbers, {training.OWN: 1.5, training.DRAWN: 2.0})
    # 20 patches a second against 15; 10 against 20
    assert [row.met for row in rows] == [None, False, None, True]


def test_stock_and_own_preparation_agree(tmp_path, make_chest: Callable, monkeypatch):
    kept: list[np.ndarray] = []
    monkeypatch.setattr(preparation, "_saved", kept.append)
    # Of a benchmark's process alone; what it sets is as before afterwards
    monkeypatch.setattr(preparation, "keep_allocations", bool)
    monkeypatch.setattr(unpacking, "inflate", unpacking.inflate)
    scan = str(tmp_path / "scan.nii.gz")
    sitk.WriteImage(make_chest(size=(96, 80, 48), spacing_mm=(0.5, 0.6, 1.1))[0], scan)
    for prepare in (preparation.stock(scan), preparation.own(scan, 1, "zlib")):
        prepare()
    # MONAI aligns the first voxels' centres, keeps one voxel more, and does not round: the same body, slightly shifted
    small = tuple(map(min, kept[0].shape, kept[1].shape))
    stock, own = (array[tuple(map(slice, small))].ravel() for array in kept)
    assert np.corrcoef(stock, own)[0, 1] > 0.8


def test_every_way_takes_the_volume_as_the_cache_holds_it(tmp_path, make_chest: Callable, monkeypatch):
    scan = tmp_path / "scan.nii.gz"
    sitk.WriteImage(make_chest(size=(60, 50, 40), spacing_mm=(3.0, 3.0, 3.0))[0], str(scan))
    monkeypatch.setattr(training, "large_scan", lambda scratch: scan)
    kept = np.load(training.prepared_volume(tmp_path))
    assert kept["image"].shape == kept["label"].shape == (1, 113, 94, 44)
