"""Damaged scans of the flags' benchmark: each has a reference of its own size, and the type of its scan."""

import numpy as np
import pytest
import SimpleITK as sitk

from benchmarks.artefacts import DAMAGES, Judged, damaged, worths
from evaluation.measures.flags import LUNG_VOLUME, judged
from pipeline.phantom.dataset import phantom_case


@pytest.fixture(scope="module", params=["hu", "grey"])
def found(request):
    """The scan, its reference, and all damaged ones by name."""
    case = phantom_case(0)
    scan, label = case.image, case.label
    if request.param == "grey":
        levels = np.clip((scan.astype(float) + 1250) / 1500 * 255, 0, 255)
        scan = levels.astype(np.uint8)
    images = [sitk.GetImageFromArray(np.asarray(array)) for array in (scan, label.astype(np.uint8))]
    for image in images:
        image.SetSpacing((2.0, 2.0, 3.0))
    every = damaged(*images, "case", np.random.default_rng(0))
    return images, {name: pair for name, *pair in every}


def test_every_damage_is_there_and_keeps_the_type_of_the_scan(found):
    (scan, _), every = found
    assert list(every) == [damage.name for damage in DAMAGES]
    kind = sitk.sitkUInt8 if scan.GetPixelID() == sitk.sitkUInt8 else sitk.sitkInt16
    assert {image.GetPixelID() for image, _ in every.values()} == {kind}
    assert all(image.GetSize() == label.GetSize() for image, label in every.values())


def test_as_it_came_nothing_changes(found):
    images, every = found
    for before, after in zip(images, every["as it came"], strict=True):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(before), sitk.GetArrayFromImage(after))


def test_missing_slices_make_the_others_thicker(found):
    (scan, label), every = found
    fewer, codes = every["two of three slices missing"]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(codes), sitk.GetArrayFromImage(label)[::3])
    thickness = fewer.GetSpacing()[2] * fewer.GetSize()[2]
    assert thickness == pytest.approx(scan.GetSpacing()[2] * scan.GetSize()[2])


def test_scan_and_reference_are_turned_together(found):
    (scan, label), every = found
    for name in ("back to front", "turned"):
        image, codes = (sitk.GetArrayFromImage(part) for part in every[name])
        lungs = codes == 1
        assert image[lungs].mean() == pytest.approx(
            sitk.GetArrayFromImage(scan)[sitk.GetArrayFromImage(label) == 1].mean()
        )
        assert not np.array_equal(codes, sitk.GetArrayFromImage(label))


def test_worths_are_of_the_scans_with_a_dice_of_the_structure():
    def one(patient, ml, **dice):
        return Judged(patient, "metal", {"lung_volume": judged(LUNG_VOLUME, ml)}, dice)

    scans = [one("a", 100, infection=0.1), one("b", 5000, infection=0.9, lungs=0.9), one("c", 50, lungs=0.2)]
    (infection,), (lungs,) = worths(scans, "infection"), worths(scans, "lungs")
    assert (infection.failed, infection.others, infection.caught) == (1, 1, 1)
    assert (lungs.failed, lungs.others, lungs.auroc) == (1, 1, 1)
