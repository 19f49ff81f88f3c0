"""A scan is read to its last byte, and what is wrong with it is told with the file's name."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.core.errors import InputError
from pipeline.scans.geometry import Geometry
from pipeline.scans.intensity import intensity_domain
from pipeline.scans.scan import case_name, file_sha256, read_geometry, read_scan


def written(file: Path, image: sitk.Image, compress: bool = False) -> Path:
    sitk.WriteImage(image, str(file), compress)
    return file


def complaint(file: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_scan(file)
    return str(caught.value)


def flip_byte(file: Path, share: float = 0.75) -> None:
    content = bytearray(file.read_bytes())
    content[int(share * len(content))] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd", ".NII.GZ", ".png"])
def test_a_case_is_named_by_its_file_without_the_suffix(suffix):
    assert case_name(f"folder.nii/medseg_1.v2{suffix}") == "medseg_1.v2"


def test_a_name_without_an_image_suffix_stays():
    assert case_name("folder/readme.txt") == "readme.txt"


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_a_scan_is_read_voxel_for_voxel(tmp_path, make_chest, suffix):
    scan, _ = make_chest()
    again = read_scan(written(tmp_path / f"a{suffix}", scan))
    assert np.array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(scan))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_the_geometry_is_read_from_the_header(tmp_path, make_chest, suffix):
    scan, _ = make_chest(direction=(0, 1, 0, -1, 0, 0, 0, 0, 1))
    file = written(tmp_path / f"a{suffix}", scan)
    assert read_geometry(file).differences(Geometry.of(scan), tolerance_mm=1e-4) == []


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_a_file_that_ends_early_is_named(tmp_path, make_chest, suffix):
    file = written(tmp_path / f"a{suffix}", make_chest()[0])
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    assert complaint(file).startswith(f"{file}: ")


def test_a_short_nifti_tells_how_long_it_should_be(tmp_path, make_chest):
    file = written(tmp_path / "a.nii", make_chest()[0])
    whole = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-1])
    assert complaint(file) == f"{file}: ends after {whole - 1} of {whole} bytes; copy it again."


def test_a_flipped_byte_in_a_compressed_nifti_is_noticed(tmp_path, make_chest):
    file = written(tmp_path / "a.nii.gz", make_chest()[0])
    flip_byte(file)
    assert complaint(file).startswith(f"{file}: damaged or not readable to its end")


def test_a_flipped_byte_in_a_compressed_metaimage_is_noticed(tmp_path, make_chest):
    file = written(tmp_path / "a.mha", make_chest()[0], compress=True)
    flip_byte(file)
    assert complaint(file).startswith(f"{file}: ")


def test_a_shortened_nifti_compressed_anew_is_noticed(tmp_path, make_chest):
    file = written(tmp_path / "a.nii.gz", make_chest()[0])
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-100]))
    assert f"{file}: ends after" in complaint(file)


@pytest.mark.parametrize("end", [b"", b"\0" * 600], ids=["to its end", "filled up with zeros"])
def test_a_nifti_compressed_in_two_parts_is_read(tmp_path, make_chest, end):
    scan, _ = make_chest()
    file = written(tmp_path / "a.nii.gz", scan)
    content = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(content[:1000]) + gzip.compress(content[1000:]) + end)
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(file)), sitk.GetArrayFromImage(scan))


def test_a_rescaled_nifti_is_read_as_simpleitk_reads_it(tmp_path, make_chest):
    scan, _ = make_chest()
    image = nibabel.Nifti1Image(sitk.GetArrayFromImage(scan).T, np.diag((1.2, 1.5, 3.0, 1)))
    image.header.set_slope_inter(2, -1024)
    nibabel.save(image, tmp_path / "a.nii.gz")
    expected = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "a.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(tmp_path / "a.nii.gz")), expected)


def test_a_missing_file_is_named(tmp_path):
    assert complaint(tmp_path / "a.nii.gz") == f"{tmp_path}/a.nii.gz: there is no such file; check the path."


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "a.nrrd").write_text("not an image")
    assert complaint(tmp_path / "a.nrrd").startswith(f"{tmp_path}/a.nrrd: not readable as a medical image")


def test_the_geometry_of_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.nrrd").write_text("not an image")
    with pytest.raises(InputError, match=r"a\.nrrd: not readable as a medical image"):
        read_geometry(tmp_path / "a.nrrd")


def test_several_volumes_in_one_file_are_refused(tmp_path, make_chest):
    scan, _ = make_chest()
    file = written(tmp_path / "a.nii.gz", sitk.JoinSeries([scan, scan]))
    assert complaint(file).startswith(f"{file}: holds 2 volumes of (24, 20, 12) voxels")


def test_colour_is_refused(tmp_path, make_chest):
    _, label = make_chest()
    file = written(tmp_path / "a.mha", sitk.Compose([label] * 3))
    assert complaint(file).startswith(f"{file}: has size (24, 20, 12) and 3 value(s) a voxel")


def test_negative_values_are_hounsfield_units(make_chest):
    assert intensity_domain(make_chest()[0], "a") == "hu"


def test_bytes_are_grey_levels(make_image):
    grey = make_image(np.arange(120, dtype=np.uint8).reshape(6, 5, 4))
    assert intensity_domain(grey, "a") == "grey255"


def test_an_offset_of_1024_is_neither_and_the_scan_is_named(make_image):
    stored = make_image(np.linspace(0, 4095, 120).astype(np.int16).reshape(6, 5, 4))
    with pytest.raises(InputError, match=r"a\.nii: voxels range from 0 to 4095, .* subtract"):
        intensity_domain(stored, "a.nii")


def test_a_constant_scan_is_refused_by_name(make_image):
    with pytest.raises(InputError, match=r"a\.nii: every voxel is -1000"):
        intensity_domain(make_image(np.full((6, 5, 4), -1000, np.int16)), "a.nii")


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_voxels_that_are_no_numbers_are_refused_by_name(tmp_path, make_image, suffix, wrong):
    voxels = np.linspace(-1000, 200, 120, dtype=np.float32).reshape(6, 5, 4)
    voxels[3, 2, 1] = wrong
    file = written(tmp_path / f"a{suffix}", make_image(voxels))
    with pytest.raises(InputError, match=rf"a{suffix}: holds NaN or infinite voxels"):
        intensity_domain(read_scan(file), str(file))


SLICE = np.arange(120, dtype=np.uint8).reshape(12, 10)


def slice_file(file: Path, *channels: np.ndarray) -> Path:
    """A file of one slice, of as many channels as arrays."""
    images = [sitk.GetImageFromArray(channel) for channel in channels]
    return written(file, sitk.Compose(images) if len(images) > 1 else images[0])


@pytest.mark.parametrize("suffix", [".png", ".nii.gz", ".nii", ".mha", ".nrrd"])
def test_a_slice_is_a_volume_of_one_slice(tmp_path, suffix):
    scan = read_scan(slice_file(tmp_path / f"a{suffix}", SLICE))
    assert np.array_equal(sitk.GetArrayFromImage(scan), SLICE[None])


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_the_header_of_a_slice_tells_the_geometry_of_that_volume(tmp_path, suffix):
    image = sitk.GetImageFromArray(SLICE)
    image.SetSpacing((0.7, 0.8))
    image.SetOrigin((5.0, -6.0))
    file = written(tmp_path / f"a{suffix}", image)
    assert read_geometry(file).differences(Geometry.of(read_scan(file))) == []
    assert read_geometry(file).spacing_mm == pytest.approx((0.7, 0.8, 1.0))


def test_a_picture_has_pixels_of_one_millimetre(tmp_path):
    file = slice_file(tmp_path / "a.png", SLICE)
    assert read_geometry(file) == Geometry.of(read_scan(file))
    assert read_geometry(file).spacing_mm == (1, 1, 1)


@pytest.mark.parametrize("alpha", [[], [np.full_like(SLICE, 200)]], ids=["RGB", "RGBA"])
def test_a_picture_in_equal_colours_is_grey(tmp_path, alpha):
    file = slice_file(tmp_path / "a.png", SLICE, SLICE, SLICE, *alpha)
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(file)), SLICE[None])


def test_a_picture_in_colour_is_refused(tmp_path):
    file = slice_file(tmp_path / "a.png", SLICE, SLICE, SLICE[::-1])
    assert complaint(file) == f"{file}: is a colour image; expected grey; save it as 8-bit grey."


def test_a_picture_of_0_and_255_alone_is_a_mask_of_the_infection(tmp_path):
    mask = np.where(SLICE > 100, 255, 0).astype(np.uint8)
    voxels = sitk.GetArrayFromImage(read_scan(slice_file(tmp_path / "a.png", mask)))
    assert np.array_equal(voxels[0], np.where(SLICE > 100, 3, 0))


@pytest.mark.parametrize("codes", [SLICE % 4, SLICE * 0, np.where(SLICE > 100, 255, 1).astype(np.uint8)])
def test_any_other_picture_keeps_its_numbers(tmp_path, codes):
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(slice_file(tmp_path / "a.png", codes)))[0], codes)


def test_a_picture_that_ends_early_is_named(tmp_path):
    file = slice_file(tmp_path / "a.png", SLICE)
    file.write_bytes(file.read_bytes()[:-30])
    assert complaint(file).startswith(f"{file}: not readable as a medical image")


def test_a_slice_of_nifti_that_ends_early_is_named(tmp_path):
    file = slice_file(tmp_path / "a.nii", SLICE)
    file.write_bytes(file.read_bytes()[:-1])
    assert f"{file}: ends after" in complaint(file)


HERE = Geometry((24, 20, 12), (1.2, 1.5, 3.0), (-14.0, 30.0, -200.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def test_a_grid_does_not_differ_from_itself():
    assert HERE.differences(replace(HERE)) == []


def test_rounding_of_a_file_format_is_no_difference():
    assert HERE.differences(replace(HERE, origin_mm=(-14.001, 30.0, -200.0))) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"size": (24, 20, 13)}, "size (24, 20, 12) against (24, 20, 13)"),
        ({"spacing_mm": (1.2, 1.5, 3.5)}, "spacing (1.2, 1.5, 3.0) against (1.2, 1.5, 3.5)"),
        ({"origin_mm": (-14.0, 30.0, 0.0)}, "origin (-14.0, 30.0, -200.0) against (-14.0, 30.0, 0.0)"),
        (
            {"direction": (-1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)},
            "direction (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0) against "
            "(-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)",
        ),
    ],
    ids=["size", "spacing", "origin", "direction"],
)
def test_what_differs_is_said_in_words(other, said):
    assert HERE.differences(replace(HERE, **other)) == [said]


def test_an_empty_image_lies_on_the_grid():
    assert Geometry.of(HERE.empty_image()) == HERE


def test_the_hash_of_a_file_changes_with_one_byte(tmp_path):
    (tmp_path / "a").write_bytes(b"scan")
    (tmp_path / "b").write_bytes(b"scam")
    assert file_sha256(tmp_path / "a") != file_sha256(tmp_path / "b")
