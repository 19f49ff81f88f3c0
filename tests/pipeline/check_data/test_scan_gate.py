"""predict refuses what check-data calls an error of a scan, in the same words; and a repair proves itself."""

from __future__ import annotations

from collections.abc import Callable

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from conftest import chest

from pipeline.check_data import repair as repairs
from pipeline.check_data.finding import ERROR, WARNING, of_level
from pipeline.check_data.scan_gate import look_at_scan, refuse_errors
from pipeline.core.errors import InputError
from pipeline.folders.layouts import list_cases


def wrapped(hu: np.ndarray) -> np.ndarray:
    return hu.astype(np.int16).view(np.uint16)


NOT_HOUNSFIELD: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "offset": lambda hu: (hu + 1024).clip(0).astype(np.int16),
    "offset and padding": lambda hu: np.where(hu < -950, -2000, hu + 1024).astype(np.int16),
    "minus 1 to 1": lambda hu: ((hu + 1000) / 1000 - 1).clip(-1, 1).astype(np.float32),
    "0 to 1": lambda hu: ((hu + 1000) / 2000).clip(0, 1).astype(np.float32),
    "z-score": lambda hu: ((hu - hu.mean()) / hu.std()).astype(np.float32),
    "soft tissue window": lambda hu: hu.clip(-160, 240).astype(np.int16),
    "offset and padding above it": lambda hu: np.where(hu < -950, -500, hu + 1024).astype(np.int16),
    "bone window": lambda hu: hu.clip(-450, 1050).astype(np.int16),
    "wide bone window": lambda hu: hu.clip(-500, 1300).astype(np.int16),
    "0 to 100": lambda hu: ((hu + 1000) / 14).clip(0, 100).astype(np.uint8),
    "a label map": lambda hu: (hu > -500).astype(np.uint8),
    "wrapped": wrapped,
    "wrapped in 32 bits": lambda hu: wrapped(hu).astype(np.int32),
}


def written(tmp_path, change: Callable[[np.ndarray], np.ndarray]):
    scan = chest()[0]
    made = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(scan)))
    made.CopyInformation(scan)
    sitk.WriteImage(made, str(tmp_path / "a.nii.gz"))
    return tmp_path / "a.nii.gz"


@pytest.mark.parametrize("change", NOT_HOUNSFIELD.values(), ids=NOT_HOUNSFIELD)
def test_numbers_that_are_no_hounsfield_units_are_refused(tmp_path, change):
    with pytest.raises(InputError, match=r"^a: "):
        refuse_errors(look_at_scan(written(tmp_path, change), "a"), "a")


def test_grey_with_white_corners_is_warned_of(tmp_path):
    grey = written(tmp_path, lambda hu: 255 - ((hu + 1000) / 6).clip(0, 255).astype(np.uint8))
    assert "inverted" in {finding.check for finding in of_level(look_at_scan(grey, "a").findings, WARNING)}


def test_lung_window_grey_is_not(tmp_path):
    grey = written(tmp_path, lambda hu: ((hu + 1000) / 4).clip(0, 255).astype(np.uint8))
    assert not of_level(look_at_scan(grey, "a").findings, WARNING)


def test_stretched_numbers_are_warned_of(tmp_path):
    stretched = written(tmp_path, lambda hu: (hu * 1.6 + 600).clip(-1000).astype(np.int16))
    assert "tissue" in {finding.check for finding in of_level(look_at_scan(stretched, "a").findings, WARNING)}


def test_hounsfield_units_pass(tmp_path):
    passed = look_at_scan(written(tmp_path, lambda hu: hu), "a")
    assert refuse_errors(passed, "a") == []
    assert passed.domain == "hu"


def test_anyway_goes_on_and_says_so(tmp_path):
    passed = look_at_scan(written(tmp_path, NOT_HOUNSFIELD["soft tissue window"]), "a")
    (sentence,) = refuse_errors(passed, "a", anyway=True)
    assert sentence.startswith("segmented ANYWAY: holds numbers from -160 to")


def test_what_cannot_be_read_is_refused_anyway(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match="not readable"):
        refuse_errors(look_at_scan(tmp_path / "a.nii.gz", "a"), "a", anyway=True)


def test_wrapped_numbers_are_not_taken_for_an_offset(tmp_path):
    (finding,) = of_level(look_at_scan(written(tmp_path, wrapped), "a").findings, ERROR)
    assert (finding.check, finding.repair) == ("wrapped", "")


def test_a_repair_that_does_not_hold_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    data = tmp_path / "set"
    (data / "images").mkdir(parents=True)
    scan = written(data / "images", NOT_HOUNSFIELD["offset"])
    findings = [found for found in look_at_scan(scan, "a").findings if found.repair]
    assert findings
    monkeypatch.setitem(repairs.MENDS, "offset", lambda image: image)
    (line,) = repairs.repair(list_cases(data), data, findings, tmp_path / "new")
    assert "copied as it was" in line
    assert (tmp_path / "new/images/a.nii.gz").read_bytes() == scan.read_bytes()


def affine(scan) -> np.ndarray:
    return nibabel.load(scan).affine


def placed_twice(tmp_path, **forms: np.ndarray | None):
    """A scan whose header has these forms; `zooms` are what pixdim says."""
    scan = written(tmp_path, lambda hu: hu)
    loaded = nibabel.load(scan)
    voxels, header = np.asarray(loaded.dataobj), loaded.header
    for name, setter in (("qform", header.set_qform), ("sform", header.set_sform)):
        setter(forms[name], int(forms[name] is not None))
    if "zooms" in forms:
        header["pixdim"][1:4] = forms["zooms"]
    nibabel.Nifti1Image(voxels, None, header).to_filename(scan)
    return scan


def test_forms_that_name_opposite_sides_are_refused(tmp_path):
    mine = affine(written(tmp_path, lambda hu: hu))
    mirrored = np.diag([-1.0, 1, 1, 1]) @ mine
    with pytest.raises(InputError, match="opposite sides"):
        refuse_errors(look_at_scan(placed_twice(tmp_path, qform=mine, sform=mirrored), "a"), "a")


def test_a_header_without_orientation_is_warned_of(tmp_path):
    found = of_level(look_at_scan(placed_twice(tmp_path, qform=None, sform=None), "a").findings, WARNING)
    (warning,) = [finding for finding in found if finding.check == "header"]
    assert "left, right, head and feet are assumed" in warning.what


def test_two_sizes_of_voxels_are_refused_naming_both(tmp_path):
    mine = affine(written(tmp_path, lambda hu: hu))
    scan = placed_twice(tmp_path, qform=None, sform=mine, zooms=(1, 1, 1))
    with pytest.raises(InputError, match=r"1 x 1 x 1 mm \(pixdim\) and 1\.2 x 1\.5 x 3 mm \(sform\)"):
        refuse_errors(look_at_scan(scan, "a"), "a")


def test_a_repair_of_an_offset_holds(tmp_path):
    data = tmp_path / "set"
    (data / "images").mkdir(parents=True)
    scan = written(data / "images", NOT_HOUNSFIELD["offset and padding"])
    repairs.repair(list_cases(data), data, look_at_scan(scan, "a").findings, tmp_path / "new")
    assert refuse_errors(look_at_scan(tmp_path / "new/images/a.nii.gz", "a"), "a") == []
