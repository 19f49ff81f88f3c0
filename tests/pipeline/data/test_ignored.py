"""Code 255 in a label, nobody knows what it is, on its way to the patches."""

import numpy as np
import pytest
import SimpleITK as sitk
from monai.transforms import Compose

from pipeline.core.labels import IGNORE
from pipeline.data.cache import CaseCache
from pipeline.data.patches import PatchDataset
from pipeline.data.slice_patches import SlicePatches
from pipeline.scans.front import Front
from pipeline.scans.resampling import majority
from pipeline.scans.scan import file_sha256

# The scans' own voxels
FRONT = Front(spacing_mm=(0, 0, 0))


@pytest.fixture
def ignored(tmp_path, make_cases):
    """A case whose four lower slices nobody knows, but for one voxel of infection in the first."""
    (case,) = make_cases(tmp_path, 1)
    label = sitk.ReadImage(case["label"])
    label[:, :, :4] = IGNORE
    label[3, 3, 0] = 3
    sitk.WriteImage(label, case["label"])
    return {**case, "label_sha256": file_sha256(case["label"])}


def test_a_resampled_voxel_is_ignored_where_that_has_the_largest_share():
    line = np.array([1, 1, IGNORE, IGNORE, IGNORE, 3], np.uint8).reshape(1, 1, 6)
    assert majority(line, (1, 1, 3)).ravel().tolist() == [1, IGNORE, 3]


def test_it_stays_in_the_cache_and_is_no_code_that_is_counted(tmp_path, ignored):
    cache = CaseCache(tmp_path / "cache", FRONT)
    cache.fill([ignored])
    label, counts = cache.load(ignored)["label"], cache.counts(ignored)
    assert (label == IGNORE).sum() == 4 * 24 * 20 - 1
    assert counts[:4].tolist() == [[0, 0, 0, 1, 0, 0], *[[0] * 6] * 3]


@pytest.mark.parametrize("slice_patches", [None, SlicePatches((24, 20), 1, 1)], ids=["slices", "patches"])
def test_ignored_pixels_are_none_that_slices_are_chosen_by_or_weights_counted_from(tmp_path, ignored, slice_patches):
    data = PatchDataset([ignored], FRONT, tmp_path / "cache", Compose([]), True, 1, slice_patches)
    assert {number for _, number in data.samples} & {0, 1, 2, 3} == {0}
    every = np.concatenate([data[place, 0]["label"].ravel() for place in range(len(data))])
    assert data.code_counts().tolist() == [(every == code).sum() for code in range(6)]


@pytest.mark.parametrize("guided", [False, True])
def test_a_faultless_first_stage_finds_no_infection_where_nobody_knows(ignored, guided):
    label = sitk.ReadImage(ignored["label"])
    found = Front(within_lungs=not guided, guided=guided).found_by_reference(label)
    there = sitk.GetArrayViewFromImage(found)[:4] > 0
    assert there.sum() == (1 if guided else there.size)


def test_a_sample_says_what_its_case_annotates(tmp_path, make_cases):
    one, other = make_cases(tmp_path, 2)
    data = PatchDataset([one, {**other, "annotates": ["infection"]}], FRONT, tmp_path / "cache", Compose([]))
    assert [data[place, 0].get("annotates") for place in (0, 1)] == [None, ["infection"]]
