"""What the header of an image file promises, read and checked before anything of the voxels is.

The libraries that read images trust their headers: they take memory for what is promised, open the other files that are
named, and read numbers that are none as zero. Every file passes here first.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.core.machine import check_memory_left, in_words
from pipeline.scans.header_formats import (
    COPY_AGAIN,
    COPY_BOTH,
    EXPORT_AGAIN,
    PNG_IO,
    READERS,
    TWO_FILES,
    Header,
    WrongHeaderError,
)
from pipeline.scans.unpacking import DAMAGE, MARGIN_BYTES, MOST_PACKED, too_long

# What is unpacked, and the image that is made of it
COPIES = 2


def read_header(path: Path) -> Header:
    """The header of a NIfTI, MetaImage, NRRD or PNG file, by its name.

    Raises InputError where it is none, names files elsewhere, promises numbers that are none, more than the file can
    hold, or more than this machine has memory for.
    """
    read = next((reader for suffix, reader in READERS.items() if path.name.lower().endswith(suffix)), None)
    if read is None:
        raise InputError(f"{path}: is no image file; expected {', '.join(READERS)}; convert it.")
    try:
        header = read(path)
    except PermissionError as error:
        raise InputError(f"{path}: may not be read; ask for the right to read it.") from error
    except DAMAGE as error:
        raise InputError(f"{path}: damaged or not readable ({error}); {COPY_AGAIN}.") from error
    except WrongHeaderError as error:
        raise InputError(f"{path}: {error}.") from error
    _check_room(path.with_name(header.voxels) if header.voxels else path, header)
    return header


def voxel_file(path: Path) -> Path | None:
    """The file beside a header that its voxels lie in; None for a file that holds its own, and for what is no header.

    Raises InputError as `read_header`.
    """
    if not path.name.lower().endswith(TWO_FILES):
        return None
    header = read_header(path)
    return path.with_name(header.voxels) if header.voxels else None


def _check_room(path: Path, header: Header) -> None:
    """InputError where the promised voxels are none, do not fit into the file, or not into memory."""
    if not path.is_file():
        raise InputError(f"{path}: is not there, and its header beside it names it; {COPY_BOTH}.")
    shape = " x ".join(map(str, header.size))
    if min(header.size, default=0) < 1:
        raise InputError(f"{path}: its header promises {shape or 'no'} voxels; expected at least one; {EXPORT_AGAIN}.")
    file_bytes = path.stat().st_size
    of_a_packed = MOST_PACKED * file_bytes
    if header.packed is None:
        needed = header.first_byte + header.needed_bytes
        if header.image_io != PNG_IO and file_bytes < needed:
            raise InputError(f"{path}: ends after {file_bytes} of {needed} bytes; {COPY_AGAIN}.")
        if header.image_io != PNG_IO and file_bytes > needed + MARGIN_BYTES:
            raise InputError(too_long(path, needed))
        of_a_packed = max(of_a_packed, needed)
    if header.needed_bytes > of_a_packed:
        raise InputError(
            f"{path}: its header promises {shape} voxels, {in_words(header.needed_bytes)}, more than a file of "
            f"{in_words(file_bytes)} can hold; {COPY_AGAIN}."
        )
    check_memory_left(
        COPIES * header.needed_bytes / 2**20,
        lambda needed_mib, left_mib: (
            f"{path}: its header promises {shape} voxels, which need {in_words(needed_mib * 2**20)} of memory, and "
            f"{in_words(left_mib * 2**20)} are free; if it is a scan, read it on a larger machine."
        ),
    )
