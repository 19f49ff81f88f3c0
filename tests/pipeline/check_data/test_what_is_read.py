"""The table of docs/what-is-read.md, each row made and tried."""

from __future__ import annotations

import bz2
import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from conftest import chest
from dicom_makers import classic, write
from pydicom.dataset import FileMetaDataset

from pipeline.check_data.finding import ERROR, WARNING, of_level
from pipeline.check_data.scan_gate import look_at_scan
from pipeline.core.errors import InputError
from pipeline.core.project import ROOT
from pipeline.scans.dicom.choice import choose_series
from pipeline.scans.dicom.series import find_series
from pipeline.scans.dicom.volume import NOTES, read_series

PAGE = ROOT / "docs" / "what-is-read.md"
READ, WARNED, REFUSED = "read", "warning", "refused"
# As large as an adult's chest and with bone, so that nothing else is warned of; stored values begin at -1024
SCAN = sitk.Clamp(chest((48, 40, 24), (7.0, 7.0, 12.0))[0], sitk.sitkInt16, -1000, 1000)
SCAN[24, 20, 12] = 1200


def plain(folder: Path) -> Path:
    sitk.WriteImage(SCAN, str(folder / "a.nii.gz"))
    return folder / "a.nii.gz"


def unpacked(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        (folder / "a.nii").write_bytes(gzip.decompress(make(folder).read_bytes()))
        return folder / "a.nii"

    return made


def patched(place: int, form: str, *values: object, kind: int = sitk.sitkInt16) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        file = folder / "a.nii.gz"
        sitk.WriteImage(sitk.Cast(SCAN, kind), str(file))
        content = bytearray(gzip.decompress(file.read_bytes()))
        struct.pack_into(f"<{form}", content, place, *values)
        file.write_bytes(gzip.compress(bytes(content)))
        return file

    return make


def placed(qform: np.ndarray | None, sform: np.ndarray | None) -> Callable[[Path], Path]:
    """By factors of the scan's own affine."""

    def make(folder: Path) -> Path:
        file = plain(folder)
        image = nibabel.load(file)
        voxels, header, mine = np.asarray(image.dataobj), image.header, image.affine
        header.set_qform(None if qform is None else mine @ qform, int(qform is not None))
        header.set_sform(None if sform is None else mine @ sform, int(sform is not None))
        header["pixdim"][1:4] = SCAN.GetSpacing()
        nibabel.Nifti1Image(voxels, None, header).to_filename(file)
        return file

    return make


def volumes(count: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        sitk.WriteImage(sitk.JoinSeries([SCAN] * count), str(folder / "a.mha"))
        return folder / "a.mha"

    return make


def longer(folder: Path) -> Path:
    file = plain(folder)
    file.write_bytes(file.read_bytes() + b"\r\n")
    return file


def saved(name: str, packed: bool = False) -> Callable[[Path], Path]:
    """As SimpleITK writes it: of some names two files."""

    def make(folder: Path) -> Path:
        sitk.WriteImage(SCAN, str(folder / name), useCompression=packed)
        return folder / name

    return make


def bzipped(folder: Path) -> Path:
    (folder / "a.nii.bz2").write_bytes(bz2.compress(gzip.decompress(plain(folder).read_bytes())))
    return folder / "a.nii.bz2"


def edited(name: str, old: bytes, new: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        file = saved(name)(folder)
        content = file.read_bytes()
        assert old in content
        file.write_bytes(content.replace(old, new))
        return file

    return make


def alone(name: str) -> Callable[[Path], Path]:
    """A header whose second file is not there."""

    def make(folder: Path) -> Path:
        file = saved(name)(folder)
        for other in folder.iterdir():
            if other != file:
                other.unlink()
        return file

    return make


def cut_short(folder: Path) -> Path:
    file = saved("a.mhd")(folder)
    voxels = folder / "a.raw"
    voxels.write_bytes(voxels.read_bytes()[:-100])
    return file


def wrapped(folder: Path) -> Path:
    image = sitk.GetImageFromArray(sitk.GetArrayFromImage(SCAN).view(np.uint16))
    image.CopyInformation(SCAN)
    sitk.WriteImage(image, str(folder / "a.nii.gz"))
    return folder / "a.nii.gz"


def bare(folder: Path) -> Path:
    for number, each in enumerate(classic(SCAN)):
        each.file_meta, each.preamble = FileMetaDataset(), None
        pydicom.dcmwrite(folder / f"{number}", each, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return folder


def in_two_folders(folder: Path) -> Path:
    every = classic(SCAN)
    write(every[::2], folder / "one")
    write(every[1::2], folder / "two")
    return folder


def slices(change: Callable[[int, pydicom.Dataset], None]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        every = classic(SCAN)
        for number, each in enumerate(every):
            change(number, each)
        write(every, folder / "one")
        return folder

    return make


def small_letters(_: int, each: pydicom.Dataset) -> None:
    each.RescaleType = "hu"


def without_rescale(_: int, each: pydicom.Dataset) -> None:
    del each.RescaleSlope, each.RescaleIntercept


def moved_table(number: int, each: pydicom.Dataset) -> None:
    each.FrameOfReferenceUID = f"1.2.3.{number // 12}"


def one_without_rescale(number: int, each: pydicom.Dataset) -> None:
    if number == 5:
        without_rescale(number, each)


def one_moved(number: int, each: pydicom.Dataset) -> None:
    each.FrameOfReferenceUID = "1.2.3.1" if number == 23 else "1.2.3.0"


def in_hounsfield_units(number: int, each: pydicom.Dataset) -> None:
    without_rescale(number, each)
    each.PixelData = (np.frombuffer(each.PixelData, "<u2").astype("<i2") - 1024).tobytes()
    each.PixelRepresentation = 1


def wrapped_slices(number: int, each: pydicom.Dataset) -> None:
    in_hounsfield_units(number, each)
    each.PixelRepresentation, each.RescaleSlope, each.RescaleIntercept = 0, 1, 0


def without_study(_: int, each: pydicom.Dataset) -> None:
    del each.StudyInstanceUID


def big_endian(folder: Path) -> Path:
    for number, each in enumerate(classic(SCAN)):
        each.file_meta, each.preamble = FileMetaDataset(), None
        each.PixelData = np.frombuffer(each.PixelData, "<u2").astype(">u2").tobytes()
        pydicom.dcmwrite(folder / f"{number}", each, implicit_vr=False, little_endian=False, enforce_file_format=False)
    return folder


def copied_twice(folder: Path) -> Path:
    every = classic(SCAN)
    for name in ("one", "two"):
        write(every, folder / name)
    return folder


def cut_at_the_end(left_bytes: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        last = write(classic(SCAN), folder / "one")[-1]
        last.write_bytes(last.read_bytes()[:left_bytes])
        return folder

    return make


def many_frames(folder: Path) -> Path:
    (first, *_) = every = classic(SCAN)
    first.NumberOfFrames = len(every)
    first.PixelData = b"".join(each.PixelData for each in every)
    write([first], folder / "one")
    return folder


ONE = np.eye(4)
SITUATIONS: dict[str, Callable[[Path], Path]] = {
    "NIfTI with one orientation": plain,
    "NIfTI, slope 0 with an intercept": patched(112, "2f", 0.0, -1024.0),
    "NIfTI, `vox_offset` 0": patched(108, "f", 0.0),
    "NIfTI, uncompressed, `vox_offset` 0": unpacked(patched(108, "f", 0.0)),
    "NIfTI, uncompressed, slope 0 with an intercept": unpacked(patched(112, "2f", 0.0, -1024.0)),
    "NIfTI of 64 bits, slope 0 with an intercept": patched(112, "2f", 0.0, -1024.0, kind=sitk.sitkInt64),
    "sform and qform turned by half a circle": placed(ONE, np.diag([-1.0, -1, 1, 1])),
    "NIfTI, magic of a pair in one file": patched(344, "4s", b"ni1\0"),
    "NIfTI in two files, `.hdr` and `.img`": saved("a.hdr"),
    "NIfTI packed by bzip2": bzipped,
    "MetaImage in two files, `.mhd` and `.raw`": saved("a.mhd"),
    "MetaImage in two files, `.mhd` and `.zraw`": saved("a.mhd", packed=True),
    "NRRD in two files, `.nhdr` and `.raw`": saved("a.nhdr"),
    "NRRD in two files, `.nhdr` and `.raw.gz`": saved("a.nhdr", packed=True),
    "a header without its second file": alone("a.mhd"),
    "a NIfTI header without its second file": alone("a.hdr"),
    "a second file that is too short": cut_short,
    "a header that names a file elsewhere": edited("a.mhd", b"= a.raw", b"= ../a.raw"),
    "Analyze 7.5": edited("a.hdr", b"ni1\0", bytes(4)),
    "four dimensions, one volume": volumes(1),
    "two bytes after the end of a gzip": longer,
    "NIfTI without orientation": placed(None, None),
    "four dimensions, two volumes": volumes(2),
    "sform and qform of opposite sides": placed(ONE, np.diag([-1.0, 1, 1, 1])),
    "pixdim and sform of two sizes": placed(None, np.diag([2.0, 2, 2, 1])),
    "directions off a right angle": placed(None, ONE + 0.005 * np.eye(4, k=1) * [[1], [0], [0], [0]]),
    "unsigned numbers that wrapped": wrapped,
    "DICOM without preamble": bare,
    "DICOM without preamble, big endian": big_endian,
    "DICOM series in two folders": in_two_folders,
    "DICOM series that was copied twice": copied_twice,
    "DICOM without StudyInstanceUID": slices(without_study),
    "DICOM rescale type in small letters": slices(small_letters),
    "DICOM without rescale tags, Hounsfield units": slices(in_hounsfield_units),
    "DICOM without rescale tags, no Hounsfield units": slices(without_rescale),
    "DICOM, two frames of reference in a series": slices(moved_table),
    "DICOM, one slice without rescale tags": slices(one_without_rescale),
    "DICOM, one slice in another frame of reference": slices(one_moved),
    "DICOM, many frames in one classic file": many_frames,
    "DICOM, negative numbers marked as unsigned": slices(wrapped_slices),
    "DICOM, the last slice empty": cut_at_the_end(0),
    "DICOM, the last slice cut off in its header": cut_at_the_end(900),
    "DICOM, the last slice cut off in its voxels": cut_at_the_end(2000),
}


def rows() -> dict[str, str]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
    return dict(cells[2:])


def outcome(place: Path) -> tuple[str, np.ndarray | None]:
    """What comes of a file or a DICOM folder, and its voxels."""
    if place.is_dir():
        try:
            (series,) = choose_series(find_series(*sorted(place.iterdir())))
            image = read_series(series)
            return WARNED if image.GetMetaData(NOTES) else READ, sitk.GetArrayFromImage(image)
        except InputError:
            return REFUSED, None
    passed = look_at_scan(place, "a")
    if of_level(passed.findings, ERROR):
        return REFUSED, None
    voxels = sitk.GetArrayFromImage(passed.image)
    return WARNED if of_level(passed.findings, WARNING) else READ, voxels


def test_every_situation_of_the_table_is_tried():
    assert rows().keys() == SITUATIONS.keys()


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_comes_of_it_is_what_the_table_says_with_the_scans_own_numbers(tmp_path, situation):
    found, voxels = outcome(SITUATIONS[situation](tmp_path))
    assert found == rows()[situation]
    assert voxels is None or np.array_equal(voxels, sitk.GetArrayFromImage(SCAN))
