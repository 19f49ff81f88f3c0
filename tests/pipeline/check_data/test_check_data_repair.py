"""A repaired copy passes the checks that its original failed; the original is never touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from defects import changed, found_in, patient, sheared, swapped, write_case

from pipeline.check_data.finding import ERROR
from pipeline.check_data.repair import MENDS, nearest_rotation, repair
from pipeline.core.errors import InputError
from pipeline.data.datalist import read_datalist
from pipeline.folders.layouts import list_cases
from pipeline.scans.scan import file_sha256


def repaired(folder: Path) -> Path:
    target = folder.with_name("mended")
    repair(list_cases(folder), folder, found_in(folder), target)
    return target


def with_offset(image: sitk.Image) -> sitk.Image:
    return changed(image, lambda voxels: voxels + np.int16(1024))


def aside(label: sitk.Image) -> sitk.Image:
    label.SetOrigin([place + 0.2 for place in label.GetOrigin()])
    return label


def padded(image: sitk.Image) -> sitk.Image:
    def change(voxels: np.ndarray) -> np.ndarray:
        voxels[:, :5] = -3024
        return voxels

    return changed(image, change)


def same(image: sitk.Image) -> sitk.Image:
    return image


def mask(label: sitk.Image) -> sitk.Image:
    return changed(label, lambda codes: (codes == 3).astype(np.uint8))


DEFECTS = {
    "an offset": (with_offset, same),
    "a label aside": (same, aside),
    "swapped sides": (same, lambda label: changed(label, swapped)),
    "padding": (padded, same),
    "all of them": (lambda image: with_offset(padded(image)), lambda label: aside(changed(label, swapped))),
}


@pytest.fixture
def data(tmp_path) -> Path:
    return tmp_path / "data"


@pytest.mark.parametrize("defect", DEFECTS)
def test_what_is_repaired_is_found_no_more(data, defect):
    of_image, of_label = DEFECTS[defect]
    image, label = patient()
    write_case(data, "a", of_image(image), of_label(label))
    assert found_in(data)
    assert found_in(repaired(data)) == []


def test_repaired_voxels_are_those_from_before_the_defect(data):
    image, label = patient()
    write_case(data, "a", with_offset(image), changed(label, swapped))
    copy = repaired(data)
    for kind, before in (("images", image), ("labels", label)):
        after = sitk.ReadImage(str(copy / kind / "a.nii.gz"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(after), sitk.GetArrayFromImage(before))


def test_slightly_sheared_directions_are_made_right_angles(data):
    sheared(data, *patient(), 0.01)
    copy = repaired(data)
    assert "direction" not in {finding.check for finding in found_in(copy)}


def test_the_nearest_rotation_keeps_what_is_one():
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    np.testing.assert_allclose(nearest_rotation(turn), turn, atol=1e-12)


def test_the_data_set_itself_is_not_touched(data):
    image, label = patient()
    write_case(data, "a", with_offset(image), label)
    before = {path: (file_sha256(path), path.stat().st_mtime_ns) for path in data.rglob("*") if path.is_file()}
    repaired(data)
    assert before == {path: (file_sha256(path), path.stat().st_mtime_ns) for path in data.rglob("*") if path.is_file()}


def test_sound_files_and_descriptions_are_copied_as_they_are(data):
    write_case(data, "a", with_offset(patient()[0]), patient()[1])
    write_case(data, "b", *patient(1))
    (data / "manifest.json").write_text('{"cases": []}')
    copy = repaired(data)
    for name in ("images/b.nii.gz", "labels/a.nii.gz", "manifest.json"):
        assert (copy / name).read_bytes() == (data / name).read_bytes()


def test_the_repaired_copy_can_be_trained_on(data):
    write_case(data, "a", with_offset(patient()[0]), aside(changed(patient()[1], swapped)))
    with pytest.raises(InputError, match="3 problems"):
        read_datalist(data)
    assert [entry["intensity"] for entry in read_datalist(repaired(data))["training"]] == ["hu"]


def test_a_duplicate_is_not_left_out(data):
    for name in "ab":
        write_case(data, name, *patient())
    copy = repaired(data)
    assert [finding.level for finding in found_in(copy)] == [ERROR]
    assert len(list_cases(copy).cases) == 2


@pytest.mark.parametrize(
    "description",
    [
        ("manifest.json", {"label_codes": {"1": "right lung", "2": "left lung", "3": "infection"}}),
        ("manifest.json", {"label_codes": {"right lung": 1, "left lung": 2}}),
    ],
)
def test_lungmasks_coding_is_named_rightly_with_its_labels(data, description):
    name, content = description
    write_case(data, "a", patient()[0], changed(patient()[1], swapped))
    (data / name).write_text(json.dumps(content))
    assert {finding.check for finding in found_in(data)} == {"code_names", "sides"}
    assert found_in(repaired(data)) == []


@pytest.mark.parametrize("place", ["data/within", "there"])
def test_nothing_is_written_over_or_into_a_data_set(data, place):
    write_case(data, "a", *patient())
    (data.parent / "there").mkdir()
    with pytest.raises(InputError, match="give REPAIR= a folder that does not exist yet"):
        repair(list_cases(data), data, found_in(data), data.parent / place)


def test_a_copy_that_fails_leaves_nothing(data, monkeypatch):
    write_case(data, "a", with_offset(patient()[0]), patient()[1])
    findings = found_in(data)

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pipeline.check_data.repair.sitk.WriteImage", fail)
    with pytest.raises(OSError, match="disk full"):
        repair(list_cases(data), data, findings, data.with_name("mended"))
    assert os.listdir(data.parent) == ["data"]


def test_a_mask_of_infection_is_told_how_to_be_named_and_then_repaired(data):
    image, label = patient()
    write_case(data, "a", image, mask(label))
    (warning,) = [finding for finding in found_in(data) if finding.check == "masks"]
    assert '{"label_codes": {"1": "infection"}}' in warning.mend
    (data / "manifest.json").write_text(json.dumps({"label_codes": {"1": "infection"}}))
    copy = repaired(data)
    assert json.loads((copy / "manifest.json").read_text())["label_codes"] == {"3": "infection"}
    assert [finding.check for finding in found_in(copy)] == ["annotates", "lungs"]
    codes = sitk.GetArrayFromImage(sitk.ReadImage(str(copy / "labels/a.nii.gz")))
    np.testing.assert_array_equal(codes == 3, sitk.GetArrayFromImage(label) == 3)


def test_a_scan_in_two_files_is_repaired_into_one(data):
    image, label = patient()
    write_case(data, "a", image, label)
    (data / "images/a.nii.gz").unlink()
    sitk.WriteImage(with_offset(image), str(data / "images/a.mhd"))
    copy = repaired(data)
    assert [file.name for file in (copy / "images").glob("a.*")] == ["a.nii.gz"]
    assert found_in(copy) == []


def test_sound_scans_in_two_files_are_copied_with_both(data):
    image, label = patient()
    write_case(data, "a", image, changed(label, swapped))
    (data / "images/a.nii.gz").unlink()
    sitk.WriteImage(image, str(data / "images/a.mhd"))
    assert sorted(file.name for file in (repaired(data) / "images").iterdir()) == ["a.mhd", "a.raw"]


def test_a_repair_that_brings_another_error_is_undone(data, monkeypatch):
    image, label = patient()
    write_case(data, "a", image, changed(label, swapped))
    monkeypatch.setitem(MENDS, "sides", lambda given: changed(given, lambda codes: codes * 0))
    target = data.with_name("mended")
    (line,) = repair(list_cases(data), data, found_in(data), target)
    assert line.startswith("labels/a.nii.gz: copied as it was, since the repaired case is empty")
    assert (target / "labels/a.nii.gz").read_bytes() == (data / "labels/a.nii.gz").read_bytes()
