"""The headers of NIfTI, MetaImage, NRRD and PNG files: what each says, or what is wrong with it.

The voxels of `.hdr`, `.mhd` and `.nhdr` lie in a second file, which has to lie beside the first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.scans.unpacking import BZIP2, GZIP, GZIP_MAGIC, ZLIB_OR_GZIP, first_unpacked, unbzipped

HEADER_BYTES = 1 << 18
NIFTI_BYTES, NIFTI_2_BYTES = 348, 540
NIFTI_MAGIC, NIFTI_PAIR_MAGIC = b"n+1", b"ni1"
# Longer lines of NRRD fields, of their own format's numbers, overflow a buffer of what reads them
LINE_CHARACTERS = 500
META_TYPES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_LONG": 4,
    "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
META_NUMBERS = ("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation")
META_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
NRRD_TYPES = {
    1: ("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"),
    2: ("short", "short int", "signed short", "signed short int", "int16", "int16_t", "ushort", "unsigned short",
        "unsigned short int", "uint16", "uint16_t"),
    4: ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t", "float"),
    8: ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t",
        "ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t", "double"),
}  # fmt: skip
NRRD_BYTES = {name: count for count, names in NRRD_TYPES.items() for name in names}
# Channels of bits: of a PNG's colour type
PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
COPY_AGAIN, EXPORT_AGAIN = "copy it again", "export the scan again"
COPY_BOTH = "copy both files"


@dataclass(frozen=True)
class Header:
    """What a file promises.

    Args:
        size: numbers along each axis as the file has them, colours among them.
        voxel_bytes: of one of them.
        first_byte: of the voxels; in a file that is packed as a whole, as NIfTI, of its unpacked content.
        packed: zlib's number for how the voxels are packed, or BZIP2; None where they are not.
        image_io: SimpleITK's name of what reads such a file; it would go by the content otherwise.
        voxels: name of the file beside it that the voxels lie in; empty for the file itself.
    """

    size: tuple[int, ...]
    voxel_bytes: int
    first_byte: int
    packed: int | None
    image_io: str
    voxels: str = ""

    @property
    def needed_bytes(self) -> int:
        return math.prod(self.size) * self.voxel_bytes


class WrongHeaderError(ValueError):
    """What is wrong with a header and what to do, without the file's name and the full stop."""


def _nifti(path: Path) -> Header:
    with path.open("rb") as stream:
        return _nifti_header(stream.read(NIFTI_BYTES), None)


def _bzipped_nifti(path: Path) -> Header:
    return _nifti_header(unbzipped(path, NIFTI_BYTES), BZIP2)


def _nifti_pair(path: Path) -> Header:
    with path.open("rb") as stream:
        block = stream.read(NIFTI_BYTES)
    if NIFTI_BYTES in _lengths(block) and block[344:347] == bytes(3):
        raise WrongHeaderError(
            "is an Analyze header, which does not tell left from right; convert it to .nii.gz from the scanner's files"
        )
    return replace(_nifti_header(block, None, 0), voxels=path.with_suffix(".img").name)


def _lengths(block: bytes) -> tuple[int, int]:
    """What a NIfTI file says that its header is long, in bytes, little and big endian."""
    return int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")


def _packed_nifti(path: Path) -> Header:
    with path.open("rb") as stream:
        if stream.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
            raise WrongHeaderError(
                "not readable as a medical image (no gzip, by its first bytes); if it is not compressed, name it .nii"
            )
        stream.seek(0)
        return _nifti_header(first_unpacked(stream, NIFTI_BYTES), GZIP)


def _nifti_header(block: bytes, packed: int | None, low: int = NIFTI_BYTES + 4) -> Header:
    """Of a NIfTI file whose voxels begin at byte `low` or after it."""
    # Half of the time that importing this module would take
    from nibabel.nifti1 import data_type_codes, header_dtype

    little, big = _lengths(block)
    if NIFTI_2_BYTES in (little, big):
        raise WrongHeaderError("is a NIfTI-2 file, which is not read; save it as NIfTI-1")
    if NIFTI_BYTES not in (little, big) or len(block) < NIFTI_BYTES:
        raise WrongHeaderError(f"not readable as a medical image (no NIfTI, by its first bytes); {EXPORT_AGAIN}")
    fields = np.frombuffer(block, header_dtype.newbyteorder("<" if little == NIFTI_BYTES else ">"), 1)[0]
    # Home-made writers put a pair's magic into a single file, which ITK and nibabel read as one
    if fields["magic"] not in (NIFTI_MAGIC, NIFTI_PAIR_MAGIC):
        magic = bytes(fields["magic"])
        raise WrongHeaderError(f"not readable as a medical image (no NIfTI, by its magic {magic!r}); {EXPORT_AGAIN}")
    code = int(fields["datatype"])
    # A number of less than a byte has no count of bytes
    kinds: Any = data_type_codes.dtype
    voxel_bytes = kinds[code].itemsize if code in kinds else 0
    if not voxel_bytes:
        raise WrongHeaderError(f"has voxels of the data type {code}, which is none of NIfTI's; {EXPORT_AGAIN}")
    _check_nifti_numbers(fields)
    dimension = int(fields["dim"][0])
    # 0 is no place in a single file: the first possible one is meant
    first_byte, high = float(fields["vox_offset"]) or float(low), NIFTI_BYTES + HEADER_BYTES
    if not low <= first_byte <= high:
        raise WrongHeaderError(f"its voxels begin at byte {first_byte:g}, expected {low} to {high}; {EXPORT_AGAIN}")
    size = tuple(int(count) for count in fields["dim"][1 : dimension + 1])
    return Header(size, voxel_bytes, int(first_byte), packed, NIFTI_IO)


def _check_nifti_numbers(fields: Any) -> None:
    dimension = int(fields["dim"][0])
    if not 1 <= dimension <= 7:
        raise WrongHeaderError(f"has {dimension} dimensions, expected 3; {EXPORT_AGAIN}")
    placed: dict[str, Any] = {"spacing": fields["pixdim"][1 : min(dimension, 3) + 1]}
    if fields["qform_code"] > 0:
        names = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
        placed["qform"] = [fields[name] for name in names]
    if fields["sform_code"] > 0:
        placed["sform"] = [*fields["srow_x"], *fields["srow_y"], *fields["srow_z"]]
    for name, numbers in placed.items():
        _check_finite(name, numbers)
    if not all(placed["spacing"]):
        raise WrongHeaderError(
            f"has spacing {_numbers(placed['spacing'])}, expected millimetres above 0; {EXPORT_AGAIN}"
        )
    # Not a number means none, as in nibabel and NIfTI's own library, which would take infinity for none too
    scaling = [float(fields[name]) for name in ("scl_slope", "scl_inter")]
    if any(map(math.isinf, scaling)):
        raise WrongHeaderError(f"has slope and intercept {_numbers(scaling)}, expected finite numbers; {EXPORT_AGAIN}")


def _check_finite(name: str, numbers: Sequence[float]) -> None:
    if not np.isfinite(np.asarray(numbers, dtype=np.float64)).all():
        raise WrongHeaderError(f"has {name} {_numbers(numbers)}, expected finite numbers; {EXPORT_AGAIN}")


def _numbers(numbers: Sequence[float]) -> str:
    return " ".join(f"{float(number):g}" for number in numbers)


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEADER_BYTES)


def _text(header: bytes, kind: str) -> list[str]:
    """The lines of a header; wrong where it holds what is no text."""
    text = header.decode("latin-1").replace("\r\n", "\n")
    # SimpleITK may take a lone carriage return for the end of a line
    if any(character < " " and character not in "\t\n" for character in text):
        raise WrongHeaderError(f"has a header that is no text; expected that of a {kind} file; {EXPORT_AGAIN}")
    return text.split("\n")


def _meta(path: Path) -> Header:
    head = _head(path)
    last = head.find(b"ElementDataFile")
    end = head.find(b"\n", last)
    if last < 0 or end < 0:
        raise WrongHeaderError(f"not readable as a medical image (no MetaImage, by its first bytes); {EXPORT_AGAIN}")
    fields: dict[str, str] = {}
    for line in _text(head[:end], "MetaImage"):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or key in fields or len(line) > 4096:
            raise WrongHeaderError(
                f"has the line {line[:60]!r} in its header, expected one `key = value` a key; {EXPORT_AGAIN}"
            )
        fields[key] = value
    _check_meta_is_whole(fields)
    axes = _count(fields.get("NDims"), "NDims", 2, 4)
    size = tuple(_counts(fields.get("DimSize"), "DimSize", axes))
    for names, length in ((META_NUMBERS, axes), (META_MATRICES, axes * axes)):
        for name in names:
            if name in fields:
                _floats(fields[name], name, length)
    kind = fields.get("ElementType", "")
    if kind not in META_TYPES:
        raise WrongHeaderError(
            f"has ElementType {kind[:40]!r}, expected one of {', '.join(META_TYPES)}; {EXPORT_AGAIN}"
        )
    channels = _count(fields.get("ElementNumberOfChannels", "1"), "ElementNumberOfChannels", 1, 1024)
    packed = ZLIB_OR_GZIP if fields.get("CompressedData", "False").lower() == "true" else None
    where = fields.get("ElementDataFile", "")
    beside, begin = ("", end + 1) if where == "LOCAL" else (_beside(path, where), 0)
    if "CompressedDataSize" in fields:
        most = (path.with_name(beside) if beside else path).stat().st_size - begin
        _count(fields["CompressedDataSize"], "CompressedDataSize", 0, most)
    return Header((*size, *[channels] * (channels > 1)), META_TYPES[kind], begin, packed, META_IO, beside)


def _beside(path: Path, name: str) -> str:
    """The name of the file that voxels lie in; wrong where it is none in the folder of the header.

    A header could name any file of a machine, or a pattern or list of many.
    """
    if not name or name in (".", "..", "LIST") or set(name) & set("/\\%*? \t"):
        raise WrongHeaderError(
            f"takes its voxels from another file, {name[:60]!r}, expected a file beside it, without spaces in its "
            "name; save both as one"
        )
    if not path.with_name(name).is_file():
        raise WrongHeaderError(
            f"takes its voxels from another file, {name[:60]!r}, which is not beside it; {COPY_BOTH}"
        )
    return name


def _check_meta_is_whole(fields: dict[str, str]) -> None:
    """Wrong where the voxels are not bytes from the first one after the header on."""
    wanted = {"ObjectType": ("Image",), "BinaryData": ("true",), "HeaderSize": ("0",)}
    for name, values in wanted.items():
        # Without the first two it would be no image, and its voxels text
        value = fields.get(name, values[0] if name == "HeaderSize" else "")
        if value not in values and value.lower() not in values:
            raise WrongHeaderError(f"has {name} {value[:40]!r} in its header, expected {values[0]}; {EXPORT_AGAIN}")


def _count(text: str | None, name: str, low: int, high: int) -> int:
    if text is None or not re.fullmatch(r"\d{1,18}", text) or not low <= int(text) <= high:
        raise WrongHeaderError(
            f"has {name} {(text or 'nowhere')[:40]!r} in its header, expected {low} to {high}; {EXPORT_AGAIN}"
        )
    return int(text)


def _counts(text: str | None, name: str, length: int) -> list[int]:
    """Whole numbers, none of them negative."""
    words = (text or "").split()
    if len(words) != length or not all(re.fullmatch(r"\d{1,18}", word) for word in words):
        raise WrongHeaderError(
            f"has {name} {(text or '')[:60]!r} in its header, expected {length} counts; {EXPORT_AGAIN}"
        )
    return [int(word) for word in words]


def _floats(text: str, name: str, length: int) -> list[float]:
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != length:
        raise WrongHeaderError(f"has {name} {text[:60]!r} in its header, expected {length} numbers; {EXPORT_AGAIN}")
    _check_finite(name, numbers)
    return numbers


def _nrrd(path: Path) -> Header:
    head = _head(path)
    if detached := path.name.lower().endswith(".nhdr"):
        # Nothing follows it, so its last line need not be an empty one
        head += b"\n\n"
    ends = [(place, len(mark)) for mark in (b"\n\n", b"\n\r\n") if (place := head.find(mark)) >= 0]
    if not head.startswith(b"NRRD000") or not ends:
        raise WrongHeaderError(f"not readable as a medical image (no NRRD, by its first bytes); {EXPORT_AGAIN}")
    end, mark = min(ends)
    fields: dict[str, str] = {}
    for line in _text(head[:end], "NRRD")[1:]:
        if line.startswith("#") or ":=" in line.partition(": ")[0]:
            continue
        key, colon, value = line.partition(": ")
        if not colon or len(line) > LINE_CHARACTERS:
            raise WrongHeaderError(f"has the line {line[:60]!r} in its header, expected `field: value`; {EXPORT_AGAIN}")
        fields[key.strip().lower()] = value.strip()
    _check_nrrd_is_whole(fields)
    axes = _count(fields.get("dimension"), "dimension", 1, 5)
    size = tuple(_counts(fields.get("sizes"), "sizes", axes))
    for name in ("spacings", "thicknesses"):
        # Of an axis of colours there is none
        words = [word for word in fields.get(name, "").split() if word.lower() != "nan" or axes > 3]
        _floats(" ".join(words), name, len(words))
        if name == "spacings" and any(float(word) == 0 for word in words):
            raise WrongHeaderError(f"has spacings {fields[name][:60]!r}, expected millimetres above 0; {EXPORT_AGAIN}")
    for name in ("space directions", "space origin"):
        numbers = re.sub(r"[(),]|none", " ", fields.get(name, ""))
        _floats(numbers, name, len(numbers.split()))
    kind = fields.get("type", "")
    if kind not in NRRD_BYTES:
        raise WrongHeaderError(f"has voxels of the type {kind[:40]!r}, expected a number's; {EXPORT_AGAIN}")
    packed = None if fields["encoding"] == "raw" else ZLIB_OR_GZIP
    where = next((fields[name] for name in ("data file", "datafile") if name in fields), "" if detached else None)
    beside, begin = ("", end + mark) if where is None else (_beside(path, where), 0)
    return Header(size, NRRD_BYTES[kind], begin, packed, NRRD_IO, beside)


def _check_nrrd_is_whole(fields: dict[str, str]) -> None:
    """Wrong where the voxels are not bytes or gzip from the first byte after the header on."""
    for name in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(name, "0") != "0":
            raise WrongHeaderError(f"has {name} {fields[name][:40]!r} in its header, expected none; {EXPORT_AGAIN}")
    encoding = fields["encoding"] = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gz", "gzip"):
        raise WrongHeaderError(f"has the encoding {encoding[:40]!r}, expected raw or gzip; {EXPORT_AGAIN}")


def _png(path: Path) -> Header:
    head = _head(path)[:26]
    if head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR" or len(head) < 26 or head[25] not in PNG_CHANNELS:
        raise WrongHeaderError("not readable as a medical image (no PNG, by its first bytes); save the picture again")
    width, height = (int.from_bytes(head[place : place + 4], "big") for place in (16, 20))
    return Header((width, height, PNG_CHANNELS[head[25]]), max(1, head[24] // 8), 0, None, PNG_IO)


NIFTI_IO, META_IO, NRRD_IO, PNG_IO = "NiftiImageIO", "MetaImageIO", "NrrdImageIO", "PNGImageIO"
# Headers whose voxels lie in a file beside them
TWO_FILES = (".hdr", ".mhd", ".nhdr")
READERS: dict[str, Callable[[Path], Header]] = {
    ".nii.gz": _packed_nifti,
    ".nii.bz2": _bzipped_nifti,
    ".nii": _nifti,
    ".hdr": _nifti_pair,
    ".mha": _meta,
    ".mhd": _meta,
    ".nrrd": _nrrd,
    ".nhdr": _nrrd,
    ".png": _png,
}
