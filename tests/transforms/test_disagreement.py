"""The map of disagreement: on the scanner's grid, and only where there is somebody to disagree with."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import read_scan
from transforms.disagreement import SaveImageOfUncertaintyd, SplitCalibratedd, SplitDisagreementd

FRONT = Front(spacing_mm=(2.4, 3.0, 3.0))


@pytest.fixture
def case(make_chest, tmp_path):
    """A case as inference has it, half of whose prepared voxels, those to the left, are disputed by half the voters."""
    scan, _ = make_chest()
    sitk.WriteImage(scan, str(tmp_path / "scan.nii.gz"))
    disputed = torch.zeros(FRONT.grid(Geometry.of(scan)).size)
    disputed[disputed.shape[0] // 2 :] = 0.5
    return {"case": "c", "image_file": str(tmp_path / "scan.nii.gz"), "uncertainty": disputed}


def test_the_last_channel_is_the_disagreement():
    split = SplitDisagreementd("pred")({"pred": torch.arange(3.0).view(3, 1, 1, 1)})
    assert (split["pred"].flatten().tolist(), split["uncertainty"].item()) == ([0.0, 1.0], 2.0)


def test_the_map_lies_on_the_scans_own_grid(case, tmp_path):
    written = SaveImageOfUncertaintyd("uncertainty", FRONT, tmp_path / "out")(case)
    assert written["uncertainty_file"] == str(tmp_path / "out" / "uncertainty" / "c.nii.gz")
    assert not Geometry.of(read_scan(written["uncertainty_file"])).differences(
        Geometry.of(read_scan(case["image_file"]))
    )


def test_the_map_is_disputed_where_the_voters_were(case, tmp_path):
    written = SaveImageOfUncertaintyd("uncertainty", FRONT, tmp_path)(case)
    voxels = sitk.GetArrayFromImage(read_scan(written["uncertainty_file"]))
    assert np.unique(voxels[..., :10]).tolist() == [0.0]
    assert np.unique(voxels[..., -10:]).tolist() == [0.5]


def test_a_single_voter_leaves_no_map(case, tmp_path):
    SaveImageOfUncertaintyd("uncertainty", FRONT, tmp_path / "out")({**case, "voters": [3]})
    assert not (tmp_path / "out").exists()


def test_a_case_with_a_folder_has_its_map_there(case, tmp_path):
    written = SaveImageOfUncertaintyd("uncertainty", FRONT, tmp_path)({**case, "folder": "leaking"})
    assert written["uncertainty_file"] == str(tmp_path / "leaking" / "uncertainty" / "c.nii.gz")


def test_of_an_ensemble_with_temperatures_the_channel_before_it_is_the_calibrated_infection():
    split = SplitCalibratedd("pred")({"pred": torch.arange(4.0).view(4, 1, 1, 1)})
    assert split["pred"].flatten().tolist() == [0.0, 1.0]
    assert (split["calibrated"].item(), split["uncertainty"].item()) == (2.0, 3.0)
