"""Reading scans and label maps with SimpleITK, and telling what their numbers mean."""

from __future__ import annotations

import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils import optional_import

from pipeline.errors import InputError
from pipeline.labels import INFECTION
from pipeline.simpleitk import sitk

HOUNSFIELD, GREY_255 = "hu", "grey255"
BLOCK_BYTES = 1 << 20
PNG = ".png"
SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd", PNG)
# Intel's library unpacks in a third of the time where it is installed (the extra `isal`)
isal_zlib, has_isal = optional_import("isal.isal_zlib")
inflate: Any = isal_zlib if has_isal else zlib
# zlib's number for a gzip header and checksum
GZIP = 31
NIFTI_1_LITTLE_ENDIAN = (348).to_bytes(4, "little")
NIFTI_TYPES = {2: "u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 256: "i1", 512: "<u2", 768: "<u4"}
# A two-dimensional image becomes a volume of one slice, of this thickness.
SLICE_MM = 1.0


def case_name(path: str | Path) -> str:
    """File name without its image suffix: `a/medseg_1.nii.gz` is case `medseg_1`."""
    name = Path(path).name
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


@dataclass(frozen=True)
class Geometry:
    """Where a voxel grid lies in the patient: sizes in voxels (x, y, z), millimetres, LPS coordinates."""

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image | sitk.ImageFileReader) -> Geometry:
        """The grid of an image; that of a two-dimensional one as the single slice that `read_scan` makes of it."""
        size, spacing_mm, origin_mm = image.GetSize(), image.GetSpacing(), image.GetOrigin()
        if image.GetDimension() != 2:
            return cls(size, spacing_mm, origin_mm, image.GetDirection())
        (xx, xy, yx, yy) = image.GetDirection()
        direction = (xx, xy, 0.0, yx, yy, 0.0, 0.0, 0.0, 1.0)
        return cls((*size, 1), (*spacing_mm, SLICE_MM), (*origin_mm, 0.0), direction)

    def empty_image(self) -> sitk.Image:
        """A zero image on this grid, uint8."""
        image = sitk.Image(self.size, sitk.sitkUInt8)
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.direction)
        return image

    def differences(self, other: Geometry, tolerance_mm: float = 1e-2) -> list[str]:
        """What differs from another grid, in words; origins and spacings within `tolerance_mm` count as equal."""
        found = []
        if self.size != other.size:
            found.append(f"size {self.size} against {other.size}")
        for name, mine, theirs, tolerance in (
            ("spacing", self.spacing_mm, other.spacing_mm, tolerance_mm),
            ("origin", self.origin_mm, other.origin_mm, tolerance_mm),
            ("direction", self.direction, other.direction, 1e-3),
        ):
            if len(mine) != len(theirs) or not np.allclose(mine, theirs, rtol=0, atol=tolerance):
                found.append(f"{name} {_rounded(mine)} against {_rounded(theirs)}")
        return found


def _rounded(numbers: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(float(number), 4) for number in numbers)


def _reader(path: str | Path) -> sitk.ImageFileReader:
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file; check the path.")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    return reader


def read_geometry(path: str | Path) -> Geometry:
    """The grid of a scan from its header alone."""
    reader = _reader(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path}: not readable as a medical image ({_reason(error)}); copy it again.") from error
    return Geometry.of(reader)


def read_scan(path: str | Path) -> sitk.Image:
    """A three-dimensional scalar image, read to its last byte; a two-dimensional one becomes a volume of one slice.

    A PNG is read as grey where its colours are equal, and as a mask of the infection, 255 becoming code 3, where it
    holds 0 and 255 alone. Raises InputError for an unreadable, damaged or truncated file, for colour, and for other
    than two or three dimensions.
    """
    reader = _reader(path)
    unpacked = _unpacked(Path(path))
    try:
        reader.ReadImageInformation()
        image = reader.Execute() if unpacked is None else _of_plain_nifti(reader, path, unpacked) or reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{path}: not readable as a medical image ({_reason(error)}); copy it again.") from error
    scan = _as_volume(_as_grey(image, path) if str(path).lower().endswith(PNG) else image, path)
    # Joining slices drops the header, which tells the length
    _check_length(path, reader, Path(path).stat().st_size if unpacked is None else len(unpacked))
    _check_compressed_voxels(Path(path))
    return scan


def _as_volume(image: sitk.Image, path: str | Path) -> sitk.Image:
    """A volume as it is, a slice as a volume of one; InputError for anything else."""
    if image.GetNumberOfComponentsPerPixel() == 1:
        if image.GetDimension() == 3:
            return image
        if image.GetDimension() == 2:
            return sitk.JoinSeries([image], 0.0, SLICE_MM)
    shape, colours = image.GetSize(), image.GetNumberOfComponentsPerPixel()
    raise InputError(
        f"{path}: has size {shape} and {colours} value(s) a voxel; expected one three-dimensional scan with one "
        "value a voxel; split it into single volumes."
    )


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
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _unpacked(path: Path) -> bytearray | None:
    """What a .gz file holds, its checksum checked; None for other files."""
    if path.suffix.lower() != ".gz":
        return None
    content = bytearray()
    inflater = inflate.decompressobj(wbits=GZIP)
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                # After the end of what was one file, another one may follow, or zeros that fill it up
                while block := block.lstrip(b"\0") if inflater.eof else block:
                    if inflater.eof:
                        inflater = inflate.decompressobj(wbits=GZIP)
                    content += inflater.decompress(block)
                    block = inflater.unused_data
    except (OSError, inflate.error) as error:
        raise InputError(f"{path}: damaged or not readable to its end ({error}); copy it again.") from error
    if not inflater.eof:
        raise InputError(f"{path}: damaged or not readable to its end (it ends early); copy it again.")
    return content


def _of_plain_nifti(reader: sitk.ImageFileReader, path: str | Path, unpacked: bytearray) -> sitk.Image | None:
    """The image of an unpacked NIfTI volume, which is not unpacked twice; None for one that only SimpleITK can read."""
    if unpacked[:4] != NIFTI_1_LITTLE_ENDIAN or reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
        return None
    dtype = NIFTI_TYPES.get(int(reader.GetMetaData("datatype")))
    slope, intercept = (float(reader.GetMetaData(key)) for key in ("scl_slope", "scl_inter"))
    # A slope of 0 means none
    if dtype is None or slope not in (0, 1) or intercept != 0:
        return None
    _check_length(path, reader, len(unpacked))
    first, size = int(float(reader.GetMetaData("vox_offset"))), reader.GetSize()
    voxels = np.frombuffer(unpacked, dtype, math.prod(size), first)
    image = sitk.GetImageFromArray(voxels.reshape(size[::-1]))
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    return image


def _check_length(path: str | Path, reader: sitk.ImageFileReader, unpacked_bytes: int) -> None:
    """SimpleITK (2.5) reads a NIfTI file that ends early without a word; its header tells how long it should be."""
    if not reader.HasMetaDataKey("vox_offset"):
        return
    voxel_bytes = math.prod(reader.GetSize()) * int(reader.GetMetaData("bitpix")) // 8
    needed = int(float(reader.GetMetaData("vox_offset"))) + voxel_bytes
    if unpacked_bytes < needed:
        raise InputError(f"{path}: ends after {unpacked_bytes} of {needed} bytes; copy it again.")


def _check_compressed_voxels(path: Path) -> None:
    """SimpleITK (2.5) gives other voxels for a damaged compressed .mha or .nrrd, mostly without an error."""
    ends = {".mha": (b"ElementDataFile = LOCAL\n", b"CompressedData = True"), ".nrrd": (b"\n\n", b"encoding: gz")}
    if path.suffix.lower() not in ends:
        return
    end, compressed = ends[path.suffix.lower()]
    header, _, voxels = path.read_bytes().partition(end)
    if compressed not in header:
        return
    try:
        # 47: zlib's or gzip's header, each with its checksum
        whole = zlib.decompressobj(wbits=47)
        whole.decompress(voxels)
        whole.flush()
    except zlib.error as error:
        raise InputError(f"{path}: damaged or not readable to its end ({error}); copy it again.") from error
    if not whole.eof:
        raise InputError(f"{path}: ends early; copy it again.")


def _reason(error: RuntimeError) -> str:
    """The last line of SimpleITK's message, which says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "unknown reason"


def intensity_domain(image: sitk.Image, name: str) -> str:
    """`hu` for Hounsfield units, `grey255` for 0..255 lung-window grey, from the range of the voxels.

    Half of the public 20-CT set is stored as 0..255 grey. Air is about -1000 HU, so a scan without negative values
    cannot be in Hounsfield units. Raises InputError where neither fits or a voxel is not a finite number.
    """
    voxels = sitk.GetArrayViewFromImage(image)
    low, high = float(voxels.min()), float(voxels.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{name}: holds NaN or infinite voxels; expected finite numbers; export the scan again.")
    if low == high:
        raise InputError(f"{name}: every voxel is {low:g}; expected a CT scan; export it again.")
    if low < 0:
        return HOUNSFIELD
    if high <= 255:
        return GREY_255
    raise InputError(
        f"{name}: voxels range from {low:g} to {high:g}, which is neither Hounsfield units (air near -1000) nor 0..255 "
        "grey; subtract the scanner's offset (often 1024) and save it again."
    )
