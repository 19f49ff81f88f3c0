"""An input of `make predict`, opened: the image file to segment, its hash, and of DICOM the series that it was."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.core.errors import InputError, in_one_line
from pipeline.folders.inputs import DICOM, FILE, MEMORY, ZIP, Input, hashed_uid
from pipeline.folders.left_out import LeftOut
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import SCRATCH, check_file, file_sha256, files_there, read_geometry
from pipeline.scans.simpleitk import sitk

if TYPE_CHECKING:
    from pipeline.scans.dicom.series import Damaged
    from pipeline.scans.dicom.stack import Series

_UID = re.compile(r"\b[0-2](\.\d+){5,}\b")


@dataclass(frozen=True)
class Opened:
    """A scan that can be read.

    Args:
        image: an image file, for as long as the input is open.
        sha256: of the file, or of all files of the series.
        series: where it was DICOM.
        left_out: what its study holds beside that series.
    """

    image: Path
    sha256: str
    series: Series | None = None
    left_out: tuple[LeftOut, ...] = ()


def state_of(item: Input) -> list[int]:
    """Files, bytes and when the newest was changed, in nanoseconds: equal for an input that nobody touched."""
    every = bool(item.series)
    files = [file for path in item.paths for file in (files_there(path) if path.is_file() else _files(path, every))]
    states = [os.stat(file) for file in files]
    return [
        len(states),
        sum(state.st_size for state in states),
        max((state.st_mtime_ns for state in states), default=0),
    ]


def _files(folder: Path, below_too: bool) -> list[Path]:
    return [file for file in (folder.rglob("*") if below_too else folder.iterdir()) if file.is_file()]


def place_of(item: Input, sha256: str) -> str:
    """Where a scan lies, hashed, since results hold no path; of a DICOM study its number, wherever it is.

    What a program gave lies nowhere: another one is at another place.
    """
    place = {DICOM: item.case, MEMORY: sha256}.get(item.kind) or os.path.realpath(item.paths[0])
    return hashlib.sha256(os.fsencode(place)).hexdigest()[:16]


def without_names(text: str, item: Input) -> str:
    """A message in which an input has its case's name: no path, and no UID or file name of a DICOM study."""
    for path in map(in_one_line, map(str, item.paths)):
        # What follows a folder are names that a hospital's archive gave
        text = re.sub(re.escape(path) + (r"" if item.kind == FILE else r"(/[^:;]*)?"), lambda _: item.case, text)
    text = re.sub(rf"[^\s:;]*{SCRATCH}[^:;]*", lambda _: item.case, text)
    return text if item.kind in (FILE, MEMORY) else _UID.sub(lambda found: f"({hashed_uid(found[0])})", text)


@contextmanager
def opened(item: Input, check: Callable[[Geometry], None]) -> Iterator[Opened]:
    """The scan of an input; a DICOM series becomes a plain file that lives as long as the block.

    `check` is called with the grid before any voxel is read. TMPDIR says where the plain file lies. Raises InputError
    for what cannot be read, and what `check` raises.
    """
    if item.kind == FILE:
        check(read_geometry(item.paths[0]))
        yield Opened(item.paths[0], file_sha256(item.paths[0]))
        return
    with _series_of(item) as (series, left_out), _as_file(item, series, check) as file:
        yield Opened(file, _sha256(series), series, left_out)


@contextmanager
def series_again(item: Input, sha256: str) -> Iterator[Series | None]:
    """The DICOM series of an input that was opened before, without its voxels; None for one that is none.

    InputError where its files are not those any more.
    """
    if item.kind not in (DICOM, ZIP):
        yield None
        return
    with _series_of(item) as (series, _):
        if _sha256(series) != sha256:
            raise InputError(f"{item.case}: its files have changed since it was segmented; segment it again.")
        yield series


@contextmanager
def _series_of(item: Input) -> Iterator[tuple[Series, tuple[LeftOut, ...]]]:
    """The series of a study to segment, its files unpacked while the block runs, and what lies beside it."""
    if item.kind == DICOM:
        yield _chosen(item, item.paths)
        return
    from pipeline.scans.dicom.archive import extracted

    check_file(item.paths[0])
    with extracted(item.paths[0]) as folder:
        yield _chosen(item, (folder,))


@contextmanager
def _as_file(item: Input, series: Series, check: Callable[[Geometry], None]) -> Iterator[Path]:
    from pipeline.scans.dicom.grid import grid_of
    from pipeline.scans.dicom.volume import read_series

    check(grid_of(series).geometry)
    image = read_series(series)
    with TemporaryDirectory(prefix=SCRATCH) as name:
        file = Path(name) / f"{item.name}.nii"
        # Uncompressed, and without what the headers say beside the grid
        for key in image.GetMetaDataKeys():
            image.EraseMetaData(key)
        sitk.WriteImage(image, str(file))
        del image
        yield file


def _chosen(item: Input, folders: Sequence[Path]) -> tuple[Series, tuple[LeftOut, ...]]:
    """The series to segment, and what lies beside it; only its own where the user chose it."""
    from pipeline.scans.dicom.choice import chosen_and_why
    from pipeline.scans.dicom.series import files_below, found_in

    # Of a study each folder is known; a series is looked for everywhere
    every, damaged = found_in(
        [file for folder in folders for file in sorted(_files(folder, False))] if item.study else files_below(*folders)
    )
    mine = [series for series in every if not item.study or series.study_uid == item.study]
    if damaged and not mine:
        raise InputError(f"{item.case}: its {len(damaged)} DICOM file(s) are damaged or empty; copy them again.")
    chosen, reasons = chosen_and_why(mine, item.series or None)
    if len(chosen) > 1:
        raise InputError(
            f"{item.case}: holds CT series of {len(chosen)} studies; give its folder unpacked, or choose by SERIES."
        )
    (series,) = chosen
    if any(each.uid == series.uid and each.study_uid != series.study_uid for each in every):
        raise InputError(f"{series}: its slices tell different studies; export the series again.")
    if item.series:
        return series, ()
    elsewhere = {each.uid for each in every if each.study_uid != series.study_uid}
    lost = [each for each in damaged if each.series_uid not in elsewhere]
    return series, tuple(_beside(item, reasons, lost))


def _beside(item: Input, reasons: Mapping[Series, str], damaged: Sequence[Damaged]) -> Iterator[LeftOut]:
    """Images of a study that are not segmented, but localizers, and files that could not be read."""
    from pipeline.scans.dicom.choice import unsuitable
    from pipeline.scans.dicom.series import LOCALIZER

    for each, reason in reasons.items():
        if reason and all(each.stack.size) and LOCALIZER not in each.stack.image_type:
            why = without_names(f"{each}: {reason}", item)
            if not unsuitable(each):
                listed = "and `pneumobundle scans INPUT` lists the UIDs" if item.kind == DICOM else "once unpacked"
                why += f"; SERIES=UID segments it, {listed}"
            yield LeftOut(f"{item.case}, series {hashed_uid(each.uid)}", why, missed=bool(each.damaged))
    if damaged:
        yield LeftOut(
            item.case, f"{len(damaged)} damaged or empty DICOM file(s) beside its series were not read; copy them again"
        )


def _sha256(series: Series) -> str:
    """Of all files, in whatever order they lie on the disk."""
    hashes = sorted({file_sha256(file) for file in series.files})
    return hashlib.sha256("\n".join([series.uid, *hashes]).encode()).hexdigest()
