"""The EAMC paper's patches: as many as in its Table 10, over the infection, and the border of a grid of tiles."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from monai.transforms import Compose

from pipeline.core.errors import InputError
from pipeline.core.labels import INFECTION
from pipeline.data.patches import PatchDataset
from pipeline.data.slice_patches import SlicePatches, border_tiles
from pipeline.scans.front import Front

# Table 10: slices with infection and without, patches with and without
TABLE_10 = {
    "P1": (161, 140, 3534, 1758),
    "P2": (143, 57, 3114, 1519),
    "P3": (137, 63, 3198, 1249),
    "P4": (113, 157, 2341, 1432),
    "P5": (116, 174, 2342, 1544),
    "P6": (70, 143, 1503, 880),
    "P7": (93, 156, 2067, 1065),
    "P8": (216, 85, 4647, 2350),
    "P9": (111, 145, 2276, 1421),
    "P10": (191, 110, 4375, 1847),
}
# The paper's proportions, an eighth of its size
SMALL, SIDE = 64, 16
PATCHES = SlicePatches((SIDE, SIDE))


def label(infected: int, others: int) -> np.ndarray:
    """Codes of that many slices with infection, a blob each somewhere, and as many others without, in turns."""
    random = np.random.default_rng(infected)
    codes = np.zeros((SMALL, SMALL, infected + others), np.uint8)
    for number in random.permutation(infected + others)[:infected]:
        row, column = random.integers(0, SMALL, 2)
        codes[row : row + 3, column : column + 4, number] = INFECTION
    return codes


def infected_share(codes: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Of each patch, how much of it is infection."""
    boxes = (codes[row : row + SIDE, column : column + SIDE, number] for number, row, column in corners)
    return np.array([(box == INFECTION).mean() for box in boxes])


@pytest.fixture
def make_patches(tmp_path, make_cases):
    """Maker of the untransformed patches, 8 x 6, of two cases."""
    front = Front(spacing_mm=(1.2, 1.5, 3.0))
    drawn = SlicePatches((8, 6), over_infection=3)
    return partial(
        PatchDataset,
        make_cases(tmp_path, 2),
        front,
        tmp_path / "cache",
        Compose([]),
        slice_wise=True,
        slice_patches=drawn,
    )


@pytest.mark.parametrize("patient", TABLE_10)
def test_there_are_as_many_patches_as_in_the_papers_table(patient):
    infected, others, with_infection, without = TABLE_10[patient]
    assert len(PATCHES.corners(label(infected, others), patient)) == with_infection + without


@pytest.mark.parametrize("patient", TABLE_10)
def test_a_slice_with_infection_gives_32_patches_and_any_other_one(patient):
    codes = label(*TABLE_10[patient][:2])
    found = np.bincount(PATCHES.corners(codes, patient)[:, 0])
    assert found.tolist() == np.where((codes == INFECTION).any((0, 1)), 32, 1).tolist()


def test_the_first_twenty_of_a_slice_with_infection_hold_some():
    codes = label(40, 0)
    boxes = PATCHES.corners(codes, "a").reshape(40, 32, 3)[:, :20].reshape(-1, 3)
    assert infected_share(codes, boxes).min() > 0


def test_patches_lie_in_the_slice():
    corners = PATCHES.corners(label(40, 40), "a")[:, 1:]
    assert (corners.min(), corners.max()) == (0, SMALL - SIDE)


def test_a_pixel_may_be_anywhere_in_its_box():
    codes = np.zeros((SMALL, SMALL, 200), np.uint8)
    codes[32, 32] = INFECTION
    rows = PATCHES.corners(codes, "a").reshape(200, 32, 3)[:, :20, 1]
    assert np.unique(rows).tolist() == list(range(32 - SIDE + 1, 32 + 1))


def test_a_box_of_a_slice_without_infection_may_be_anywhere():
    corners = PATCHES.corners(np.zeros((SMALL, SMALL, 2000), np.uint8), "a")
    assert np.unique(corners[:, 1]).tolist() == np.unique(corners[:, 2]).tolist() == list(range(SMALL - SIDE + 1))


def test_border_tiles_are_the_twelve_outer_ones_of_sixteen():
    inner = [(row, column) for row in (128, 256) for column in (128, 256)]
    every = {(row, column) for row in range(0, 512, 128) for column in range(0, 512, 128)}
    found = [tuple(tile) for tile in border_tiles((512, 512), (128, 128)).tolist()]
    assert sorted(found) == sorted(every - set(inner))


def test_tiles_that_do_not_fit_reach_back():
    assert border_tiles((20, 30), (16, 16)).tolist() == [[0, 0], [0, 14], [4, 0], [4, 14]]


def test_a_slice_smaller_than_a_patch_is_one_tile():
    assert border_tiles((10, 12), (16, 16)).tolist() == [[0, 0]]


def test_a_seed_and_a_name_give_the_same_patches():
    codes = label(5, 5)
    assert np.array_equal(PATCHES.corners(codes, "a"), PATCHES.corners(codes, "a"))


@pytest.mark.parametrize(("seed", "case"), [(1, "a"), (0, "b")])
def test_another_seed_or_name_gives_others(seed, case):
    codes = label(5, 5)
    other = SlicePatches((SIDE, SIDE), seed=seed).corners(codes, case)
    assert not np.array_equal(PATCHES.corners(codes, "a"), other)


def test_a_data_set_has_the_patches_of_all_its_cases(make_patches):
    patches = make_patches()
    expected = [
        patches.cache.load(case)["label"][0, row : row + 8, column : column + 6, number]
        for case in patches.data
        for number, row, column in SlicePatches((8, 6), 3).corners(patches.cache.load(case)["label"][0], case["case"])
    ]
    found = [patches[index, 0]["label"][0, ..., 0] for index in range(len(patches))]
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_image_and_label_are_of_the_same_place(make_patches):
    patches = make_patches()
    samples = [patches[index, 0] for index in range(len(patches))]
    image, codes = (np.concatenate([sample[key].ravel() for sample in samples]) for key in ("image", "label"))
    # Healthy lung is darker than all else in the body
    assert image[codes == 1].max() < image[codes == INFECTION].min()


def test_slices_with_too_few_labelled_pixels_give_no_patch(make_patches):
    kept = make_patches(min_labelled_pixels=20)
    assert set(kept.samples) == set(make_patches(slice_patches=None, min_labelled_pixels=20).samples)


def test_label_codes_are_counted_over_the_patches(make_patches):
    patches = make_patches()
    codes = np.concatenate([patches[index, 0]["label"].ravel() for index in range(len(patches))])
    assert patches.code_counts().tolist() == np.bincount(codes, minlength=6).tolist()


def test_a_3d_network_has_no_slices_to_draw_from(make_patches):
    with pytest.raises(InputError, match="slice_patches is for 2D networks"):
        make_patches(slice_wise=False)
