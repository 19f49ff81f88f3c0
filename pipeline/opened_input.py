"""An input of `make predict`, opened: the image file to segment, its hash, and of DICOM the series that it was."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.errors import InputError, in_one_line
from pipeline.inputs import DICOM, FILE, Input, hashed_uid
from pipeline.scan import Geometry, check_file, file_sha256, read_geometry
from pipeline.simpleitk import sitk

if TYPE_CHECKING:
    from pipeline.dicom.series import Series

logger = logging.getLogger(__name__)
SCRATCH = "pneumobundle-"
_UID = re.compile(r"\b[0-2](\.\d+){5,}\b")


@dataclass(frozen=True)
class Opened:
    """A scan that can be read.

    Args:
        image: an image file, for as long as the input is open.
        sha256: of the file, or of all files of the series.
        series: where it was DICOM.
    """

    image: Path
    sha256: str
    series: Series | None = None


def state_of(item: Input) -> list[int]:
    """Files, bytes and when the newest was changed, in nanoseconds: equal for an input that nobody touched."""
    every = bool(item.series)
    files = [file for path in item.paths for file in ([path] if path.is_file() else _files(path, every))]
    states = [os.stat(file) for file in files]
    return [
        len(states),
        sum(state.st_size for state in states),
        max((state.st_mtime_ns for state in states), default=0),
    ]


def _files(folder: Path, below_too: bool) -> list[Path]:
    return [file for file in (folder.rglob("*") if below_too else folder.iterdir()) if file.is_file()]


def without_names(text: str, item: Input) -> str:
    """A message in which an input has its case's name: no path, and no UID or file name of a DICOM study."""
    for path in map(in_one_line, map(str, item.paths)):
        # What follows a folder are names that a hospital's archive gave
        text = re.sub(re.escape(path) + (r"" if item.kind == FILE else r"(/[^:;]*)?"), lambda _: item.case, text)
    text = re.sub(rf"[^\s:;]*{SCRATCH}[^:;]*", lambda _: item.case, text)
    return text if item.kind == FILE else _UID.sub(lambda found: f"({hashed_uid(found[0])})", text)


@contextmanager
def opened(item: Input, check: Callable[[Geometry], None]) -> Iterator[Opened]:
    """The scan of an input; a DICOM series becomes a plain file that lives as long as the block.

    `check` is called with the grid before any voxel is read. TMPDIR says where the plain file lies. Raises InputError
    for what cannot be read, and what `check` raises.
    """
    if item.kind == FILE:
        check(read_geometry(item.paths[0]))
        yield Opened(item.paths[0], file_sha256(item.paths[0]))
    elif item.kind == DICOM:
        with _as_file(item, item.paths, check) as found:
            yield found
    else:
        from pipeline.dicom.archive import extracted

        check_file(item.paths[0])
        with extracted(item.paths[0]) as folder, _as_file(item, (folder,), check) as found:
            yield found


@contextmanager
def _as_file(item: Input, folders: Sequence[Path], check: Callable[[Geometry], None]) -> Iterator[Opened]:
    from pipeline.dicom.grid import grid_of
    from pipeline.dicom.volume import read_series

    series = _chosen(item, folders)
    check(grid_of(series).geometry)
    image = read_series(series)
    with TemporaryDirectory(prefix=SCRATCH) as name:
        file = Path(name) / f"{item.name}.nii"
        # Uncompressed, and without what the headers say beside the grid
        for key in image.GetMetaDataKeys():
            image.EraseMetaData(key)
        sitk.WriteImage(image, str(file))
        del image
        yield Opened(file, _sha256(series), series)


def _chosen(item: Input, folders: Sequence[Path]) -> Series:
    from pipeline.dicom.series import choose_series, find_series

    top = [folder for folder in folders if not any(other in folder.parents for other in folders)]
    every = find_series(*top)
    mine = [series for series in every if not item.study or series.study_uid == item.study]
    # A folder may lie below that of another study, which is a scan of its own
    beside = {series.study_uid for series in every if {file.parent for file in series.files} & {*folders}}
    if item.study and len(beside) > 1:
        logger.warning(
            "%s: %d other studies are mixed into its folder; give that folder alone as INPUT to have them too",
            item.case, len(beside) - 1,
        )  # fmt: skip
    chosen = choose_series(mine, item.series or None)
    if len(chosen) > 1:
        raise InputError(
            f"{item.case}: holds CT series of {len(chosen)} studies; give its folder unpacked, or choose by SERIES."
        )
    return chosen[0]


def _sha256(series: Series) -> str:
    """Of all files, in whatever order they lie on the disk."""
    hashes = sorted({file_sha256(file) for file in series.files})
    return hashlib.sha256("\n".join([series.uid, *hashes]).encode()).hexdigest()
