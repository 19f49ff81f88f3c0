"""Reading scans and label maps with SimpleITK."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.core.errors import InputError, breaks_lines
from pipeline.core.labels import CODE_OF, IGNORE, INFECTION
from pipeline.scans.geometry import SLICE_MM, Geometry
from pipeline.scans.header import read_header, voxel_file
from pipeline.scans.header_formats import NIFTI_IO, PNG_IO, Header
from pipeline.scans.simpleitk import sitk
from pipeline.scans.unpacking import (
    BLOCK_BYTES,
    BZIP2,
    GZIP,
    ZLIB_OR_GZIP,
    all_unbzipped,
    check_packed,
    unbzipped,
    unpacked,
)

PNG = ".png"
# Of the names of temporary folders
SCRATCH = "pneumobundle-"
SUFFIXES = (".nii.gz", ".nii.bz2", ".nii", ".hdr", ".mha", ".mhd", ".nrrd", ".nhdr", PNG)
NIFTI_1_LITTLE_ENDIAN = (348).to_bytes(4, "little")
NIFTI_TYPES = {2: "u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 256: "i1", 512: "<u2", 768: "<u4"}
# Of a code in a label: programs that resample or store floats are off by this much
ROUNDING = 1e-3
# What a label whose codes were rounded tells: by how much, at most
ROUNDED = "rounded"
# SimpleITK (2.5) makes the reader of a format that it is told in a list of all: two threads at a time crash the process
FORMATS = threading.Lock()


def case_name(path: str | Path) -> str:
    """File name without its image suffix: `a/medseg_1.nii.gz` is case `medseg_1`."""
    name = Path(path).name
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def check_file(path: str | Path) -> None:
    """Raise InputError for what is no file, or has no name for one, before anything of it is opened."""
    name = Path(path).name
    if breaks_lines(name):
        raise InputError(f"{path}: has a line break or another character in its name that is none; rename it.")
    # A pipe or a device may never end; links count as what they lead to
    if not os.path.isfile(path):
        if os.path.lexists(path):
            raise InputError(f"{path}: is a folder, a link to nothing, a pipe or a device; give the file of a scan.")
        raise InputError(f"{path}: there is no such file; check the path.")


@contextmanager
def _opened(path: Path, header: Header, content: bytes | bytearray | None = None) -> Iterator[sitk.ImageFileReader]:
    """A reader of a file that has told its header; InputError for what SimpleITK says against it in the block.

    `content` is what was unpacked of it.
    """
    reader = sitk.ImageFileReader()
    # Not the one that likes the content best
    reader.SetImageIO(header.image_io)
    with _readable(path, header, content) as file:
        reader.SetFileName(str(file))
        try:
            with FORMATS:
                reader.ReadImageInformation()
            yield reader
        except RuntimeError as error:
            raise InputError(f"{path}: {_reason(error)}.") from error


@contextmanager
def _readable(path: Path, header: Header, content: bytes | bytearray | None) -> Iterator[Path]:
    """A file that SimpleITK can read: of one packed by bzip2 a temporary one, with its beginning without content."""
    if header.packed != BZIP2:
        yield path
        return
    with TemporaryDirectory(prefix=SCRATCH) as folder:
        plain = Path(folder) / "unpacked.nii"
        plain.write_bytes(unbzipped(path, header.first_byte) if content is None else content)
        yield plain


def _checked_content(path: Path, header: Header) -> bytes | bytearray | None:
    """What a file holds that is packed as a whole; InputError where it is damaged, or its packed voxels are."""
    needed = header.first_byte + header.needed_bytes
    if header.packed == GZIP:
        return unpacked(path, needed)
    if header.packed == BZIP2:
        return all_unbzipped(path, needed)
    if header.packed == ZLIB_OR_GZIP:
        # SimpleITK (2.5) gives other voxels for damaged ones, mostly without an error
        check_packed(path.with_name(header.voxels or path.name), header.first_byte, header.needed_bytes)
    return None


def read_geometry(path: str | Path) -> Geometry:
    """The grid of a scan from its header alone, which is checked as by `read_scan`."""
    check_file(path)
    with _opened(Path(path), read_header(Path(path))) as reader:
        return _geometry(reader, path)


def is_plain_nifti(path: Path) -> bool:
    """Whether a file is a .nii.gz of one volume that other programs read as `read_scan` does: a copy will do then."""
    header = read_header(path)
    if not path.name.lower().endswith(".nii.gz") or header.packed != GZIP:
        return False
    with _opened(path, header) as reader:
        plain = reader.GetDimension() == 3 and reader.GetNumberOfComponents() == 1
        return plain and not _is_misread(reader, header)


def _geometry(reader: sitk.ImageFileReader, path: str | Path) -> Geometry:
    _check_one_volume(reader.GetSize(), path)
    geometry = Geometry.of(reader)
    geometry.check_numbers(path)
    return geometry


def read_scan(path: str | Path) -> sitk.Image:
    """A three-dimensional scalar image, read to its last byte; a two-dimensional one becomes a volume of one slice.

    A PNG is read as grey where its colours are equal, and as a mask of the infection, 255 becoming code 3, where it
    holds 0 and 255 alone. Raises InputError for an unreadable, damaged or truncated file, for one that promises more
    than it holds or than memory, for colour, for other than two or three dimensions, and for numbers of its grid that
    no scanner gives (see `pipeline.scans.geometry`).
    """
    check_file(path)
    header = read_header(Path(path))
    content = _checked_content(Path(path), header)
    with _opened(Path(path), header, content) as reader:
        image = _of_nifti(reader, header, content, Path(path)) if header.image_io == NIFTI_IO else None
        if image is None:
            with FORMATS:
                image = reader.Execute()
    scan = as_volume(_as_grey(image, path) if header.image_io == PNG_IO else image, path)
    Geometry.of(scan).check_numbers(path)
    return scan


def read_label(path: str | Path, codes: Mapping[str, str] | None = None) -> sitk.Image:
    """A label map as `read_scan` reads it; codes that are off by rounding, of a file of floats, are whole numbers.

    `codes` are those of the file, by what they mean: names of `pipeline.core.labels.CODE_OF`, whose codes they become,
    uint8. 0 is background and 255 to be ignored where they do not say otherwise. Raises InputError for any other code.
    """
    label = read_scan(path)
    voxels = sitk.GetArrayViewFromImage(label)
    off = _rounding(voxels) if voxels.dtype.kind == "f" else 0.0
    rounded = 0 < off <= ROUNDING
    if not rounded and codes is None:
        return label
    whole = np.rint(voxels) if rounded else voxels
    read = sitk.GetImageFromArray(whole if codes is None else _own_codes(whole, codes, path))
    read.CopyInformation(label)
    if rounded:
        read.SetMetaData(ROUNDED, f"{off:.1g}")
    return read


def _own_codes(voxels: np.ndarray, codes: Mapping[str, str], path: str | Path) -> np.ndarray:
    """The project's codes, uint8, of a file that has others."""
    own, known = np.zeros(voxels.shape, np.uint8), np.zeros(voxels.shape, bool)
    for code, name in {"0": "background", str(IGNORE): "ignore", **codes}.items():
        here = voxels == int(code)
        own[here] = CODE_OF[name]
        known |= here
    if not known.all():
        raise InputError(
            f"{path}: holds the code {voxels[~known][0]:g}, which codes in manifest.json does not name; name it there, "
            "or relabel it."
        )
    return own


def _rounding(codes: np.ndarray) -> float:
    """How far from whole numbers codes are, at most; infinity where one is no number."""
    off = float(np.abs(codes - np.rint(codes)).max(initial=0.0))
    return off if math.isfinite(off) else math.inf


def _of_nifti(
    reader: sitk.ImageFileReader, header: Header, content: bytes | bytearray | None, path: Path
) -> sitk.Image | None:
    """A NIfTI file's image, read here; None for one that SimpleITK is to read."""
    misread = _is_misread(reader, header)
    if content is None and misread and not header.voxels:
        content = path.read_bytes()
    image = None if content is None else _of_plain_nifti(reader, header, content)
    if image is None and misread:
        raise InputError(
            f"{path}: has slope 0 with an intercept, or voxels that begin at byte 0, which programs read "
            "differently; save it again as a plain NIfTI of 16-bit numbers."
        )
    return image


def as_volume(image: sitk.Image, path: str | Path) -> sitk.Image:
    """A volume as it is, a slice as a volume of one; InputError for anything else."""
    _check_one_volume(image.GetSize(), path)
    if image.GetNumberOfComponentsPerPixel() == 1:
        if image.GetDimension() > 3:
            return sitk.Extract(image, (*image.GetSize()[:3], *(0,) * (image.GetDimension() - 3)))
        if image.GetDimension() == 3:
            return image
        if image.GetDimension() == 2:
            return sitk.JoinSeries([image], 0.0, SLICE_MM)
    shape, colours = image.GetSize(), image.GetNumberOfComponentsPerPixel()
    raise InputError(
        f"{path}: has size {shape} and {colours} value(s) a voxel; expected one three-dimensional scan with one "
        "value a voxel; split it into single volumes."
    )


def _check_one_volume(size: Sequence[int], path: str | Path) -> None:
    """InputError for a file of several volumes; axes of length 1 beyond the third are none."""
    if (volumes := math.prod(size[3:])) > 1:
        raise InputError(f"{path}: holds {volumes} volumes of {size[:3]} voxels; expected one; split it.")


def _as_grey(image: sitk.Image, path: str | Path) -> sitk.Image:
    """The grey of a PNG without its transparency, 255 as the infection's code in a mask; InputError for colour."""
    pixels = sitk.GetArrayFromImage(image)
    if pixels.ndim == 3:
        # Red, green, blue and perhaps alpha; SimpleITK (2.5) does not read grey with alpha
        colours = pixels[..., :3]
        if (colours != colours[..., :1]).any():
            raise InputError(f"{path}: is a colour image; expected grey; save it as 8-bit grey.")
        pixels = colours[..., 0]
    if set(np.unique(pixels)) == {0, 255}:
        pixels = np.where(pixels == 255, INFECTION, 0).astype(np.uint8)
    grey = sitk.GetImageFromArray(np.ascontiguousarray(pixels))
    grey.CopyInformation(image)
    return grey


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes; of a header and its voxels where these lie in a file beside it."""
    digest = hashlib.sha256()
    for file in files_of(path):
        with file.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def files_of(path: str | Path) -> tuple[Path, ...]:
    """The file itself, and the one beside it that its voxels lie in, where it is a header alone."""
    file = Path(path)
    voxels = voxel_file(file)
    return (file, voxels) if voxels else (file,)


def files_there(path: str | Path) -> tuple[Path, ...]:
    """As `files_of`; the file alone where its header is wrong, for whoever reads it to say so."""
    try:
        return files_of(path)
    except InputError:
        return (Path(path),)


def _is_misread(reader: sitk.ImageFileReader, header: Header) -> bool:
    """Whether SimpleITK (2.5) would give other numbers: it applies the intercept of a slope of 0, or begins early."""
    slope, intercept, begin = (float(reader.GetMetaData(key)) for key in ("scl_slope", "scl_inter", "vox_offset"))
    return (slope == 0 and intercept != 0) or begin != header.first_byte


def _of_plain_nifti(reader: sitk.ImageFileReader, header: Header, content: bytes | bytearray) -> sitk.Image | None:
    """The image of an unpacked NIfTI volume, which is not unpacked twice; None for one that only SimpleITK can read."""
    if content[:4] != NIFTI_1_LITTLE_ENDIAN or reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
        return None
    dtype = NIFTI_TYPES.get(int(reader.GetMetaData("datatype")))
    slope, intercept = (float(reader.GetMetaData(key)) for key in ("scl_slope", "scl_inter"))
    # A slope of 0 means that nothing is scaled, whatever the intercept
    if dtype is None or slope not in (0, 1) or (slope == 1 and intercept != 0):
        return None
    size = reader.GetSize()
    voxels = np.frombuffer(content, dtype, math.prod(size), header.first_byte)
    image = sitk.GetImageFromArray(voxels.reshape(size[::-1]))
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    return image


def _reason(error: RuntimeError) -> str:
    """What to tell of SimpleITK's message, whose last line says what happened."""
    if "orthonormal" in str(error):
        return (
            "its directions are not at right angles, so it cannot be placed; a gantry tilt has to be resampled when "
            "the DICOM series is converted, and rounding is mended by make check-data DATA=folder REPAIR=new_folder"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1].rstrip(".") if lines else "unknown reason"
    return f"not readable as a medical image ({reason}); copy it again"
