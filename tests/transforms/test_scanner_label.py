"""A prediction is a whole label file on exactly the grid of its scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.in_memory import affine_of, on_grid
from pipeline.scans.scan import read_geometry
from transforms.scanner_label import SaveImageOfLabeld, ToScannerLabeld

FRONT = Front(spacing_mm=(1.9, 1.6, 2.4))


@pytest.fixture
def prediction(tmp_path: Path, make_chest: Any) -> dict[str, Any]:
    """The reference's one-hot as probabilities, with the path of its scan."""
    scan, label = make_chest(size=(48, 40, 24), direction=(0, 1, 0, -1, 0, 0, 0, 0, 1))
    sitk.WriteImage(scan, str(tmp_path / "scan.nii.gz"))
    prepared = torch.from_numpy(FRONT.label(label).astype(np.int64))
    probabilities = torch.nn.functional.one_hot(prepared, 4).permute(3, 0, 1, 2).float()
    return {"pred": probabilities, "image_file": str(tmp_path / "scan.nii.gz"), "case": "case_1"}


def saved(prediction: dict[str, Any], folder: Path) -> dict[str, Any]:
    return SaveImageOfLabeld("pred", FRONT, folder)(ToScannerLabeld("pred", FRONT)(prediction))


def test_a_label_is_written_under_the_name_of_the_case(tmp_path, prediction):
    written = saved(prediction, tmp_path / "deep" / "out")
    assert written["pred_file"] == str(tmp_path / "deep" / "out" / "case_1.nii.gz")
    assert [file.name for file in (tmp_path / "deep" / "out").iterdir()] == ["case_1.nii.gz"]


def test_a_label_is_written_on_the_grid_of_its_scan(tmp_path, prediction):
    written = saved(prediction, tmp_path)
    assert read_geometry(written["pred_file"]) == read_geometry(prediction["image_file"])


def test_a_label_is_written_as_bytes_with_the_codes(tmp_path, prediction):
    image = sitk.ReadImage(saved(prediction, tmp_path)["pred_file"])
    assert image.GetPixelID() == sitk.sitkUInt8
    assert np.unique(sitk.GetArrayFromImage(image)).tolist() == [0, 1, 2, 3]


def test_a_label_is_written_as_the_front_brings_it_back(tmp_path, prediction):
    written = sitk.ReadImage(saved(prediction, tmp_path)["pred_file"])
    expected = FRONT.probabilities_to_label(prediction["pred"].numpy(), Geometry.of(written))
    assert np.array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(expected))


def test_a_label_that_cannot_be_written_leaves_nothing(tmp_path, prediction, monkeypatch):
    def full_disk(image: sitk.Image, file: str, useCompression: bool) -> None:  # noqa: N803 - SimpleITK's name
        Path(file).touch()
        raise RuntimeError("no space left on device")

    monkeypatch.setattr("pipeline.scans.written_image.sitk.WriteImage", full_disk)
    with pytest.raises(OSError, match="not written whole"):
        saved(prediction, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_label_stays_in_memory_on_the_scanner_s_grid(tmp_path, prediction):
    written = saved(prediction, tmp_path)
    label, scanner = written["pred"], read_geometry(prediction["image_file"])
    assert (label.dtype, tuple(label.shape)) == (torch.uint8, (1, *scanner.size))
    assert np.allclose(label.affine.numpy(), affine_of(scanner))
    image = sitk.ReadImage(written["pred_file"])
    assert np.array_equal(label[0].numpy(), sitk.GetArrayFromImage(image).transpose(2, 1, 0))


def test_without_a_file_the_grid_is_what_the_prepared_scan_knows(tmp_path, prediction):
    scanner = read_geometry(prediction["image_file"])
    prepared = on_grid(torch.zeros(1, 2, 2, 2), affine_of(FRONT.grid(scanner)), scanner)
    from_memory = {"pred": prediction["pred"], "image": prepared}
    label = ToScannerLabeld("pred", FRONT)(from_memory)["pred"]
    assert torch.equal(label.as_tensor(), ToScannerLabeld("pred", FRONT)(prediction)["pred"].as_tensor())
