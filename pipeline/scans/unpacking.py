"""Unpacking what is compressed, never more of it than a header promises."""

from __future__ import annotations

import bz2
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from monai.utils import optional_import

from pipeline.core.errors import InputError

logger = logging.getLogger(__name__)

# Intel's library, where it is installed (the extra `isal`): a CT of 512 x 512 x 275 is read in 0.44 s instead of 0.63
isal_zlib, has_isal = optional_import("isal.isal_zlib")
LIBRARIES: dict[str, Any] = {**({"isal": isal_zlib} if has_isal else {}), "zlib": zlib}
inflate = next(iter(LIBRARIES.values()))
DAMAGE = (OSError, *(library.error for library in LIBRARIES.values()))
# zlib's numbers for a gzip header and checksum, and for zlib's own or gzip's
GZIP, ZLIB_OR_GZIP = 31, 47
# What zlib has no number for
BZIP2 = -1
GZIP_MAGIC = b"\x1f\x8b"
BLOCK_BYTES = 1 << 20
# A file may end in padding; more than this after the voxels is no padding
MARGIN_BYTES = 1 << 20
# Deflate makes at most 1032 bytes of one
MOST_PACKED = 1032


def first_unpacked(stream: BinaryIO, count: int) -> bytes:
    """The first bytes of what a gzip file holds, fewer where it ends before."""
    inflater, content = inflate.decompressobj(wbits=GZIP), b""
    while len(content) < count and not inflater.eof and (block := stream.read(4096)):
        while block and len(content) < count:
            content += inflater.decompress(block, count - len(content))
            block = inflater.unconsumed_tail
    return content


def unbzipped(path: Path, count: int) -> bytes:
    """The first bytes of what a bzip2 file holds, fewer where it ends before; OSError where it is none or damaged."""
    try:
        with bz2.open(path) as stream:
            return stream.read(count)
    except EOFError as error:
        raise OSError("it ends early") from error


def all_unbzipped(path: Path, needed: int) -> bytes:
    """What a bzip2 file holds, as `unpacked` gives it of a gzip file."""
    try:
        content = unbzipped(path, needed + MARGIN_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: damaged or not readable to its end ({error}); copy it again.") from error
    if len(content) > needed + MARGIN_BYTES:
        raise InputError(too_long(path, needed))
    if len(content) < needed:
        raise InputError(f"{path}: ends after {len(content)} of {needed} bytes; copy it again.")
    return content


def unpacked(path: Path, needed: int) -> bytearray:
    """What a gzip file holds, its checksum checked.

    InputError where it is damaged, holds fewer than the `needed` bytes, or by more than a margin more: a decompression
    bomb does.
    """
    content = bytearray()
    for piece in _inflated(path, 0, GZIP, needed):
        content += piece
    return content


def check_packed(path: Path, first_byte: int, needed: int) -> None:
    """Raise InputError where what is packed from a byte on is damaged, or not `needed` bytes, as `unpacked` does."""
    for _ in _inflated(path, first_byte, ZLIB_OR_GZIP, needed):
        pass


def too_long(path: Path, needed: int) -> str:
    return f"{path}: holds more than the {needed} bytes that its header promises; export the scan again."


def _inflated(path: Path, start: int, packing: int, needed: int) -> Iterator[bytes]:
    """What a file holds from a byte on, in pieces, at most `needed` bytes and a margin of it."""
    # Intel's library does not tell gzip from zlib
    library, many = (inflate, True) if packing == GZIP else (zlib, False)
    inflater, total = library.decompressobj(wbits=packing), 0
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            block_bytes = BLOCK_BYTES
            while (many or not inflater.eof) and (block := stream.read(block_bytes)):
                # After the end of what was one gzip file, another one may follow, or zeros that fill it up
                while block := block.lstrip(b"\0") if inflater.eof else block:
                    if inflater.eof and total >= needed and block[:2] != GZIP_MAGIC[: len(block[:2])]:
                        logger.warning("%s: has bytes after its end that are no part of it; they were not read", path)
                        many = False
                        break
                    if inflater.eof:
                        # Each part copies what is left of its block
                        inflater, block_bytes = library.decompressobj(wbits=packing), BLOCK_BYTES >> 6
                    piece = inflater.decompress(block, needed + MARGIN_BYTES + 1 - total)
                    yield piece
                    total += len(piece)
                    if total > needed + MARGIN_BYTES:
                        raise InputError(too_long(path, needed))
                    if inflater.eof and not many:
                        break
                    block = inflater.unused_data
    except DAMAGE as error:
        raise InputError(f"{path}: damaged or not readable to its end ({error}); copy it again.") from error
    if not inflater.eof:
        raise InputError(f"{path}: damaged or not readable to its end (it ends early); copy it again.")
    if total < needed:
        raise InputError(f"{path}: ends after {total} of {needed} bytes; copy it again.")
