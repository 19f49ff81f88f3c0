"""The series of a folder are found, told apart, and the right one is chosen."""

from __future__ import annotations

import logging
import os

import pytest
from conftest import SIZE, chest
from dicom_makers import CORONAL, enhanced, study, write
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from pipeline.core.errors import InputError
from pipeline.scans.dicom import file_start
from pipeline.scans.dicom.choice import choose_series, chosen_and_why
from pipeline.scans.dicom.series import find_series


def report(like: Dataset) -> Dataset:
    """A structured report of the same study, without an image."""
    made = Dataset()
    for name in ("StudyInstanceUID", "PatientName", "PatientID"):
        setattr(made, name, like[name].value)
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = BasicTextSRStorage, generate_uid(), "SR"
    made.SeriesInstanceUID = generate_uid()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def test_series_are_found_at_any_depth_under_any_name(tmp_path):
    first, second = study(2)
    write(first, tmp_path / "a b" / "c", "no suffix {}")
    write(second, tmp_path / "d", "x{}.jpg")
    assert [series.number_of_slices for series in find_series(tmp_path)] == [SIZE[2]] * 2


def test_one_multi_frame_file_may_be_given_instead_of_a_folder(tmp_path):
    (file,) = write([enhanced(chest()[0])], tmp_path)
    (series,) = find_series(file)
    assert (series.number_of_slices, series.files) == (SIZE[2], (file,))


def test_what_is_not_dicom_is_passed_over(tmp_path):
    write(study()[0], tmp_path)
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7 " + bytes(1000))
    (tmp_path / "empty").touch()
    (tmp_path / "short").write_bytes(b"\x08\x00")
    (tmp_path / "text.txt").write_text("DICM" * 100)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken link").symlink_to(tmp_path / "nowhere")
    assert len(find_series(tmp_path)) == 1


def test_slices_are_in_the_order_of_their_places(tmp_path):
    write(reversed(study()[0]), tmp_path)
    (series,) = find_series(tmp_path)
    assert list(series.along_mm) == sorted(series.along_mm)
    assert [each.number for each in series.slices] == list(range(1, SIZE[2] + 1))


def test_a_localizer_in_the_same_series_is_a_stack_of_its_own(tmp_path):
    slices = study()[0]
    slices[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    slices[0].ImageOrientationPatient = CORONAL
    write(slices, tmp_path)
    (chosen,) = choose_series(find_series(tmp_path))
    assert chosen.number_of_slices == SIZE[2] - 1
    assert chosen.notes == ("its series holds 2 stacks, of which this is one",)


def test_two_acquisitions_of_the_same_planes_are_two_stacks(tmp_path):
    first, second = study(2)
    for dataset in second:
        for name in ("SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(dataset, name, first[0][name].value)
        dataset.AcquisitionNumber = "2"
    write(first + second, tmp_path)
    assert [series.number_of_slices for series in find_series(tmp_path)] == [SIZE[2]] * 2


def test_the_axial_series_with_the_most_slices_of_each_study_is_chosen(tmp_path):
    thick, thin, other = (*study(2), *study(1))
    del thick[6:]
    write([*thick, *thin, *other], tmp_path)
    chosen = choose_series(find_series(tmp_path))
    assert {series.uid for series in chosen} == {thin[0].SeriesInstanceUID, other[0].SeriesInstanceUID}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Modality": "MR", "SOPClassUID": MRImageStorage}, "its modality is MR, not CT"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "it is Secondary Capture Image Storage"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]}, "it is a projection"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "it is a localizer"),
        ({"ImageOrientationPatient": CORONAL}, "its slices are not axial"),
        ({"RescaleType": "Z_EFF"}, "its values are Z_EFF, not Hounsfield units"),
        ({"Rows": 65535}, "no CT has slices of 24 x 65535 pixels"),
        ({"PixelSpacing": None}, "no tag tells its pixel spacing"),
    ],
    ids=["MR", "capture", "MIP", "localizer", "coronal", "dual energy", "huge", "spacing"],
)
def test_a_series_that_is_no_axial_ct_is_refused_with_the_reason(tmp_path, changes, reason):
    slices = study(**changes)[0]
    for number, dataset in enumerate(slices):
        # Apart along every axis
        dataset.ImagePositionPatient = [number, number, number]
    write(slices, tmp_path)
    with pytest.raises(InputError, match=f"no axial CT series to segment: found .*{reason}"):
        choose_series(find_series(tmp_path))


def test_of_series_with_equally_many_slices_the_original_is_chosen(tmp_path):
    for derived_first in (True, False):
        pair = study(2)
        for dataset in pair[derived_first]:
            dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
        write([*pair[0], *pair[1]], tmp_path / str(derived_first))
        (chosen,) = choose_series(find_series(tmp_path / str(derived_first)))
        assert chosen.uid == pair[not derived_first][0].SeriesInstanceUID


@pytest.mark.filterwarnings("error")
def test_a_class_that_is_no_uid_is_refused_without_a_warning(tmp_path):
    for file in write(study()[0], tmp_path):
        file.write_bytes(file.read_bytes().replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.x0008.5.1.4.1.1.2\0"))
    with pytest.raises(InputError, match=r"it is 1\.2\.840\.x0008"):
        choose_series(find_series(tmp_path))


def test_reports_and_single_slices_beside_a_scan_are_left_out_and_said(tmp_path, caplog):
    scan, single = study(2)
    write([*scan, single[0], report(scan[0])], tmp_path)
    with caplog.at_level(logging.INFO):
        (chosen,) = choose_series(find_series(tmp_path))
    assert chosen.uid == scan[0].SeriesInstanceUID
    assert "it is one slice, not a volume" in caplog.text
    assert "SR (Basic Text SR Storage), no image" in caplog.text


def test_a_series_is_chosen_by_its_uid_though_it_is_not_axial(tmp_path):
    axial, coronal = study(2)
    for number, dataset in enumerate(coronal[:5]):
        dataset.ImageOrientationPatient, dataset.ImagePositionPatient = CORONAL, [0, number, 0]
    write([*axial, *coronal[:5]], tmp_path)
    (chosen,) = choose_series(find_series(tmp_path), coronal[0].SeriesInstanceUID)
    assert chosen.uid == coronal[0].SeriesInstanceUID


def test_a_uid_that_is_not_there_lists_those_that_are(tmp_path):
    (slices,) = study()
    write(slices, tmp_path)
    with pytest.raises(
        InputError, match=f"no series is 1.2.3 to segment: found CT, 12 .*{slices[0].SeriesInstanceUID}"
    ):
        choose_series(find_series(tmp_path), "1.2.3")


def test_a_folder_without_dicom_says_so(tmp_path):
    with pytest.raises(InputError, match="no DICOM series was found"):
        choose_series(find_series(tmp_path))


def test_a_damaged_file_of_another_series_is_named_and_keeps_nothing_from_being_chosen(tmp_path, caplog):
    files = write(study(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])[0], tmp_path)
    write(study(ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0])[0][:1], tmp_path, "damaged")
    (series,) = choose_series(find_series(tmp_path))
    assert "damaged: left out: its directions of rows and columns are not at right angles" in caplog.text
    assert series.files == tuple(files)


@pytest.mark.parametrize("left_bytes", [0, 100, 300, 800], ids=["empty", "preamble", "before its UID", "after its UID"])
def test_a_cut_off_slice_at_the_end_of_a_scan_is_refused_by_the_number_of_files(tmp_path, left_bytes):
    files = write(study()[0], tmp_path)
    files[-1].write_bytes(files[-1].read_bytes()[:left_bytes])
    with pytest.raises(InputError, match=r"1 file\(s\) .* are damaged, empty or cut off"):
        choose_series(find_series(tmp_path))


def test_a_larger_series_of_two_stacks_is_refused_with_a_number_for_each(tmp_path):
    small, one, other = study(3)
    for number, dataset in enumerate(other):
        dataset.SeriesInstanceUID = one[0].SeriesInstanceUID
        dataset.FrameOfReferenceUID = "1.2.3"
        one[number].FrameOfReferenceUID = "1.2.4"
    write([*small, *one, *other[:10]], tmp_path)
    found = find_series(tmp_path)
    with pytest.raises(InputError, match=r"1: 12 slices from .*; 2: 10 slices from .* SERIES=UID:1 to UID:2"):
        choose_series(found)
    (second,) = choose_series(found, f"{one[0].SeriesInstanceUID}:2")
    assert (second.uid, second.number_of_slices) == (one[0].SeriesInstanceUID, 10)


def test_two_stacks_beside_a_larger_series_have_their_reason(tmp_path):
    large, one, other = study(3)
    for dataset in other:
        dataset.SeriesInstanceUID = one[0].SeriesInstanceUID
    write([*large, *one[:5], *other[:4]], tmp_path)
    (chosen,), reasons = chosen_and_why(find_series(tmp_path))
    assert chosen.uid == large[0].SeriesInstanceUID
    assert sorted(bool(reason) for reason in reasons.values()) == [False, True, True]


def test_slices_that_each_have_a_frame_of_reference_are_no_smaller_series(tmp_path):
    small, split = study(2)
    for number, dataset in enumerate(split):
        dataset.FrameOfReferenceUID = f"1.2.3.{number}"
    write([*small[:6], *split], tmp_path)
    with pytest.raises(InputError, match="more slices than any other CT series of its study, but cannot be read"):
        choose_series(find_series(tmp_path))


def test_many_frames_in_one_classic_file_are_no_smaller_series(tmp_path):
    small, (framed, *_) = study(2)
    framed.NumberOfFrames = 12
    write([*small[:6], framed], tmp_path)
    with pytest.raises(InputError, match=r"cannot be read \(it holds 12 frames in one file"):
        choose_series(find_series(tmp_path))


def test_a_number_that_no_stack_has_is_told(tmp_path):
    (slices,) = study()
    write(slices, tmp_path)
    with pytest.raises(InputError, match="expected 1 to 1"):
        choose_series(find_series(tmp_path), f"{slices[0].SeriesInstanceUID}:2")


def test_two_kernels_that_were_copied_twice_are_two_stacks(tmp_path):
    first, second = study(2)
    for dataset in second:
        for name in ("SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(dataset, name, first[0][name].value)
    for kernel, datasets in (("SOFT", first), ("LUNG", second)):
        for dataset in datasets:
            dataset.ConvolutionKernel = kernel
    for folder in ("a", "b"):
        write(first + second, tmp_path / folder)
    assert [series.number_of_slices for series in find_series(tmp_path)] == [SIZE[2]] * 2


def test_a_deflated_file_is_read_unless_it_is_a_bomb(tmp_path, monkeypatch, caplog):
    (slices,) = study()
    for dataset in slices:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    write(slices, tmp_path)
    assert [series.number_of_slices for series in find_series(tmp_path)] == [SIZE[2]]
    monkeypatch.setattr(file_start, "DEFLATED_LIMIT_BYTES", 100)
    assert find_series(tmp_path) == []
    assert "it unpacks to more than" in caplog.text


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_series(tmp_path / "nowhere")
