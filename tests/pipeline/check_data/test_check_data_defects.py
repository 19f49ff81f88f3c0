"""Each defect that is planted in a case is found, at its level and with its figures."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from defects import SIZE, changed, found_in, found_of, patient, sheared, swapped, volume, write_case

from pipeline.check_data.finding import ERROR, NOTE, WARNING
from pipeline.check_data.geometry import check_spacing


@pytest.fixture
def chest() -> tuple[sitk.Image, sitk.Image]:
    return patient()


def test_a_plausible_chest_has_no_finding(tmp_path, chest):
    assert found_of(tmp_path, *chest) == {}


def test_a_truncated_file_is_an_error(tmp_path, chest):
    write_case(tmp_path, "a", *chest)
    file = tmp_path / "images/a.nii.gz"
    file.write_bytes(file.read_bytes()[:-1000])
    (finding,) = found_in(tmp_path)
    assert (finding.level, finding.check) == (ERROR, "file")
    assert "ends early" in finding.what


def test_a_wrong_checksum_is_an_error(tmp_path, chest):
    write_case(tmp_path, "a", *chest)
    file = tmp_path / "labels/a.nii.gz"
    content = bytearray(gzip.compress(gzip.decompress(file.read_bytes()), mtime=0))
    content[-8] ^= 1
    file.write_bytes(content)
    (finding,) = found_in(tmp_path)
    assert (finding.level, finding.check, finding.file) == (ERROR, "file", file)


def test_a_series_in_time_is_an_error(tmp_path, chest):
    write_case(tmp_path, "a", *chest)
    sitk.WriteImage(sitk.JoinSeries([chest[0], chest[0]]), str(tmp_path / "images/a.nii.gz"))
    (finding,) = found_in(tmp_path)
    assert (finding.level, finding.check) == (ERROR, "dimensions")


def test_a_colour_volume_is_an_error(tmp_path, chest):
    write_case(tmp_path, "a", *chest)
    grey = sitk.Cast(chest[1], sitk.sitkUInt8)
    sitk.WriteImage(sitk.Compose(grey, grey, grey), str(tmp_path / "images/a.nii.gz"))
    (finding,) = found_in(tmp_path)
    assert (finding.level, finding.check) == (ERROR, "dimensions")


def test_a_label_a_little_aside_is_repaired(tmp_path, chest):
    image, label = chest
    label.SetOrigin([place + 0.2 for place in label.GetOrigin()])
    finding = found_of(tmp_path, image, label)["grid"]
    assert (finding.level, bool(finding.repair)) == (ERROR, True)


def test_a_label_far_aside_is_not_repaired(tmp_path, chest):
    image, label = chest
    label.SetOrigin([place + 20 for place in label.GetOrigin()])
    finding = found_of(tmp_path, image, label)["grid"]
    assert (finding.level, bool(finding.repair)) == (ERROR, False)


def test_sheared_directions_are_an_error(tmp_path, chest):
    sheared(tmp_path, *chest, 0.02)
    finding = next(finding for finding in found_in(tmp_path) if finding.check == "direction")
    assert (finding.level, bool(finding.repair)) == (ERROR, True)


def test_a_tilted_gantry_is_not_repaired(tmp_path, chest):
    sheared(tmp_path, *chest, 0.3)
    finding = next(finding for finding in found_in(tmp_path) if finding.check == "direction")
    assert (finding.level, bool(finding.repair)) == (ERROR, False)


def test_a_file_that_is_placed_twice_is_a_warning(tmp_path, chest):
    write_case(tmp_path, "a", *chest)
    file = tmp_path / "images/a.nii.gz"
    stored = nibabel.load(file)
    affine = stored.affine.copy()
    affine[2, 3] += 30
    stored.set_sform(affine, 1)
    nibabel.save(nibabel.Nifti1Image(np.asarray(stored.dataobj), None, stored.header), tmp_path / "b.nii.gz")
    (tmp_path / "b.nii.gz").replace(file)
    finding = next(finding for finding in found_in(tmp_path) if finding.check == "header")
    assert finding.level == WARNING
    assert "30 mm apart" in finding.what


def spaced(image: sitk.Image, factor: float) -> sitk.Image:
    image.SetSpacing([mm * factor for mm in image.GetSpacing()])
    return image


@pytest.mark.parametrize(("factor", "level"), [(0.5, WARNING), (1.6, WARNING), (2.5, ERROR), (1e-3, ERROR)])
def test_a_wrong_spacing_makes_lungs_that_cannot_be(tmp_path, chest, factor, level):
    image, label = (spaced(one, factor) for one in chest)
    found = found_of(tmp_path, image, label)
    write_case(tmp_path, "a", image, label)
    assert level in {finding.level for finding in found_in(tmp_path) if finding.check == "spacing"}
    assert "spacing" in found


@pytest.mark.parametrize(
    ("size", "spacing_mm", "finds"),
    [((256, 256, 3), (1, 1, 1), [WARNING]), ((256, 256, 3), (1, 1, 1.5), []), ((330, 330, 3), (1, 1, 1), [])],
    ids=["placeholder", "another spacing", "resampled"],
)
def test_a_spacing_that_stands_for_none_is_a_warning(size, spacing_mm, finds):
    image = sitk.Image(size, sitk.sitkInt16)
    image.SetSpacing(spacing_mm)
    assert [finding.level for finding in check_spacing(image, "a", Path("a"))] == finds


def test_voxels_that_are_no_number_are_an_error(tmp_path, chest):
    def change(voxels: np.ndarray) -> np.ndarray:
        voxels = voxels.astype(np.float32)
        voxels[3, 4, 5], voxels[4, 4, 4] = np.nan, np.inf
        return voxels

    finding = found_of(tmp_path, changed(chest[0], change), chest[1])["finite"]
    assert (finding.level, finding.what[:29]) == (ERROR, "holds 2 NaN or infinite voxel")


def test_unknown_codes_are_an_error(tmp_path, chest):
    finding = found_of(tmp_path, chest[0], changed(chest[1], lambda codes: codes * 7))["codes"]
    assert (finding.level, "0, 7, 14, 21" in finding.what) == (ERROR, True)


def test_an_empty_label_is_an_error(tmp_path, chest):
    assert found_of(tmp_path, chest[0], changed(chest[1], lambda codes: codes * 0))["empty"].level == ERROR


def test_a_missing_label_is_an_error(tmp_path, chest):
    write_case(tmp_path, "b", *patient(1))
    write_case(tmp_path, "a", chest[0], None)
    assert [(finding.level, finding.check, finding.case) for finding in found_in(tmp_path)] == [
        (ERROR, "no_label", "a")
    ]


def test_swapped_sides_are_an_error_that_names_the_other_coding(tmp_path, chest):
    finding = found_of(tmp_path, chest[0], changed(chest[1], swapped))["sides"]
    assert (finding.level, finding.repair) == (ERROR, "codes 1 and 2 swapped")
    assert "lungmask" in finding.what


def test_sides_are_told_in_the_patients_coordinates(tmp_path, chest):
    """Stored from left to right, with directions that say so: nothing is wrong."""
    turned = [sitk.DICOMOrient(one, "RPI") for one in chest]
    assert found_of(tmp_path, *turned) == {}


def test_a_label_upside_down_is_a_warning(tmp_path, chest):
    image, label = chest
    shift = changed(image, lambda voxels: np.roll(voxels, 8, axis=0))
    finding = found_of(tmp_path, shift, changed(label, lambda codes: np.roll(codes, 8, axis=0)[::-1]))["mirrored"]
    assert (finding.level, "top to bottom" in finding.what) == (WARNING, True)


def test_infection_outside_the_lungs_is_a_warning(tmp_path, chest):
    def change(codes: np.ndarray) -> np.ndarray:
        codes[20:24, 5:9, 28:32] = 3
        return codes

    finding = found_of(tmp_path, chest[0], changed(chest[1], change))["infection_outside"]
    assert (finding.level, "does not touch the lungs" in finding.what) == (WARNING, True)


def test_one_lung_alone_is_a_warning(tmp_path, chest):
    finding = found_of(tmp_path, chest[0], changed(chest[1], lambda codes: np.where(codes == 1, 0, codes)))["lungs"]
    assert (finding.level, "no left lung" in finding.what) == (WARNING, True)


def test_grey_is_a_note(tmp_path, chest):
    grey = changed(chest[0], lambda voxels: (np.clip((voxels + 1250) / 1500, 0, 1) * 255).astype(np.uint8))
    found = found_of(tmp_path, grey, chest[1])
    assert {check: finding.level for check, finding in found.items()} == {"grey": NOTE}


@pytest.mark.parametrize("padding", [0, -2000])
def test_a_scanners_offset_is_repaired_even_behind_padding(tmp_path, chest, padding):
    def change(voxels: np.ndarray) -> np.ndarray:
        voxels = voxels + np.int16(1024)
        voxels[:, :2] = padding
        return np.maximum(voxels, padding)

    finding = found_of(tmp_path, changed(chest[0], change), chest[1])["offset"]
    assert (finding.level, finding.repair[:15]) == (ERROR, "1024 subtracted")


@pytest.mark.parametrize("scale", [lambda v: (v - v.mean()) / v.std(), lambda v: (v - v.min()) / np.ptp(v)])
def test_normalised_numbers_are_an_error(tmp_path, chest, scale):
    image = changed(chest[0], lambda voxels: scale(voxels.astype(np.float32)))
    assert found_of(tmp_path, image, chest[1])["intensity"].level == ERROR


def test_a_soft_tissue_window_is_an_error(tmp_path, chest):
    image = changed(chest[0], lambda voxels: np.clip(voxels, -160, 240))
    assert found_of(tmp_path, image, chest[1])["intensity"].level == ERROR


def test_a_window_is_a_warning(tmp_path, chest):
    image = changed(chest[0], lambda voxels: np.clip(voxels, -1350, 150))
    finding = found_of(tmp_path, image, chest[1])["window"]
    assert (finding.level, "150 HU" in finding.what) == (WARNING, True)


def test_padding_is_a_note_with_its_share(tmp_path, chest):
    def change(voxels: np.ndarray) -> np.ndarray:
        voxels[:, :5] = -3024
        return voxels

    finding = found_of(tmp_path, changed(chest[0], change), chest[1])["padding"]
    assert (finding.level, "-3024" in finding.what, "10 %" in finding.what) == (NOTE, True, True)


def test_a_field_of_view_that_cuts_a_lung_is_a_warning(tmp_path, chest):
    image, label = (one[12:, :, :] for one in chest)
    finding = found_of(tmp_path, image, label)["field_of_view"]
    assert (finding.level, "cuts the lungs" in finding.what) == (WARNING, True)


def test_a_slab_of_the_lungs_is_a_note(tmp_path, chest):
    image, label = (one[:, :, 14:] for one in chest)
    finding = found_of(tmp_path, image, label)["field_of_view"]
    assert (finding.level, "above or below" in finding.what) == (NOTE, True)


def test_few_slices_are_a_note(tmp_path, chest):
    image, label = (one[:, :, 18:28] for one in chest)
    finding = found_of(tmp_path, image, label)["thin"]
    assert (finding.level, finding.what[:13]) == (NOTE, "has 10 slices")


def test_a_constant_scan_is_an_error(tmp_path, chest):
    image = volume(np.full(SIZE, -1024, np.int16))
    assert found_of(tmp_path, image, chest[1])["constant"].level == ERROR
