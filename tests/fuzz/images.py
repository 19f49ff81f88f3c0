"""Damaged image files: a small chest in each format, and what can go wrong with it, drawn from a seed."""

from __future__ import annotations

import bz2
import gzip
import re
import struct
import tempfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk
from nibabel.nifti1 import header_dtype
from nibabel.nifti2 import header_dtype as header_dtype_2

SIZE, SPACING_MM = (20, 18, 10), (1.2, 1.5, 3.0)
INTEGERS = (0, -1, 1, 2, 7, 255, 512, 32767, -32768, 2**31 - 1, -(2**31), 2**63 - 1)
NUMBERS = (0.0, -1.0, np.nan, np.inf, -np.inf, 1e-30, 1e30, 1e6, -1e6, 1e308, 353.5)
WORDS = (
    "", "0", "-1", "nan", "inf", "-inf", "1e-30", "1e30", "1e999", "99999999999999999999", "0x10", "3.5", "/etc/passwd",
    "LIST", "a%03d.raw 1 9 1", "\x00",
    "\x7f\xff", "x" * 5000, "raw", "gzip", "bzip2", "ascii", "True", "False", "block",
    "MET_OTHER", "double", "none", "(1,0,0) (0,1,0)", "(nan,0,0) (0,1,0) (0,0,1)", "(0,0,0) (0,0,0) (0,0,0)",
    "1 1 1 1 1 1 1 1 1", "0 0 0", "nan nan nan", "1e-30 1 1", "1e6 1e6 1e6",
    "65535 65535 65535", "-5 4 4", "20 18 10 1",
    "20 18",
)  # fmt: skip
ADDED = (
    "ElementDataFile = /etc/passwd", "ElementDataFile = LIST", "HeaderSize = -1", "data file: /etc/passwd",
    "data file: LIST", "datafile: a%03d.raw 1 9 1", "byte skip: -1", "line skip: 99999999",
    "NDims = 99", "dimension: 17",
    "encoding: hex", "# a comment", "a:=b", "CompressedDataSize = 99999999999", "ElementNumberOfChannels = 100000",
    "\r", "", "x" * 70000,
)  # fmt: skip


def voxels(kind: type = np.int16) -> np.ndarray:
    """A body in air with two lungs, in Hounsfield units, axes (x, y, z)."""
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, count) for count in SIZE), indexing="ij")
    found = np.full(SIZE, -1000.0)
    found[x**2 + y**2 < 0.9] = 40
    found[((abs(x) - 0.45) / 0.3) ** 2 + (y / 0.6) ** 2 < 1] = -850
    return (found + np.random.default_rng(0).normal(0, 20, SIZE)).astype(kind)


@cache
def sound(kind: str) -> bytes:
    """An undamaged file: `nifti1`, `nifti2`, `scaled`, `mha`, `packed.mha`, `nrrd`, `packed.nrrd` or `png`."""
    with tempfile.TemporaryDirectory() as folder:
        if kind in ("nifti1", "nifti2", "scaled"):
            file = Path(folder) / "a.nii"
            make = nibabel.Nifti2Image if kind == "nifti2" else nibabel.Nifti1Image
            image = make(voxels(np.float32 if kind == "nifti2" else np.int16), np.diag((*SPACING_MM, 1)))
            if kind == "scaled":
                image.header.set_slope_inter(2, -10)
            nibabel.save(image, file)
        else:
            file = Path(folder) / f"a.{kind.rpartition('.')[2]}"
            image = sitk.GetImageFromArray(voxels().transpose(2, 1, 0))
            image.SetSpacing(SPACING_MM)
            if kind == "png":
                image = sitk.Cast(sitk.RescaleIntensity(image[:, :, 5]), sitk.sitkUInt8)
            sitk.WriteImage(image, str(file), kind.startswith("packed"))
        return file.read_bytes()


def damaged_image(generator: np.random.Generator) -> tuple[str, bytes]:
    """The suffix and the content of a damaged file."""
    kind = str(generator.choice(["nifti1", "nifti2", "scaled", "mha", "packed.mha", "nrrd", "packed.nrrd", "png"]))
    content = sound(kind)
    if kind in ("nifti1", "nifti2", "scaled"):
        if generator.random() < 0.6:
            content = with_other_fields(content, header_dtype_2 if kind == "nifti2" else header_dtype, generator)
        return damaged_nifti(content, generator)
    if kind == "png":
        content = with_other_png_header(content, generator) if generator.random() < 0.3 else content
        return ".png", damaged_bytes(content, 60, generator)
    header_bytes = content.index(b"LOCAL\n") + 6 if kind.endswith("mha") else content.index(b"\n\n") + 2
    if generator.random() < 0.6:
        content = with_other_lines(content, header_bytes, generator)
        if generator.random() < 0.7:
            return f".{kind.rpartition('.')[2]}", content
    return f".{kind.rpartition('.')[2]}", damaged_bytes(content, header_bytes, generator)


def damaged_pair(generator: np.random.Generator) -> dict[str, bytes]:
    """Name -> content of the files of a scan whose voxels lie beside its header, or that bzip2 packed."""
    kind = str(generator.choice(["nifti1", "bzip2", "mha", "packed.mha", "nrrd", "packed.nrrd"]))
    content = sound("nifti1" if kind == "bzip2" else kind)
    if kind == "bzip2":
        if generator.random() < 0.5:
            return {"a.nii.bz2": damaged_bytes(bz2.compress(content), 100, generator)}
        return {"a.nii.bz2": bz2.compress(damaged_bytes(content, 352, generator))}
    if kind == "nifti1":
        names, begin = ("a.hdr", "a.img"), 352
        header = content[:108] + bytes(4) + content[112:344] + b"ni1\0" + bytes(4)
    elif kind.endswith("mha"):
        names, begin = ("a.mhd", "a.raw"), content.index(b"LOCAL\n") + 6
        header = content[:begin].replace(b"LOCAL", b"a.raw")
    else:
        names, begin = ("a.nhdr", "a.raw"), content.index(b"\n\n") + 2
        header = content[: begin - 1] + b"data file: a.raw\n"
    voxels_there = content[begin:]
    if generator.random() < 0.4 and kind != "nifti1":
        header = with_other_lines(header, len(header), generator)
    elif generator.random() < 0.5:
        header = damaged_bytes(header, len(header), generator)
    if generator.random() < 0.4:
        voxels_there = damaged_bytes(voxels_there, 100, generator)
    parts = dict(zip(names, (header, voxels_there), strict=True))
    return {names[0]: header} if generator.random() < 0.05 else parts


def damaged_nifti(content: bytes, generator: np.random.Generator) -> tuple[str, bytes]:
    """A NIfTI file as it is, packed, damaged, or damaged after it was packed."""
    choice = int(generator.integers(6))
    if choice == 0:
        return ".nii", content
    if choice == 1:
        return ".nii", damaged_bytes(content, 544, generator)
    if choice == 2:
        return ".nii.gz", gzip.compress(content, 1)
    if choice == 3:
        return ".nii.gz", gzip.compress(damaged_bytes(content, 544, generator), 1)
    if choice == 4:
        return ".nii.gz", damaged_bytes(gzip.compress(content, 1), 20, generator)
    parts = [gzip.compress(content[:400]), gzip.compress(content[400:]), gzip.compress(bytes(3 << 20)), b"\0" * 999]
    return ".nii.gz", b"".join(parts[: int(generator.integers(1, 5))])


def damaged_bytes(content: bytes, header_bytes: int, generator: np.random.Generator) -> bytes:
    """Flipped bits, mostly of the header, a cut or a longer end, swapped, zeroed or repeated bytes."""
    damaged, choice = bytearray(content), int(generator.integers(7))
    last = header_bytes if generator.random() < 0.7 else len(content)
    first, second = sorted(int(place) for place in generator.integers(0, min(last, len(content)), 2))
    if choice in (0, 1):
        for _ in range(int(generator.integers(1, 9))):
            damaged[int(generator.integers(0, min(last, len(content))))] ^= 1 << int(generator.integers(8))
    elif choice == 2:
        del damaged[int(generator.integers(0, len(content))) :]
    elif choice == 3:
        damaged += generator.bytes(int(generator.choice([1, 100, 5000, 3 << 20])))
    elif choice == 4:
        damaged[first], damaged[second] = damaged[second], damaged[first]
    elif choice == 5:
        damaged[first:second] = bytes(second - first)
    else:
        damaged[first:first] = damaged[first:second]
    return bytes(damaged)


def with_other_fields(content: bytes, layout: Any, generator: np.random.Generator) -> bytes:
    """One to three fields of a NIfTI header with a number that is out of the ordinary."""
    header = np.frombuffer(content[: layout.itemsize], layout).copy()
    for name in generator.choice(
        [name for name in layout.names if layout[name].base.kind != "S"], generator.integers(1, 4)
    ):
        kind = layout[name].base
        values: Any = NUMBERS if kind.kind == "f" else INTEGERS
        value = values[int(generator.integers(len(values)))]
        with np.errstate(over="ignore"):
            number = np.array(value).astype(kind) if kind.kind == "f" else np.array(value, np.int64).astype(kind)
        place = int(generator.integers(layout[name].shape[0])) if layout[name].shape else None
        if place is None:
            header[name] = number
        else:
            header[name][0, place] = number
    return header.tobytes() + content[layout.itemsize :]


def with_other_lines(content: bytes, header_bytes: int, generator: np.random.Generator) -> bytes:
    """A text header with another value, or a line more, less, twice or elsewhere."""
    lines = content[:header_bytes].decode("latin-1").split("\n")
    for _ in range(int(generator.integers(1, 3))):
        place = int(generator.integers(0, len(lines)))
        choice = int(generator.integers(6))
        word = WORDS[int(generator.integers(len(WORDS)))]
        if choice <= 2:
            lines[place] = re.sub(r"(= |: ).*", lambda found, word=word: found[1] + word, lines[place])
        elif choice == 3:
            lines.insert(place, ADDED[int(generator.integers(len(ADDED)))])
        elif choice == 4 and len(lines) > 1:
            del lines[place]
        else:
            lines.insert(place, lines[int(generator.integers(len(lines)))])
    return "\n".join(lines).encode("latin-1") + content[header_bytes:]


def with_other_png_header(content: bytes, generator: np.random.Generator) -> bytes:
    """A PNG of another size, depth or colour type, whose checksum fits."""
    header = bytearray(content[12:29])
    place = int(generator.integers(4, 17))
    header[place] = int(generator.integers(256))
    return content[:12] + bytes(header) + struct.pack(">I", zlib.crc32(header)) + content[33:]
