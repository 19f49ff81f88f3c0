"""The box holds the lungs, and where that is doubtful it holds everything."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pipeline.scans.front import Front
from pipeline.scans.lung_box import Box, DoubtfulLungsError, content_box, fitted, lung_box, whole
from transforms.air_beyond_lungs import AirBeyondLungsd
from transforms.lung_box import CropToLungsd, RestoreVolumed

SPACING_MM = (4.0, 4.0, 6.0)
SIZE = (80, 64, 40)
AIR, TISSUE, LUNG = -1.3, 1.2, -0.8


def chest(lungs: tuple[str, ...] = ("left", "right"), size: tuple[int, int, int] = SIZE) -> torch.Tensor:
    """A body of 280 x 210 mm in air, with lungs that end within the volume; normalised values."""
    x, y, z = np.meshgrid(
        *((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(size, SPACING_MM, strict=True)), indexing="ij"
    )
    voxels = np.full(size, AIR, np.float32)
    voxels[(x / 140) ** 2 + (y / 105) ** 2 < 1] = TISSUE
    for side, centre in (("right", -65), ("left", 65)):
        if side in lungs:
            voxels[((x - centre) / 50) ** 2 + (y / 75) ** 2 + (z / 95) ** 2 < 1] = LUNG
    return torch.from_numpy(voxels)


def holds(box: Box, mask: torch.Tensor) -> bool:
    return bool(mask[box.slices].sum() == mask.sum())


def test_the_box_holds_both_lungs_and_less_than_half_of_the_volume():
    voxels = chest()
    box = lung_box(voxels, SPACING_MM, 0)
    assert holds(box, voxels == LUNG)
    assert np.prod(box.size) < 0.5 * voxels.numel()


def test_a_margin_is_left_on_every_side():
    lungs = (chest() == LUNG).nonzero()
    box = lung_box(chest(), SPACING_MM, 12)
    before_mm = (lungs.amin(0) - torch.tensor(box.start)) * torch.tensor(SPACING_MM)
    behind_mm = (torch.tensor(box.stop) - 1 - lungs.amax(0)) * torch.tensor(SPACING_MM)
    assert min(before_mm.min(), behind_mm.min()) >= 12


def test_a_margin_ends_where_the_volume_does():
    assert lung_box(chest(), SPACING_MM, 500) == whole(SIZE)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (100.0, 128.0), (0.25, -0.5)])
def test_any_normalisation_gives_the_same_box(scale, shift):
    assert lung_box(chest() * scale + shift, SPACING_MM, 10) == lung_box(chest(), SPACING_MM, 10)


def test_a_lung_half_full_of_infection_is_in_the_box():
    voxels = chest()
    lung = voxels == LUNG
    voxels[:22][lung[:22]] = TISSUE
    assert holds(lung_box(voxels, SPACING_MM, 0), lung)


def test_lungs_that_leave_the_first_and_last_slice_are_found():
    voxels = chest()[:, :, 10:30]
    assert holds(lung_box(voxels, SPACING_MM, 0), voxels == LUNG)


@pytest.mark.parametrize(
    ("voxels", "reason"),
    [
        (chest(()), "no enclosed air"),
        (chest(("left",)), "one side of the body"),
        (chest()[14:], "one side of the body"),
        (chest(size=(80, 64, 40)).where(chest() != TISSUE, LUNG), "no enclosed air"),
    ],
    ids=["no lungs", "one lung", "a field of view that cuts a lung open", "no body wall"],
)
def test_what_is_doubtful_is_said(voxels, reason):
    with pytest.raises(DoubtfulLungsError, match=reason):
        lung_box(voxels, SPACING_MM, 0)


def test_of_a_scan_in_which_all_else_is_air_the_box_holds_what_is_left():
    voxels = torch.full((9, 8, 7), -2.0)
    voxels[3:5, 2:7, 4] = 0.5
    assert content_box(voxels, SPACING_MM, 0) == Box((3, 2, 4), (5, 7, 5))


def test_of_air_alone_the_box_is_doubtful():
    with pytest.raises(DoubtfulLungsError, match="nothing but air"):
        content_box(torch.zeros(4, 4, 4), SPACING_MM, 0)


def test_a_box_is_widened_to_a_multiple_on_both_sides():
    assert fitted(Box((10, 0, 5), (20, 16, 9)), (40, 40, 40), (16, 16, 16)) == Box((7, 0, 0), (23, 16, 16))


def test_a_box_is_widened_no_further_than_the_volume():
    assert fitted(Box((2, 2, 2), (9, 9, 9)), (12, 40, 10), (16, 16, 16), (32, 32, 32)).size == (12, 32, 10)


@pytest.fixture
def case(tmp_path: Any) -> dict[str, Any]:
    """A prepared scan beside its file."""
    front = Front(spacing_mm=(0, 0, 0))
    image = sitk.GetImageFromArray((chest().numpy() * 500).astype(np.int16).transpose(2, 1, 0))
    image.SetSpacing(SPACING_MM)
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    prepared = torch.from_numpy(front.image(image, "scan"))
    return {"image": prepared, "image_file": str(tmp_path / "scan.nii.gz"), "case": "case_7", "front": front}


def test_what_was_cut_out_comes_back_where_it_was(case):
    cropped = CropToLungsd("image", case["front"], 10)(case)
    assert cropped["image"].numel() < case["image"].numel()
    logits = torch.cat([cropped["image"], cropped["image"] + 1])
    restored = RestoreVolumed("pred", 2)({**cropped, "pred": logits})["pred"]
    assert restored.shape[1:] == case["image"].shape[1:]
    inside = restored[0] != 0
    assert torch.equal(restored[0][inside], case["image"][0][inside])
    assert inside.sum() == cropped["image"].numel()


def test_outside_the_box_all_is_background_and_nobody_disagrees(case):
    cropped = CropToLungsd("image", case["front"], 10)(case)
    logits = torch.ones(4, *cropped["image"].shape[1:])
    restored = RestoreVolumed("pred", 3)({**cropped, "pred": logits})["pred"]
    corner = restored[:, 0, 0, 0]
    assert corner[:3].softmax(0).tolist() == [1, 0, 0]
    assert corner[3] == 0


def test_what_is_beyond_the_lungs_becomes_air_and_the_size_stays(case):
    box = lung_box(case["image"][0], SPACING_MM, 10)
    two_channels = torch.cat((case["image"], case["image"] + 7))
    found = AirBeyondLungsd("image", case["front"], 10)({**case, "image": two_channels})["image"]
    assert found.shape == two_channels.shape
    inside = torch.zeros(found.shape[1:], dtype=torch.bool)
    inside[box.slices] = True
    assert torch.equal(found[:, inside], two_channels[:, inside])
    assert all((channel[~inside] == whole.min()).all() for channel, whole in zip(found, two_channels, strict=True))


def test_where_the_box_is_doubtful_nothing_becomes_air(case):
    cropped = {**case, "image": case["image"][:, 20:60, 20:44]}
    assert torch.equal(AirBeyondLungsd("image", case["front"], 10)(cropped)["image"], cropped["image"])


def test_slices_stay_whole_for_2d_networks(case):
    cropped = CropToLungsd("image", case["front"], 10, spatial_dims=2)(case)
    assert cropped["image"].shape[1:3] == case["image"].shape[1:3]
    assert cropped["image"].shape[3] < case["image"].shape[3]


def test_a_doubtful_scan_stays_whole_and_the_log_names_it(case, caplog):
    without_lungs = torch.where(case["image"] > case["image"].min(), case["image"].max(), case["image"])
    blank = {**case, "image": without_lungs}
    with caplog.at_level(logging.WARNING):
        cropped = CropToLungsd("image", case["front"], 10)(blank)
    assert cropped["image"].shape == case["image"].shape
    assert "case_7: the network sees the whole scan" in caplog.text
