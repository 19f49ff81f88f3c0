"""A DICOM series becomes the scan that it was made of, whatever way its files tell it."""

from __future__ import annotations

import logging
import os
import random
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ORIGIN_MM, SIZE, SPACING_MM, chest, placed
from dicom_makers import (
    ACCESSION,
    BIRTH_DATE,
    OBLIQUE,
    PATIENT_ID,
    PATIENT_NAME,
    REAL,
    SIGNED_PERMUTATIONS,
    assert_same,
    classic,
    compress,
    enhanced,
    write,
)
from pydicom import dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from pipeline.core.errors import InputError
from pipeline.scans.dicom.choice import choose_series
from pipeline.scans.dicom.series import find_series
from pipeline.scans.dicom.volume import LOWEST_HU, NOTES, read_series

# Feet first and prone: rows towards the right, columns towards the front
PRONE = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def scan() -> sitk.Image:
    return lowered(chest()[0])


def lowered(image: sitk.Image) -> sitk.Image:
    """Noise below the lowest HU would become the lowest HU."""
    return sitk.Cast(sitk.Clamp(image, lowerBound=LOWEST_HU), sitk.sitkInt16)


def read(folder: Path) -> sitk.Image:
    (series,) = find_series(folder)
    return read_series(series)


def test_a_series_becomes_the_scan_it_was_made_of(tmp_path, scan):
    write(classic(scan), tmp_path)
    assert_same(read(tmp_path), scan)


def test_the_order_of_the_files_does_not_matter(tmp_path, scan):
    datasets = classic(scan)
    random.Random(0).shuffle(datasets)
    write(datasets, tmp_path)
    assert_same(read(tmp_path), scan)


@pytest.mark.parametrize("direction", [OBLIQUE, PRONE], ids=["oblique", "prone"])
def test_directions_of_the_patient_are_kept(tmp_path, direction):
    expected = lowered(chest(direction=direction)[0])
    write(classic(expected), tmp_path)
    assert_same(read(tmp_path), expected)


@pytest.mark.parametrize("axes", SIGNED_PERMUTATIONS, ids=str)
def test_every_permutation_and_flip_of_the_axes_shows_the_same_patient(tmp_path, axes):
    voxels = np.random.default_rng(0).integers(-1000, 1000, (4, 3, 5)).astype(np.int16)
    image = placed(voxels, direction=np.ravel(axes).tolist())
    write(classic(image), tmp_path)
    expected = sitk.DICOMOrient(image, "LPS")
    assert_same(sitk.DICOMOrient(read(tmp_path), "LPS"), expected)


def test_a_slope_that_is_no_integer_gives_fractions_of_a_hounsfield_unit(tmp_path, scan):
    write(classic(scan, slope=0.3), tmp_path)
    found = sitk.GetArrayFromImage(read(tmp_path))
    assert found.dtype == np.float32
    # Steps of 0.3 from -1024 on meet whole numbers or pass them by 0.1
    assert np.abs(found - sitk.GetArrayFromImage(scan)).max() == pytest.approx(0.1, abs=1e-3)


def test_each_slice_has_its_own_intercept(tmp_path, scan):
    datasets = classic(scan)
    for number, dataset in enumerate(datasets):
        stored = np.frombuffer(dataset.PixelData, "<u2") + number
        dataset.PixelData, dataset.RescaleIntercept = stored.astype("<u2").tobytes(), str(-1024 - number)
    write(datasets, tmp_path)
    assert_same(read(tmp_path), scan)


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEGLSLossless, JPEGLosslessSV1, JPEG2000Lossless], ids=lambda s: s.name
)
def test_a_compressed_series_has_the_same_voxels(tmp_path, scan, syntax):
    datasets = classic(scan)
    for dataset in datasets:
        compress(dataset, syntax)
    write(datasets, tmp_path)
    assert_same(read(tmp_path), scan)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda s: s.name)
def test_other_byte_orders_have_the_same_voxels(tmp_path, scan, syntax):
    datasets = classic(scan)
    for number, dataset in enumerate(datasets):
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset.save_as(tmp_path / str(number), enforce_file_format=True)
    assert_same(read(tmp_path), scan)


def test_a_file_without_preamble_is_read(tmp_path, scan):
    for file in write(classic(scan), tmp_path):
        whole = file.read_bytes()
        file.write_bytes(whole[132:])
    assert_same(read(tmp_path), scan)


def test_frames_of_an_enhanced_object_may_come_in_any_order_with_intercepts_of_their_own(tmp_path, scan):
    order = list(range(SIZE[2]))
    random.Random(1).shuffle(order)
    write([enhanced(scan, order, intercepts=[-1024 - number for number in order])], tmp_path)
    assert_same(read(tmp_path), scan)


def test_a_tilted_gantry_is_set_upright_without_changing_a_value(tmp_path):
    voxels = np.random.default_rng(0).integers(-1000, 1000, (6, 8, 5)).astype(np.int16)
    image = placed(voxels, spacing_mm=(1, 1, 2), origin_mm=(0, 0, 0))
    datasets = classic(image)
    for number, dataset in enumerate(datasets):
        # One pixel towards the back a slice: atan(1/2) is 26.6 degrees
        dataset.ImagePositionPatient = [0, number, 2 * number]
    write(datasets, tmp_path)
    found = read(tmp_path)
    assert found.GetSize() == (6, 12, 5)
    array = sitk.GetArrayFromImage(found)
    for number in range(5):
        assert np.array_equal(array[number, number : number + 8], voxels[:, :, number].T)
    assert "26.6 degrees" in found.GetMetaData(NOTES)


def test_a_tilt_that_no_gantry_has_is_refused_with_its_angle(tmp_path, scan):
    datasets = classic(scan)
    for number, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = [0, 3 * number, 3 * number]
    write(datasets, tmp_path)
    with pytest.raises(InputError, match="45 degrees"):
        read(tmp_path)


def test_a_slice_shifted_sideways_is_refused(tmp_path, scan):
    datasets = classic(scan)
    datasets[5].ImagePositionPatient = [ORIGIN_MM[0] + 4, *datasets[5].ImagePositionPatient[1:]]
    write(datasets, tmp_path)
    with pytest.raises(InputError, match=r"by up to 4.0 mm from a straight way"):
        read(tmp_path)


@pytest.mark.parametrize("spacing_mm", [(1e-5, 1e-5, 1), (900, 900, 1), (1, 1, 900)], ids=str)
def test_spacings_that_no_ct_has_are_refused(tmp_path, spacing_mm):
    write(classic(chest(spacing_mm=spacing_mm)[0]), tmp_path)
    with pytest.raises(InputError, match="which no CT's are"):
        read(tmp_path)


def test_a_missing_slice_is_refused_with_its_place(tmp_path, scan):
    datasets = classic(scan)
    del datasets[4]
    write(datasets, tmp_path)
    with pytest.raises(InputError, match=r"missing between -191.00 and -185.00 mm"):
        read(tmp_path)


def test_irregular_distances_are_refused(tmp_path, scan):
    datasets = classic(scan)
    for number, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = [*ORIGIN_MM[:2], 3 * number + (number % 2)]
    write(datasets, tmp_path)
    with pytest.raises(InputError, match=r"2.00 to 4.00 mm apart"):
        read(tmp_path)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_regular(tmp_path):
    image = lowered(chest(spacing_mm=(1.2, 1.5, 0.625))[0])
    datasets = classic(image)
    for dataset in datasets:
        dataset.ImagePositionPatient = [f"{place:.1f}" for place in dataset.ImagePositionPatient]
    write(datasets, tmp_path)
    assert read(tmp_path).GetSpacing()[2] == pytest.approx(0.625, abs=0.01)


def test_equal_slices_in_one_plane_are_taken_once_and_said(tmp_path, scan):
    write(classic(scan), tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "copy").write_bytes((tmp_path / "a" / "IM0003").read_bytes())
    found = read(tmp_path)
    assert_same(found, scan)
    assert "1 slice(s) are there twice with equal voxels (at -191.00 mm)" in found.GetMetaData(NOTES)


def test_different_slices_in_one_plane_are_refused_with_their_place(tmp_path, scan):
    datasets = classic(scan)
    datasets.append(classic(scan)[3])
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(datasets[-1], name, getattr(datasets[0], name))
    datasets[-1].PixelData = bytes(len(datasets[-1].PixelData))
    write(datasets, tmp_path)
    with pytest.raises(InputError, match=r"2 different slices lie at -191.00 mm"):
        read(tmp_path)


@pytest.mark.parametrize("location", [True, False], ids=["by location", "by number"])
def test_without_positions_the_geometry_is_assumed_and_that_is_said(tmp_path, scan, location):
    datasets = classic(scan)
    for dataset in datasets:
        del dataset.ImagePositionPatient
        if not location:
            del dataset.SliceLocation
            # From head to feet
            dataset.InstanceNumber = str(SIZE[2] - int(dataset.InstanceNumber))
    write(datasets, tmp_path)
    (series,) = find_series(tmp_path)
    found = read_series(series)
    assert series.geometry_assumed
    assert "may be swapped" in found.GetMetaData(NOTES)
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(scan))
    assert found.GetSpacing() == pytest.approx(SPACING_MM)


def test_a_slice_without_position_among_others_is_refused(tmp_path, scan):
    datasets = classic(scan)
    del datasets[5].ImagePositionPatient
    write(datasets, tmp_path)
    with pytest.raises(InputError, match="1 of its 12 slices have no position"):
        read(tmp_path)


def unscaled(scan: sitk.Image, folder: Path, shift: int, signed: int) -> sitk.Image:
    datasets = classic(scan)
    for dataset, plane in zip(datasets, sitk.GetArrayFromImage(scan), strict=True):
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.PixelData, dataset.PixelRepresentation = (plane + shift).astype("<i2").tobytes(), signed
    write(datasets, folder)
    return read(folder)


def test_hounsfield_units_without_rescale_tags_are_taken_and_that_is_said(tmp_path, scan):
    found = unscaled(scan, tmp_path, shift=0, signed=1)
    assert_same(found, scan)
    assert "has no RescaleIntercept and no RescaleSlope: its numbers were taken" in found.GetMetaData(NOTES)


def test_padding_alone_makes_no_hounsfield_units_of_numbers_without_rescale_tags(tmp_path, scan):
    voxels = sitk.GetArrayFromImage(scan)
    voxels[:, 0] = -3024
    padded = sitk.GetImageFromArray(voxels)
    padded.CopyInformation(scan)
    with pytest.raises(InputError, match="has no RescaleIntercept and no RescaleSlope"):
        unscaled(padded, tmp_path, shift=1024, signed=1)


def test_negative_numbers_that_are_marked_as_unsigned_are_refused(tmp_path, scan):
    datasets = classic(scan, intercept=0)
    for dataset, plane in zip(datasets, sitk.GetArrayFromImage(scan), strict=True):
        dataset.PixelData = plane.astype("<i2").tobytes()
    write(datasets, tmp_path)
    with pytest.raises(InputError, match="marked as unsigned"):
        read(tmp_path)


def test_twelve_bits_of_negative_numbers_that_are_marked_as_unsigned_are_refused(tmp_path, scan):
    datasets = classic(scan)
    for dataset, plane in zip(datasets, sitk.GetArrayFromImage(scan), strict=True):
        dataset.PixelData, dataset.BitsStored, dataset.HighBit = (plane & 0xFFF).astype("<u2").tobytes(), 12, 11
    write(datasets, tmp_path)
    with pytest.raises(InputError, match="% of its voxels are denser than bone"):
        read(tmp_path)


@pytest.mark.parametrize("copies", [classic, lambda image: [enhanced(image)]], ids=["classic", "enhanced"])
def test_a_series_that_was_copied_twice_is_the_scan_once(tmp_path, scan, copies):
    datasets = copies(scan)
    for folder in ("a", "b"):
        write(datasets, tmp_path / folder)
    assert_same(read(tmp_path), scan)


def test_a_bare_big_endian_file_is_read(tmp_path, scan):
    for number, dataset in enumerate(classic(scan)):
        dataset.file_meta, dataset.preamble = FileMetaDataset(), None
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dcmwrite(tmp_path / str(number), dataset, implicit_vr=False, little_endian=False, enforce_file_format=False)
    assert_same(read(tmp_path), scan)


def test_big_endian_without_data_types_is_named_as_dicom(tmp_path, caplog):
    (tmp_path / "IM0001").write_bytes(b"\0\x08\0\x05\0\0\0\x0aISO_IR 100" + bytes(200))
    assert find_series(tmp_path) == []
    assert "it is DICOM in big endian without data types" in caplog.text


@pytest.mark.parametrize(("padding", "kind"), [(-2000, "SS"), (63536, "US")])
def test_padding_outside_the_field_of_view_becomes_the_lowest_value(tmp_path, scan, padding, kind):
    datasets = classic(scan)
    for dataset in datasets:
        stored = np.frombuffer(dataset.PixelData, "<u2").astype("<i2")
        stored[:7] = -2000
        dataset.PixelData, dataset.PixelRepresentation = stored.tobytes(), 1
        dataset.add_new("PixelPaddingValue", kind, padding)
    write(datasets, tmp_path)
    found = sitk.GetArrayFromImage(read(tmp_path))
    assert (found[:, 0, :7] == LOWEST_HU).all()
    assert np.array_equal(found[:, 1:], sitk.GetArrayFromImage(scan)[:, 1:])


def test_padding_that_names_a_value_of_the_scale_changes_nothing(tmp_path, scan):
    datasets = classic(scan)
    for dataset in datasets:
        # 40 HU, soft tissue
        dataset.add_new("PixelPaddingValue", "US", 1064)
    write(datasets, tmp_path)
    assert_same(read(tmp_path), scan)


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEGLosslessSV1, JPEG2000Lossless], ids=str)
def test_a_file_that_ends_early_is_refused_by_its_name(tmp_path, scan, syntax):
    datasets = classic(scan)
    if syntax:
        compress(datasets[5], syntax)
    files = write(datasets, tmp_path)
    whole = files[5].read_bytes()
    files[5].write_bytes(whole[: len(whole) - 300])
    with pytest.raises(InputError, match="IM0005: its image is damaged"):
        read(tmp_path)


def test_names_of_files_may_hold_anything(tmp_path, scan):
    folder = tmp_path / "Müller, 胸部\nCT"
    for number, dataset in enumerate(classic(scan)):
        folder.mkdir(exist_ok=True)
        # Not UTF-8 either
        name = os.fsencode(folder) + b"/slice \n\xff" + str(number).encode()
        with open(name, "wb") as stream:
            dataset.save_as(stream, enforce_file_format=True)
    assert_same(read(folder), scan)


def test_nothing_that_names_the_patient_is_logged_or_noted(tmp_path, scan, caplog):
    datasets = classic(scan)
    # As a localizer beside it, a damaged file and a copy have their say
    write([*datasets, datasets[2]], tmp_path)
    damaged = classic(scan)[0]
    damaged.add_new("ImagePositionPatient", "LO", PATIENT_NAME)
    # Of another series, so that it keeps nothing from being read
    write([damaged], tmp_path, "damaged")
    with caplog.at_level(logging.DEBUG):
        found = read_series(choose_series(find_series(tmp_path))[0])
    said = caplog.text + found.GetMetaData(NOTES)
    assert "damaged" in said
    assert not any(planted in said for planted in (PATIENT_NAME, PATIENT_ID, BIRTH_DATE, ACCESSION))


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason=f"there is no real series in {REAL}")
def test_the_real_jpeg_lossless_series_is_what_simpleitk_reads():
    found = read(REAL)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(REAL)))
    assert_same(found, lowered(reader.Execute()))
