"""The series of a folder are found, told apart, and the right one is chosen."""

from __future__ import annotations

import logging
import os

import pytest
from conftest import SIZE, chest
from dicom_makers import classic, enhanced, write
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from pipeline.dicom import headers
from pipeline.dicom.series import choose_series, find_series
from pipeline.errors import InputError

CORONAL = [1, 0, 0, 0, 0, -1]


def study(count: int = 1, **changes: object) -> list[list[Dataset]]:
    """Series of one study, each of 12 slices, all with the same values of some attributes."""
    uid = generate_uid()
    made = [classic(chest()[0]) for _ in range(count)]
    for dataset in (dataset for series in made for dataset in series):
        dataset.StudyInstanceUID = uid
        for name, value in changes.items():
            setattr(dataset, name, value)
    return made


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


def test_a_damaged_file_is_named_and_noted_with_the_series_beside_it(tmp_path, caplog):
    files = write(study(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])[0], tmp_path)
    write(study(ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0])[0][:1], tmp_path, "damaged")
    (series,) = find_series(tmp_path)
    assert "damaged: left out: its directions of rows and columns are not at right angles" in caplog.text
    assert series.files == tuple(files)
    assert series.notes == ("1 damaged file(s) beside it were left out and may be slices of it",)


def test_a_deflated_file_is_read_unless_it_is_a_bomb(tmp_path, monkeypatch, caplog):
    (slices,) = study()
    for dataset in slices:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    write(slices, tmp_path)
    assert [series.number_of_slices for series in find_series(tmp_path)] == [SIZE[2]]
    monkeypatch.setattr(headers, "DEFLATED_LIMIT_BYTES", 100)
    assert find_series(tmp_path) == []
    assert "it unpacks to more than" in caplog.text


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_series(tmp_path / "nowhere")
