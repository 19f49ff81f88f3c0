"""A prediction is a whole label file on exactly the grid of its scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pipeline.scans.front import Front
from pipeline.scans.scan import Geometry, read_geometry
from transforms.scanner_label import SaveScannerLabeld

FRONT = Front(spacing_mm=(1.9, 1.6, 2.4))


@pytest.fixture
def prediction(tmp_path: Path, make_chest: Any) -> dict[str, Any]:
    """The reference's one-hot as probabilities, with the path of its scan."""
    scan, label = make_chest(size=(48, 40, 24), direction=(0, 1, 0, -1, 0, 0, 0, 0, 1))
    sitk.WriteImage(scan, str(tmp_path / "scan.nii.gz"))
    prepared = torch.from_numpy(FRONT.label(label).astype(np.int64))
    probabilities = torch.nn.functional.one_hot(prepared, 4).permute(3, 0, 1, 2).float()
    return {"pred": probabilities, "image_file": str(tmp_path / "scan.nii.gz"), "case": "case_1"}


def test_a_label_is_written_under_the_name_of_the_case(tmp_path, prediction):
    written = SaveScannerLabeld("pred", FRONT, tmp_path / "deep" / "out")(prediction)
    assert written["pred"] == str(tmp_path / "deep" / "out" / "case_1.nii.gz")
    assert [file.name for file in (tmp_path / "deep" / "out").iterdir()] == ["case_1.nii.gz"]


def test_a_label_is_written_on_the_grid_of_its_scan(tmp_path, prediction):
    written = SaveScannerLabeld("pred", FRONT, tmp_path)(prediction)
    assert read_geometry(written["pred"]) == read_geometry(prediction["image_file"])


def test_a_label_is_written_as_bytes_with_the_codes(tmp_path, prediction):
    image = sitk.ReadImage(SaveScannerLabeld("pred", FRONT, tmp_path)(prediction)["pred"])
    assert image.GetPixelID() == sitk.sitkUInt8
    assert np.unique(sitk.GetArrayFromImage(image)).tolist() == [0, 1, 2, 3]


def test_a_label_is_written_as_the_front_brings_it_back(tmp_path, prediction):
    written = sitk.ReadImage(SaveScannerLabeld("pred", FRONT, tmp_path)(prediction)["pred"])
    expected = FRONT.probabilities_to_label(prediction["pred"].numpy(), Geometry.of(written))
    assert np.array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(expected))


def test_a_label_that_cannot_be_written_leaves_nothing(tmp_path, prediction, monkeypatch):
    def full_disk(image: sitk.Image, file: str, useCompression: bool) -> None:  # noqa: N803 - SimpleITK's name
        Path(file).touch()
        raise RuntimeError("no space left on device")

    monkeypatch.setattr("transforms.scanner_label.sitk.WriteImage", full_disk)
    with pytest.raises(OSError, match="not written whole"):
        SaveScannerLabeld("pred", FRONT, tmp_path / "out")(prediction)
    assert list((tmp_path / "out").iterdir()) == []
