"""Files that look like scans by their names and are not read as they are: what each is, and what to do with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from pipeline.scans.header_formats import TWO_FILES
from pipeline.scans.scan import SUFFIXES, files_there

ARCHIVE = "an archive, which is not looked into; unpack it"
PACKED = "packed in a way that is not read; unpack it, or pack it as .nii.gz"
NO_HEADER = (
    "voxels without the header that belongs to them; put its .mhd, .nhdr or .hdr beside it, or convert it to .nii.gz"
)
PAIR_PACKED = "part of a pair of packed files, which is not read; unpack both, or convert them to one .nii.gz"
NOT_READ = "in a format that is not read; convert it to .nii.gz"
ARRAY = "an array without size and place of its voxels; save it as .nii.gz with both"
PICTURE = "a picture; save slices as .png in a folder of their own, volumes as .nii.gz"
DICOM = "a DICOM file; convert its series to one .nii.gz for a data set, or give the series to make predict"
UNFINISHED = "by its name an unfinished download or an older copy; finish it, rename it or remove it"
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jp2", ".tif", ".tiff", ".bmp", ".gif", ".webp")
# The first that fits counts, so longer endings stand before those that they end in
KINDS = (
    ((".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"), ARCHIVE),
    ((".zip", ".7z", ".rar"), ARCHIVE),
    ((".raw", ".raw.gz", ".zraw", ".img", ".rec"), NO_HEADER),
    ((".img.gz", ".hdr.gz"), PAIR_PACKED),
    ((".gz", ".bz2", ".xz", ".zst", ".lz4", ".z"), PACKED),
    ((".mgh", ".mgz", ".mnc", ".gipl", ".par", ".vtk", ".vti", ".nia", ".mrc"), NOT_READ),
    ((".npy", ".npz", ".mat", ".h5", ".hdf5", ".b2nd"), ARRAY),
    (PICTURE_SUFFIXES, PICTURE),
    (DICOM_SUFFIXES, DICOM),
)
# Tables and texts are packed too
OTHER_PACKED = (".csv", ".tsv", ".json", ".txt", ".xml", ".html", ".log", ".sql")
_GOES_ON = re.compile(
    r".*\.(?:nii|nii\.gz|mha|mhd|nrrd|hdr|dcm)"
    r"(?:\.(?:part|partial|crdownload|download|tmp|temp|bak|old|orig|\d+)|~| \(\d+\))"
)
# Voxels that lie in a file of their own, and the headers that name it
VOXELS = (".raw", ".raw.gz", ".zraw", ".img")


def what_it_is(path: str | Path, read_too: Collection[str] = ()) -> str:
    """What a file is that looks like a scan and is not read, and after a semicolon what to do; "" for all others.

    By its name alone, hidden ones apart. `read_too` are the endings, beside `pipeline.scans.scan.SUFFIXES`, that the
    caller reads, such as `.zip`. Files that hold a part of another one are the caller's to know, see `has_header`.
    """
    name = Path(path).name.lower()
    if name.startswith(".") or name.endswith((*SUFFIXES, *read_too)):
        return ""
    if _GOES_ON.fullmatch(name):
        return UNFINISHED
    for endings, what in KINDS:
        if name.endswith(endings):
            return "" if what == PACKED and Path(name).stem.endswith(OTHER_PACKED) else what
    return ""


def has_header(path: Path) -> bool:
    """Whether a file is the voxels of a header beside it, by their names: the header is what is read or told of."""
    ending = next((each for each in VOXELS if path.name.lower().endswith(each)), None)
    return ending is not None and any(
        path.with_name(f"{path.name[: -len(ending)]}{header}").exists() for header in TWO_FILES
    )


def voxels_of_headers(files: Iterable[Path]) -> set[Path]:
    """The files that headers among these take their voxels from."""
    headers = (file for file in files if file.name.lower().endswith(TWO_FILES))
    return {voxels for header in headers for voxels in files_there(header)[1:]}
