"""To which lung infection belongs, on lungs drawn by hand and on real labels."""

import numpy as np
import pytest
import SimpleITK as sitk

from evaluation.measures.whole_lungs import whole_lungs
from pipeline.core.project import ROOT
from pipeline.scans.scan import read_scan

SPACING_MM = (3.0, 1.0, 1.0)
REAL = ROOT.parent / "shared" / "data" / "covid5" / "labels"


def lungs(shape=(4, 8, 20), middle=(9, 11)):
    """Right lung (2) in the columns before the middle, left lung (1) behind it, in a frame of background."""
    labels = np.zeros(shape, np.uint8)
    labels[:, 1:-1, 1 : middle[0]] = 2
    labels[:, 1:-1, middle[1] : -1] = 1
    return labels


def infected(labels, *places):
    """A copy with infection (3) at places of it."""
    codes = labels.copy()
    for place in places:
        codes[place] = 3
    return codes


def columns(first, end):
    return (slice(None), slice(1, -1), slice(first, end))


def touching_lungs():
    """Lungs of 25 mm that touch at one voxel."""
    labels = lungs(shape=(25, 27, 61), middle=(30, 31))
    labels[12, 13, 30] = 2
    return labels


def test_whole_lungs_of_healthy_lungs_are_the_labels():
    assert np.array_equal(whole_lungs(lungs(), SPACING_MM), lungs())


def test_infection_in_each_lung_is_its_own():
    labels = infected(lungs(), columns(2, 6), columns(12, 14))
    assert np.array_equal(whole_lungs(labels, SPACING_MM), lungs())


def test_a_lung_that_is_nearly_all_infected_keeps_its_infection():
    # What is free of the left lung lies at its outer side: most of its infection is nearer to the right lung
    labels = infected(lungs(), columns(11, 18))
    assert np.array_equal(whole_lungs(labels, SPACING_MM), lungs())


def test_a_lung_that_is_nearly_all_infected_keeps_its_infection_where_the_lungs_touch():
    labels = infected(touching_lungs(), (slice(None), slice(1, -1), slice(31, 59)))
    assert (whole_lungs(labels, (1.0, 1.0, 1.0)) == touching_lungs()).mean() > 0.999


def test_infection_in_lungs_that_are_one_block_goes_to_the_nearest():
    labels = np.pad(np.full((25, 25, 60), 2, np.uint8), 1)
    labels[1:-1, 1:-1, 31:-1] = 1
    lesions = infected(labels, np.s_[10:15, 10:15, 20:29], np.s_[10:15, 10:15, 32:41])
    assert np.array_equal(whole_lungs(lesions, (1.0, 1.0, 1.0)), labels)


@pytest.mark.parametrize(("slice_mm", "side"), [(3.0, 1), (1.0, 2)])
def test_infection_between_thin_lungs_goes_to_the_nearest_in_millimetres(slice_mm, side):
    # Two voxels of 1 mm to the left lung, one slice to the right lung
    labels = np.full((2, 1, 4), 3, np.uint8)
    labels[0, 0, 3], labels[1, 0, :] = 1, 2
    assert whole_lungs(labels, (slice_mm, 1.0, 1.0))[0, 0, 1] == side


def test_infection_apart_from_both_lungs_goes_to_the_nearest():
    labels = np.zeros((1, 3, 20), np.uint8)
    labels[0, 1, 0], labels[0, 1, 19], labels[0, 1, [6, 12]] = 2, 1, 3
    assert whole_lungs(labels, SPACING_MM)[0, 1, [6, 12]].tolist() == [2, 1]


def test_infection_apart_from_both_lungs_is_given_as_a_whole():
    labels = np.zeros((1, 3, 20), np.uint8)
    labels[0, 1, 0], labels[0, 1, 19], labels[0, 1, 5:12] = 2, 1, 3
    assert whole_lungs(labels, SPACING_MM)[0, 1, 5:12].tolist() == [2] * 7


@pytest.mark.parametrize("code", [1, 2])
@pytest.mark.parametrize("labels", [lungs(), touching_lungs()], ids=["apart", "touching"])
def test_a_lung_without_any_free_voxel_is_still_a_lung(labels, code):
    found = whole_lungs(infected(labels, labels == code), (1.0, 1.0, 1.0))
    assert (found == labels).mean() > 0.999


def test_a_small_lesion_is_no_missing_lung():
    labels = lungs()
    labels[labels == 1] = 0
    labels[1, 3, 15] = 3
    assert whole_lungs(labels, SPACING_MM)[1, 3, 15] == 2


def test_infection_without_any_lung_belongs_to_none():
    assert not whole_lungs(np.full((2, 3, 4), 3, np.uint8), SPACING_MM).any()


def test_an_empty_label_map_has_no_lungs():
    assert not whole_lungs(np.zeros((2, 3, 4), np.uint8), SPACING_MM).any()


def test_mirrored_labels_give_mirrored_lungs():
    labels = infected(touching_lungs(), (slice(None), slice(1, -1), slice(22, 50)))
    swap = np.array([0, 2, 1, 3], np.uint8)
    mirrored = whole_lungs(swap[labels[..., ::-1]], (1.0, 1.0, 1.0))
    assert np.array_equal(whole_lungs(labels, (1.0, 1.0, 1.0)), swap[mirrored[..., ::-1]])


def test_a_slice_has_two_spacings():
    labels = infected(lungs(), columns(2, 6))[0]
    assert np.array_equal(whole_lungs(labels, SPACING_MM[1:]), lungs()[0])


def test_a_spacing_for_other_axes_is_named():
    with pytest.raises(ValueError, match="one number for each of 3 axes"):
        whole_lungs(lungs(), (1.0, 1.0))


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason=f"there are no real labels in {REAL}")
@pytest.mark.parametrize("case", ["medseg_7", "medseg_8"])
@pytest.mark.parametrize("code", [1, 2])
def test_a_real_lung_of_which_nine_tenths_turn_to_infection_keeps_it(case, code):
    # The lungs of medseg_8 touch
    image = read_scan(REAL / f"{case}.nii.gz")
    labels = sitk.GetArrayFromImage(image)
    spacing_mm = image.GetSpacing()[::-1]
    before = whole_lungs(labels, spacing_mm)
    lung = before == code
    lower = np.arange(labels.shape[0]) <= np.quantile(np.nonzero(lung)[0], 0.9)
    labels[lung & lower[:, None, None]] = 3
    assert (whole_lungs(labels, spacing_mm)[lung] == code).mean() > 0.99
