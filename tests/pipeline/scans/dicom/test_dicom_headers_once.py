"""A header is read once, from the folder to the report; what is not kept of it is read again and says the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from conftest import chest
from dicom_makers import classic, compress, enhanced, write
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, JPEGLosslessSV1, RLELossless

from pipeline.scans.dicom import series as series_module
from pipeline.scans.dicom.headers import LONGEST_KEPT_BYTES
from pipeline.scans.dicom.measurements import write_measurements
from pipeline.scans.dicom.segmentation import source_headers, write_segmentation
from pipeline.scans.dicom.series import Series, find_series
from pipeline.scans.dicom.volume import read_series

FORMS = {"classic": classic, "enhanced": lambda image: [enhanced(image)]}


@pytest.fixture
def parsed(monkeypatch):
    """How often the header of each file was read."""
    count: Counter[str] = Counter()
    read = pydicom.filereader.read_partial

    def counted(stream, *arguments, **named):
        count[Path(str(stream.name)).name] += 1
        return read(stream, *arguments, **named)

    monkeypatch.setattr(pydicom.filereader, "read_partial", counted)
    return count


def read_again(folder: Path, monkeypatch) -> Series:
    """The series of a folder, none of its headers kept."""
    with monkeypatch.context() as patched:
        patched.setattr(series_module, "MOST_HEADERS_KEPT", 0)
        (series,) = find_series(folder)
    assert all(each.header is None for each in series.slices)
    return series


@pytest.mark.parametrize("form", FORMS)
def test_each_header_is_read_once_from_the_folder_to_the_report(tmp_path, parsed, form):
    scan, label = chest()
    files = write(FORMS[form](scan), tmp_path)
    (series,) = find_series(tmp_path)
    read_series(series)
    write_segmentation(label, series, tmp_path / "seg.dcm", "a", "1")
    write_measurements(label, series, tmp_path / "seg.dcm", tmp_path / "sr.dcm", "a", "1")
    assert {name: parsed[name] for name in (file.name for file in files)} == {file.name: 1 for file in files}


@pytest.mark.parametrize("form", FORMS)
def test_a_header_that_was_kept_says_what_reading_it_again_says(tmp_path, monkeypatch, form):
    datasets = FORMS[form](chest()[0])
    for dataset in datasets:
        del dataset.AccessionNumber
        dataset.private_block(0x0029, "A VENDOR", create=True).add_new(0x10, "OB", bytes(3 * LONGEST_KEPT_BYTES))
    write(datasets, tmp_path)
    (series,) = find_series(tmp_path)
    again = read_again(tmp_path, monkeypatch)
    assert series == again
    assert source_headers(series) == source_headers(again)


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, RLELossless, JPEGLosslessSV1], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_pixels_after_a_header_that_was_kept_are_those_of_the_file(tmp_path, monkeypatch, form, syntax):
    datasets = FORMS[form](chest()[0])
    for dataset in datasets:
        if syntax == ImplicitVRLittleEndian:
            dataset.file_meta.TransferSyntaxUID = syntax
        elif syntax:
            compress(dataset, syntax)
    write(datasets, tmp_path)
    (series,) = find_series(tmp_path)
    arrays = [sitk.GetArrayFromImage(read_series(each)) for each in (series, read_again(tmp_path, monkeypatch))]
    assert np.array_equal(*arrays)


def test_a_long_value_stays_on_the_disk(tmp_path):
    (dataset, *_) = datasets = classic(chest()[0])
    dataset.private_block(0x0029, "A VENDOR", create=True).add_new(0x10, "OB", bytes(2 * LONGEST_KEPT_BYTES))
    write(datasets, tmp_path)
    (series,) = find_series(tmp_path)
    kept = [each.header.dataset for each in series.slices if each.header]
    assert len(kept) == len(datasets)
    (private,) = [each for each in kept if (0x0029, 0x1010) in each]
    assert private.get_item((0x0029, 0x1010), keep_deferred=True).value is None
    assert not any("PixelData" in each for each in kept)


def test_of_what_is_no_ct_no_header_is_kept(tmp_path):
    report = Dataset()
    report.update(classic(chest()[0])[0])
    report.Modality, report.SOPClassUID = "SR", "1.2.840.10008.5.1.4.1.1.88.67"
    report.file_meta = classic(chest()[0])[0].file_meta
    write([report], tmp_path)
    (series,) = find_series(tmp_path)
    assert [each.header for each in series.slices] == [None]
