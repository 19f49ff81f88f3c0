"""A scan in any orientation becomes the same normalised array, and a label map finds its way back."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch.nn import functional

from pipeline.core.errors import InputError
from pipeline.core.labels import CONSOLIDATION, GROUND_GLASS, INFECTION, infected
from pipeline.scans.front import Front, as_array, resample, unit
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import read_scan
from transforms.load_scan import LoadScanImaged
from transforms.prepare_scan import PrepareScand

TURN = np.deg2rad(12)
OBLIQUE = (np.cos(TURN), -np.sin(TURN), 0, np.sin(TURN), np.cos(TURN), 0, 0, 0, 1)
LINEAR = Front(spacing_mm=(1.9, 1.6, 2.4))
# All 48 orders and signs of the axes
ORIENTATIONS = ["".join(ends) for axes in permutations(("RL", "AP", "IS")) for ends in product(*axes)]
GUIDED = replace(LINEAR, guided=True)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def shares(label: np.ndarray) -> np.ndarray:
    """One-hot (4, H, W, D) of a label map."""
    return np.stack([label == code for code in range(4)]).astype(np.float32)


def infected_by_kinds(label: sitk.Image) -> sitk.Image:
    """The label map of a chest whose infection is ground glass in the lower slices and consolidation in the upper."""
    kinds = sitk.Image(label)
    kinds[:, :, :6] = sitk.ChangeLabel(label[:, :, :6], changeMap={INFECTION: GROUND_GLASS})
    kinds[:, :, 6:] = sitk.ChangeLabel(label[:, :, 6:], changeMap={INFECTION: CONSOLIDATION})
    return kinds


def test_the_grid_keeps_the_outer_edges():
    scanner = Geometry((10, 8, 6), (0.8, 0.9, 5.0), (-4.0, 7.0, 100.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    grid = Front(spacing_mm=(2.0, 2.0, 4.0)).grid(scanner)
    # The extents are 8, 7.2 and 30 mm, from -4.4, 6.55 and 97.5 mm on.
    assert grid.size == (4, 3, 7)
    assert grid.spacing_mm == pytest.approx((2.0, 2.4, 30 / 7))
    assert grid.origin_mm == pytest.approx((-4.4 + 1.0, 6.55 + 1.2, 97.5 + 15 / 7))


@pytest.mark.parametrize(
    ("count", "spacing_mm", "expected"),
    [
        pytest.param(512, 0.7, 226, id="rounded down"),
        pytest.param(26, 0.79, 13, id="a whole multiple, but for rounding errors"),
        pytest.param(2, 0.5, 1, id="less than one voxel"),
    ],
)
def test_sizes_are_rounded_down(count, spacing_mm, expected):
    scanner = Geometry((count, 4, 4), (spacing_mm, 2.0, 3.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    assert Front().grid(scanner).size[0] == expected


def test_slices_may_have_a_number_of_pixels_instead_of_a_spacing():
    scanner = Geometry((630, 500, 6), (0.8, 0.8, 5.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    grid = Front(spacing_mm=(2.0, 2.0, 0), slice_pixels=512).grid(scanner)
    # 630 pixels become 512, so 500 become 406.3
    assert grid.size == (512, 406, 6)
    assert grid.spacing_mm == pytest.approx((0.8 * 630 / 512, 0.8 * 500 / 406, 5.0))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_orientation_of_the_file_does_not_matter(make_chest, tmp_path, orientation):
    scan, _ = make_chest()
    expected = LINEAR.image(scan, "a")
    sitk.WriteImage(sitk.DICOMOrient(scan, orientation), str(tmp_path / "a.nii.gz"))
    assert LINEAR.image(read_scan(tmp_path / "a.nii.gz"), "a") == pytest.approx(expected, abs=1e-3)


def test_axes_grow_towards_left_back_and_head(make_image):
    voxels = np.full((5, 4, 3), -1000, np.int16)
    voxels[0, 1, 2] = 200
    # Stored towards right, front and feet: the first voxel is the leftmost, the rearmost and the highest one.
    scan = make_image(voxels, direction=(-1, 0, 0, 0, -1, 0, 0, 0, -1))
    (prepared,) = Front(spacing_mm=(1.2, 1.5, 3.0)).image(scan, "a")
    assert np.unravel_index(prepared.argmax(), prepared.shape) == (4, 2, 0)


def test_the_prepared_scan_has_zero_mean_and_unit_variance(make_chest):
    prepared = LINEAR.image(make_chest()[0], "a")
    assert prepared.dtype == np.float32
    assert (prepared.mean(), prepared.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))


def test_the_window_becomes_whole_grey_levels(make_image):
    voxels = np.array([-3024, -1250, -500, -498, 250, 3000], np.int16).reshape(3, 2, 1)
    prepared = Front(spacing_mm=(1.2, 1.5, 3.0), order=0).image(make_image(voxels), "a").ravel()
    # -500 HU is 127.5, -498 HU 127.84 of 255
    assert 255 * (prepared - prepared[0]) / (prepared[-1] - prepared[0]) == pytest.approx([0, 0, 128, 128, 255, 255])


@pytest.mark.parametrize("order", [0, 1, 3])
def test_metal_does_not_smear_above_the_window(make_chest, order):
    scan, _ = make_chest()
    front = replace(LINEAR, order=order)
    metal, soft_tissue = sitk.Image(scan), sitk.Image(scan)
    metal[6, 10, 6], soft_tissue[6, 10, 6] = 3000, 250
    assert np.array_equal(front.image(metal, "a"), front.image(soft_tissue, "a"))


def test_a_grey_copy_of_a_scan_is_prepared_alike(make_chest):
    scan, _ = make_chest()
    grey = sitk.Cast(sitk.RescaleIntensity(sitk.Clamp(scan, sitk.sitkFloat32, -1250, 250), 0, 255), sitk.sitkUInt8)
    # Half a grey level of rounding on both sides, where the standard deviation is about 80 levels
    assert LINEAR.image(grey, "a") == pytest.approx(LINEAR.image(scan, "a"), abs=0.02)


def test_image_and_label_stay_aligned(make_chest):
    _, label = make_chest(size=(48, 40, 24), spacing_mm=(0.6, 0.7, 1.5), direction=OBLIQUE)
    bright = sitk.Cast(label > 0, sitk.sitkInt16) * 1000 - 1000
    lungs = LINEAR.label(label) > 0
    assert dice(LINEAR.image(bright, "a")[0] > 0.5, lungs) > 0.97


def test_beyond_the_edge_the_nearest_voxel_counts(make_image):
    ramp = make_image(np.array([0.0, 1.0]).reshape(2, 1, 1), spacing_mm=(1, 1, 1), origin_mm=(0, 0, 0))
    wider = Geometry((6, 1, 1), (1.0, 1.0, 1.0), (-2.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    assert as_array(resample(ramp, wider, sitk.sitkLinear)).ravel().tolist() == [0, 0, 0, 1, 1, 1]


def test_linear_resampling_agrees_with_torch(make_image):
    left, back, head = np.meshgrid(*(np.linspace(0, 3, count) for count in (24, 20, 12)), indexing="ij")
    hounsfield = (600 * np.sin(left + back) * np.cos(head) - 500).astype(np.float32)
    (prepared,) = LINEAR.image(make_image(hounsfield), "a")
    grey = torch.from_numpy(np.round((hounsfield + 1250) * 255 / 1500))[None, None]
    # align_corners=False keeps the outer edges, as the front does
    expected = functional.interpolate(grey, prepared.shape, mode="trilinear", align_corners=False).numpy()[0, 0]
    assert prepared == pytest.approx((expected - expected.mean()) / expected.std(), abs=1e-4)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_nothing_is_interpolated_where_the_spacing_fits(make_image, order):
    grey = np.random.default_rng(0).integers(0, 256, (6, 5, 4)).astype(np.uint8)
    (prepared,) = Front(spacing_mm=(1.2, 1.5, 3.0), order=order).image(make_image(grey), "a")
    assert prepared == pytest.approx((grey - grey.mean()) / grey.std(), abs=1e-4)


def test_a_label_stays_as_it_is_where_the_spacing_fits(make_chest):
    _, label = make_chest()
    assert np.array_equal(Front(spacing_mm=(1.2, 1.5, 3.0)).label(label), as_array(label))


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, 0, 1, 0, 1, 0), OBLIQUE])
def test_a_label_comes_back_to_the_scanner(make_chest, direction):
    _, label = make_chest(size=(60, 50, 30), direction=direction)
    back = LINEAR.probabilities_to_label(shares(LINEAR.label(label)), Geometry.of(label))
    overlap = {code: dice(as_array(back) == code, as_array(label) == code) for code in range(4)}
    assert min(overlap.values()) > 0.95, overlap


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, 0, 1, 0, 1, 0), OBLIQUE])
def test_a_label_comes_back_on_exactly_the_grid_of_the_scan(make_chest, direction):
    scan, label = make_chest(direction=direction)
    back = LINEAR.probabilities_to_label(shares(LINEAR.label(label)), Geometry.of(scan))
    assert Geometry.of(back) == Geometry.of(scan)


def test_a_label_comes_back_voxel_for_voxel_where_the_spacing_fits(make_chest):
    _, label = make_chest()
    front = Front(spacing_mm=(1.2, 1.5, 3.0))
    back = front.probabilities_to_label(shares(front.label(label)), Geometry.of(label))
    assert np.array_equal(as_array(back), as_array(label))


def test_a_tie_goes_to_the_lower_code(make_chest):
    scan, _ = make_chest()
    equal = np.full((4, *LINEAR.grid(Geometry.of(scan)).size), 0.25, np.float32)
    assert not as_array(LINEAR.probabilities_to_label(equal, Geometry.of(scan))).any()


def test_an_unknown_interpolation_order_is_refused():
    with pytest.raises(ValueError, match=r"order is 2, expected one of \[0, 1, 3\]"):
        Front(order=2)


def test_lists_of_a_configuration_make_the_same_front():
    assert Front(window_hu=[-1250, 250], spacing_mm=[1.58, 1.58, 2.7]) == Front()


def test_kinds_of_infection_take_no_voxel_from_infection_as_one(make_chest):
    label = infected_by_kinds(make_chest()[1])
    as_one = LINEAR.label(sitk.ChangeLabel(label, changeMap={GROUND_GLASS: INFECTION, CONSOLIDATION: INFECTION}))
    by_kinds = LINEAR.label(label)
    assert {GROUND_GLASS, CONSOLIDATION} < set(np.unique(by_kinds))
    assert np.array_equal(np.where(infected(by_kinds), INFECTION, by_kinds), as_one)


def test_a_prepared_voxel_of_infection_is_of_the_kind_that_has_the_larger_share(make_image):
    label = make_image(np.tile(np.array([4, 5, 5, 4, 5], np.uint8)[:, None, None], (1, 2, 1)))
    # The middles of the three voxels lie a third from the first, at the third, and a third from the last one's middle
    assert Front(spacing_mm=(2.0, 1.5, 3.0)).label(label)[:, 0, 0].tolist() == [4, 5, 5]


def test_the_second_channel_is_white_where_infection_was_found_and_as_air_elsewhere(make_chest):
    scan, label = make_chest()
    front = replace(GUIDED, normalisation="window")
    _, guide = front.image(scan, "a", front.found_by_reference(label))
    assert np.array_equal(guide, np.where(front.label(label) == INFECTION, 1, -1))


def test_the_first_channel_does_not_depend_on_what_was_found(make_chest):
    scan, label = make_chest()
    assert np.array_equal(GUIDED.image(scan, "a", label)[0], replace(GUIDED, guided=False).image(scan, "a")[0])


def test_a_faultless_network_would_find_infection_of_every_kind(make_chest):
    label = infected_by_kinds(make_chest()[1])
    found = as_array(GUIDED.found_by_reference(label))
    assert np.array_equal(found > 0, infected(as_array(label)))


def test_a_second_channel_without_anything_found_is_an_error(make_chest):
    with pytest.raises(ValueError, match="need what another network has found"):
        GUIDED.image(make_chest()[0], "a")


def test_a_scan_is_shown_within_the_lungs_or_with_the_infection():
    with pytest.raises(ValueError, match="expected one of them"):
        Front(within_lungs=True, guided=True)


def prepare(case):
    return PrepareScand("image", LINEAR)(LoadScanImaged("image")(case))


def test_for_inference_a_scan_gets_a_channel_and_keeps_its_path(tmp_path, make_chest):
    scan, _ = make_chest()
    sitk.WriteImage(scan, str(tmp_path / "a.mha"))
    prepared = prepare({"image": str(tmp_path / "a.mha"), "case": "a"})
    assert prepared["image_file"] == str(tmp_path / "a.mha")
    assert np.array_equal(prepared["image"].numpy(), LINEAR.image(scan, "a"))


def test_for_inference_a_useless_scan_is_named(tmp_path, make_image):
    sitk.WriteImage(make_image(np.zeros((6, 5, 4), np.int16)), str(tmp_path / "a.mha"))
    with pytest.raises(InputError, match=r"a\.mha: every voxel is 0"):
        prepare({"image": str(tmp_path / "a.mha")})


def test_zero_keeps_the_scans_own_spacing_along_that_axis(make_chest):
    scan, _ = make_chest()
    grid = Front(spacing_mm=(0, 0, 6.0)).grid(Geometry.of(scan))
    assert grid.spacing_mm == pytest.approx((1.2, 1.5, 6.0))
    assert grid.size == (24, 20, 6)


def test_unit_is_grey_over_255():
    grey = np.array([0.0, 51.0, 255.0], np.float32)
    shift, scale = unit(grey)
    assert ((grey - shift) / scale).tolist() == pytest.approx([0.0, 0.2, 1.0])
