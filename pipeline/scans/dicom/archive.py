"""Unpack a zip file that somebody sent, into a temporary folder and nowhere else."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import TemporaryDirectory

from pipeline.core.errors import InputError

# Thousands of studies; a whole-body scan has about 2,000 slices of half a megabyte
MOST_ENTRIES = 200_000
MOST_BYTES = 64 << 30
# CT shrinks to a third, constant slices to a thousandth; what is small is no bomb whatever its ratio
MOST_RATIO, SMALL_BYTES = 100, 1 << 30
BLOCK_BYTES = 1 << 20
ENCRYPTED = 0x1


@contextmanager
def extracted(zip_path: str | Path) -> Iterator[Path]:
    """A temporary folder with the content of a zip file, removed when the block ends.

    Nobody else can read it; TMPDIR says where it is made. Raises InputError, before anything is written where the
    directory of the file tells, for a file that is damaged, needs a password, holds links, the same name twice or
    names outside the folder, or unpacks to too many files, too much, or more than the disk has left.
    """
    zip_path = Path(zip_path)
    with TemporaryDirectory(prefix="pneumobundle-") as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(zip_path) as archive:
                entries = _checked(archive, zip_path, folder)
                for entry in entries:
                    _extract(archive, entry, folder)
        # What zipfile raises for damaged content and for compressions that it does not know
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, LookupError) as error:
            raise InputError(f"{zip_path}: not a readable zip file, or damaged; copy it again.") from error
        except OSError as error:
            raise InputError(f"{zip_path}: cannot be unpacked ({error.strerror or 'damaged'}).") from error
        yield folder


def _checked(archive: zipfile.ZipFile, zip_path: Path, folder: Path) -> list[zipfile.ZipInfo]:
    """The files of an archive, if all of it may be unpacked."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > MOST_ENTRIES:
        raise InputError(f"{zip_path}: holds {len(entries)} files, more than {MOST_ENTRIES}; unpack it yourself.")
    names: set[str] = set()
    for number, entry in enumerate(entries, 1):
        # By its number, since names in a hospital's archive often are patients' names
        if reason := _refused(entry) or ("the same name twice" if entry.filename in names else ""):
            raise InputError(f"{zip_path}: holds {reason} (file {number}); unpack it yourself and give the folder.")
        names.add(entry.filename)
    total = sum(entry.file_size for entry in entries)
    packed = zip_path.stat().st_size
    if total > MOST_BYTES or (total > SMALL_BYTES and total > MOST_RATIO * packed):
        raise InputError(
            f"{zip_path}: unpacks from {packed / 1e6:.1f} MB to {total / 1e9:.1f} GB, which no scans do; expected at "
            f"most {MOST_BYTES / 1e9:.0f} GB and {MOST_RATIO} times its size; unpack it yourself if you trust it."
        )
    free = shutil.disk_usage(folder).free
    if total > free:
        raise InputError(
            f"{zip_path}: unpacks to {total / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free in {folder.parent}; "
            "set TMPDIR to a folder with more space."
        )
    return entries


def _refused(entry: zipfile.ZipInfo) -> str:
    """Why an entry is not unpacked, in words; "" where it may be."""
    # Either system's separators and drives, whatever wrote the file
    posix, windows = PurePosixPath(entry.filename), PureWindowsPath(entry.filename)
    if posix.is_absolute() or windows.anchor:
        return "an absolute path"
    if ".." in posix.parts or ".." in windows.parts:
        return "a path outside of it"
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "a link or device"
    return "files that need a password" if entry.flag_bits & ENCRYPTED else ""


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    """Unpack a file, no byte more than the directory of the archive says."""
    target = folder / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(entry) as source, target.open("xb") as stream:
        while block := source.read(BLOCK_BYTES):
            written += len(block)
            if written > entry.file_size:
                raise zipfile.BadZipFile("longer than its directory says")
            stream.write(block)
