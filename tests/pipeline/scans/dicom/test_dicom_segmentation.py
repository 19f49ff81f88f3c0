"""A label map goes into a DICOM segmentation and comes back voxel by voxel, whatever way its series was stored."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from conftest import SIZE, chest, placed
from dicom_makers import (
    OBLIQUE,
    PATIENT_NAME,
    REAL,
    SIGNED_PERMUTATIONS,
    VERIFIER,
    assert_same,
    classic,
    enhanced,
    errors,
    write,
)

from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_MAPS
from pipeline.scans.dicom.segmentation import CONCEPTS, read_segmentation, write_segmentation
from pipeline.scans.dicom.series import Series, find_series
from pipeline.scans.dicom.volume import read_series


def noise(scan: sitk.Image, classes: int = 3, seed: int = 0) -> sitk.Image:
    """A label map with every class anywhere, on a scan's grid, the first slice empty."""
    voxels = np.random.default_rng(seed).integers(0, classes + 1, scan.GetSize()[::-1]).astype(np.uint8)
    voxels[0] = 0
    label = sitk.GetImageFromArray(voxels)
    label.CopyInformation(scan)
    return label


def there_and_back(folder: Path, label_of_scan=noise) -> tuple[sitk.Image, sitk.Image]:
    """The label map of the only series in a folder, and the one that comes back."""
    (series,) = find_series(folder)
    label = label_of_scan(read_series(series))
    write_segmentation(label, series, folder / "seg.dcm", "PneumoBundle test", "1.0")
    return read_segmentation(folder / "seg.dcm", series), label


@pytest.mark.parametrize("direction", [OBLIQUE, (-1, 0, 0, 0, -1, 0, 0, 0, 1)], ids=["oblique", "prone"])
def test_a_classic_series_has_its_label_back(tmp_path, direction):
    datasets = classic(chest(direction=direction)[0])
    random.Random(0).shuffle(datasets)
    write(datasets, tmp_path)
    assert_same(*there_and_back(tmp_path))


@pytest.mark.parametrize("axes", SIGNED_PERMUTATIONS[::5], ids=str)
def test_a_permuted_or_flipped_series_has_its_label_back(tmp_path, axes):
    write(classic(placed(np.zeros((4, 3, 5), np.int16), direction=np.ravel(axes).tolist())), tmp_path)
    assert_same(*there_and_back(tmp_path))


def test_an_enhanced_series_with_shuffled_frames_has_its_label_back(tmp_path):
    order = list(range(SIZE[2]))
    random.Random(1).shuffle(order)
    write([enhanced(chest()[0], order)], tmp_path)
    assert_same(*there_and_back(tmp_path))


def test_a_tilted_series_has_its_label_back_where_it_has_voxels(tmp_path):
    datasets = classic(placed(np.zeros((6, 8, 5), np.int16), spacing_mm=(1, 1, 2)))
    for number, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = [0, number, 2 * number]
    write(datasets, tmp_path)
    found, label = there_and_back(tmp_path)
    inside = np.zeros(label.GetSize()[::-1], bool)
    for number in range(5):
        inside[number, number : number + 8] = True
    expected = np.where(inside, sitk.GetArrayFromImage(label), 0)
    assert np.array_equal(sitk.GetArrayFromImage(found), expected)


def test_a_series_with_a_slice_twice_has_its_label_back(tmp_path):
    files = write(classic(chest()[0]), tmp_path)
    shutil.copy(files[3], tmp_path / "copy")
    assert_same(*there_and_back(tmp_path))


def test_a_series_without_positions_is_refused(tmp_path):
    datasets = classic(chest()[0])
    for dataset in datasets:
        del dataset.ImagePositionPatient
    write(datasets, tmp_path)
    with pytest.raises(InputError, match="do not tell where its slices lie"):
        there_and_back(tmp_path)


def test_slices_that_share_a_uid_are_refused(tmp_path):
    datasets = classic(chest()[0])
    datasets[4].SOPInstanceUID = datasets[5].SOPInstanceUID
    write(datasets, tmp_path)
    with pytest.raises(InputError, match="share a SOP instance UID"):
        there_and_back(tmp_path)


def test_an_anonymised_series_without_patient_has_its_label_back(tmp_path):
    datasets = classic(chest()[0])
    for dataset in datasets:
        for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            del dataset[name]
    write(datasets, tmp_path)
    assert_same(*there_and_back(tmp_path))


def test_an_empty_label_keeps_a_frame_for_every_slice_and_segment(tmp_path):
    write(classic(chest()[0]), tmp_path)
    found, label = there_and_back(tmp_path, lambda scan: scan * 0)
    assert_same(found, sitk.Cast(label, sitk.sitkUInt8))
    assert pydicom.dcmread(tmp_path / "seg.dcm").NumberOfFrames == 3 * SIZE[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Series, Path]:
    folder = tmp_path_factory.mktemp("dicom")
    write(classic(chest()[0]), folder)
    (series,) = find_series(folder)
    write_segmentation(noise(read_series(series)), series, folder / "seg.dcm", "PneumoBundle test", "1.0")
    return series, folder / "seg.dcm"


def test_segments_say_which_lung_and_what_in_codes(written):
    left, right, infection = pydicom.dcmread(written[1]).SegmentSequence
    for segment, side in ((left, "7771000"), (right, "24028007")):
        kind = segment.SegmentedPropertyTypeCodeSequence[0]
        assert (kind.CodeValue, kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue) == ("39607008", side)
    assert infection.SegmentedPropertyTypeCodeSequence[0].CodeValue == "409609008"
    assert [segment.SegmentNumber for segment in (left, right, infection)] == [1, 2, 3]


def test_every_frame_refers_to_its_slice(written):
    series, file = written
    uids = {each.instance_uid for each in series.slices}
    frames = pydicom.dcmread(file).PerFrameFunctionalGroupsSequence
    referred = [frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID for frame in frames]
    assert sorted(referred) == sorted(list(uids) * 3)


def test_the_segmentation_belongs_to_patient_study_and_frame_of_reference(written):
    source, made = pydicom.dcmread(written[0].files[0]), pydicom.dcmread(written[1])
    for name in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "AccessionNumber"):
        assert made[name].value == source[name].value, name
    assert made.SeriesInstanceUID != source.SeriesInstanceUID


def test_a_label_on_another_grid_is_refused(written):
    series, _ = written
    label = noise(read_series(series))
    label.SetSpacing((1, 1, 1))
    with pytest.raises(InputError, match="on another grid: spacing"):
        write_segmentation(label, series, "never", "a", "1")
    assert not Path("never").exists()


def test_a_label_with_values_beyond_its_classes_is_refused(written):
    series, _ = written
    with pytest.raises(InputError, match="the label holds 3; expected 0 to 2"):
        write_segmentation(noise(read_series(series)), series, "never", "a", "1", classes="lungs_and_infection")


def test_something_else_is_no_segmentation_of_the_series(written):
    series, _ = written
    with pytest.raises(InputError, match="no DICOM segmentation"):
        read_segmentation(series.files[0], series)


def test_a_header_that_does_not_suffice_is_said_without_its_values(tmp_path):
    datasets = classic(chest()[0])
    for number, dataset in enumerate(datasets):
        dataset.StudyDate = f"{PATIENT_NAME}{number}"
    write(datasets, tmp_path)
    with pytest.raises(InputError, match="do not suffice") as caught:
        there_and_back(tmp_path)
    assert PATIENT_NAME not in str(caught.value)


def test_whatever_highdicom_raises_is_a_sentence_with_the_kind_and_a_tag_alone(written, monkeypatch, tmp_path):
    def fails(*_: object, **__: object) -> None:
        raise OverflowError(f"{PATIENT_NAME} is no PixelSpacing")

    monkeypatch.setattr("pipeline.scans.dicom.segmentation.Segmentation", fails)
    with pytest.raises(InputError, match=r"do not suffice .* \(OverflowError: PixelSpacing\)") as caught:
        write_segmentation(noise(read_series(written[0])), written[0], tmp_path / "seg.dcm", "a", "1")
    assert PATIENT_NAME not in str(caught.value)


def test_every_class_of_every_label_map_has_its_codes():
    assert {name for each in LABEL_MAPS.values() for name in list(each.classes)[1:]} == set(CONCEPTS)


@pytest.mark.skipif(not VERIFIER, reason="there is no dciodvfy (Debian's dicom3tools)")
def test_the_verifier_finds_no_error_in_the_synthetic_slices(tmp_path):
    assert [error for file in write(classic(chest()[0])[:2], tmp_path) for error in errors(file)] == []


@pytest.mark.skipif(not VERIFIER, reason="there is no dciodvfy (Debian's dicom3tools)")
def test_the_verifier_finds_no_error_in_the_synthetic_multi_frame_object(tmp_path):
    assert errors(*write([enhanced(chest()[0])], tmp_path)) == []


@pytest.mark.skipif(not VERIFIER, reason="there is no dciodvfy (Debian's dicom3tools)")
@pytest.mark.parametrize("make", [classic, lambda image: [enhanced(image)]], ids=["classic", "enhanced"])
def test_the_verifier_finds_no_error_in_a_segmentation(tmp_path, make):
    write(make(chest()[0]), tmp_path)
    there_and_back(tmp_path)
    assert errors(tmp_path / "seg.dcm") == []


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason=f"there is no real series in {REAL}")
def test_the_real_series_has_its_label_back(tmp_path):
    (series,) = find_series(REAL)
    label = noise(read_series(series))
    write_segmentation(label, series, tmp_path / "seg.dcm", "PneumoBundle test", "1.0")
    assert_same(read_segmentation(tmp_path / "seg.dcm", series), label)
    assert not VERIFIER or errors(tmp_path / "seg.dcm") == []
