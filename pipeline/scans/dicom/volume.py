"""A series becomes one image in Hounsfield units, in its right place in the patient."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import unpack

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import dcmread
from pydicom.pixels import as_pixel_options, get_decoder, iter_pixels
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pipeline.core.errors import InputError
from pipeline.scans.dicom.file_start import begins_without_preamble, quiet_pydicom
from pipeline.scans.dicom.gdcm_decoder import use_gdcm
from pipeline.scans.dicom.grid import Grid, grid_of
from pipeline.scans.dicom.headers import ENHANCED, Header, Slice, functional_groups
from pipeline.scans.dicom.stack import Series
from pipeline.scans.simpleitk import sitk

logger = logging.getLogger(__name__)

# The scale begins here; what scanners put outside their field of view (-2000, -3024) becomes this, which is air
LOWEST_HU = -1024
# 12 bits of 4096 values; extended scales go beyond it, where metal is
HIGHEST_HU = 3071
# Denser than this is metal alone and the hardest bone, of which no scan has this share
METAL_HU, SHARE_OF_METAL = 2000, 0.1
# Air, which every CT holds, is at most this; where no tag tells the scale, this share of the voxels has to be
AIR_HU, SHARE_OF_AIR = -700, 0.01
LARGEST_INT16 = np.iinfo(np.int16).max
NOTES = "notes"
TAGS = (
    "ModalityLUTSequence",
    "PixelPaddingValue",
    "PixelRepresentation",
    "RescaleIntercept",
    "RescaleSlope",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)

# The elements that hold pixels
PIXELS = {(0x7FE0, 0x0008): "FloatPixelData", (0x7FE0, 0x0009): "DoubleFloatPixelData", (0x7FE0, 0x0010): "PixelData"}


@dataclass(frozen=True)
class Rescale:
    """How the stored values of a slice become Hounsfield units."""

    slope: float
    intercept: float
    padding: int | None
    missing: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers stay whole numbers."""
        return self.slope.is_integer() and self.intercept.is_integer()

    def hounsfield(self, stored: np.ndarray) -> np.ndarray:
        """float32 HU from LOWEST_HU on; padding, wherever it lies outside the scale, is LOWEST_HU."""
        hu = stored * np.float32(self.slope) + np.float32(self.intercept)
        if self.padding is not None:
            padding_hu = self.padding * self.slope + self.intercept
            # Files exist that name 0 HU, which is water, as padding
            if not LOWEST_HU <= padding_hu <= HIGHEST_HU:
                hu[stored == self.padding] = LOWEST_HU
        return np.maximum(hu, LOWEST_HU, out=hu)


def read_series(series: Series) -> sitk.Image:
    """The scan of a series in Hounsfield units on `grid_of(series)`, LPS; int16, float32 where its slope is no integer.

    Padding outside the field of view becomes -1024 HU. Of slices that lie in one plane and are equal one is taken.
    What a user should know is logged and stands in the image's meta data under `notes`, a line each. Raises
    InputError where slices are missing, irregular, damaged, or differ in one plane.
    """
    grid = grid_of(series)
    voxels, found = _filled(series, grid)
    notes = [*series.notes, *found, *_tilted(series, grid)]
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(grid.geometry.spacing_mm)
    image.SetOrigin(grid.geometry.origin_mm)
    image.SetDirection(grid.geometry.direction)
    for note in notes:
        logger.warning("%s: %s.", series, note)
    image.SetMetaData(NOTES, "\n".join(notes))
    return image


def _filled(series: Series, grid: Grid) -> tuple[np.ndarray, list[str]]:
    """Voxels (slices, rows, columns) in HU, and notes on what was made of the files."""
    planes = {index: plane for plane, indices in enumerate(series.planes) for index in indices}
    voxels: np.ndarray | None = None
    filled, repeated = set(), []
    missing: set[str] = set()
    complete = False
    for index, hu, rescale in _hounsfield(series):
        missing.update(rescale.missing)
        complete |= not rescale.missing
        if missing and complete:
            raise InputError(
                f"{series}: has no {' and no '.join(sorted(missing))} in some of its slices, so their numbers are not "
                "comparable; export the series again."
            )
        is_whole = rescale.is_whole
        # The first slice tells the type, and that the size is no invention
        if voxels is None:
            voxels = np.full(grid.geometry.size[::-1], LOWEST_HU, np.int16 if is_whole else np.float32)
        elif not is_whole and voxels.dtype == np.int16:
            voxels = voxels.astype(np.float32)
        plane = planes[index]
        there = voxels[(plane, *grid.place(plane, series))]
        if plane in filled and not np.array_equal(there, hu):
            raise InputError(
                f"{series}: {len(series.planes[plane])} different slices lie at {series.along_mm[index]:.2f} mm; "
                "expected one; export the acquisitions as a series each."
            )
        if plane in filled:
            repeated.append(plane)
        filled.add(plane)
        there[...] = hu
    if voxels is None:
        raise InputError(f"{series}: holds no slice; export the series again.")
    if (share := np.mean(voxels > METAL_HU)) > SHARE_OF_METAL:
        raise InputError(
            f"{series}: {share:.0%} of its voxels are denser than bone (over {METAL_HU} HU), as where negative numbers "
            "are marked as unsigned (PixelRepresentation) or the rescale tags are wrong; export the series again."
        )
    notes = [*_repeated(series, repeated), *_unscaled(series, voxels, sorted(missing))]
    return voxels, notes


def _unscaled(series: Series, voxels: np.ndarray, missing: Sequence[str]) -> Iterator[str]:
    """A note where no tag tells the scale but the numbers do; InputError where they do not."""
    if not missing:
        return
    tags = " and no ".join(missing)
    # The lowest value is padding too, whatever the scale
    if np.mean((voxels > LOWEST_HU) & (voxels <= AIR_HU)) < SHARE_OF_AIR:
        raise InputError(
            f"{series}: has no {tags}, and its numbers from {voxels.min():g} on are no Hounsfield units; export the "
            "series with these tags."
        )
    yield f"has no {tags}: its numbers were taken for Hounsfield units as they are, since air is there"


def _repeated(series: Series, repeated: Sequence[int]) -> Iterator[str]:
    if repeated:
        places = ", ".join(f"{series.along_mm[series.planes[plane][0]]:.2f}" for plane in sorted({*repeated})[:5])
        yield (
            f"{len(repeated)} slice(s) are there twice with equal voxels (at {places} mm"
            f"{' and elsewhere' if len({*repeated}) > 5 else ''}); one of each was taken"
        )


def _tilted(series: Series, grid: Grid) -> Iterator[str]:
    if grid.tilted:
        yield (
            f"the gantry was tilted by {grid.tilt_degrees:.1f} degrees; slices were shifted by whole pixels onto an "
            f"upright grid, no voxel further than {max(series.spacing_mm[:2]) / 2:.2f} mm from its place"
        )


def _hounsfield(series: Series) -> Iterator[tuple[int, np.ndarray, Rescale]]:
    """Index, voxels (rows, columns) in HU and what made them these, of every slice, file by file."""
    use_gdcm()
    of_file: dict[Path, list[int]] = defaultdict(list)
    for index, each in enumerate(series.slices):
        of_file[each.file].append(index)
    for file, indices in of_file.items():
        slices = [series.slices[index] for index in indices]
        for index, (stored, rescale) in zip(indices, _stored(file, slices), strict=True):
            if stored.shape != series.stack.size[::-1]:
                raise InputError(f"{file}: its image has size {stored.shape}, not that of its header; export it again.")
            hu = rescale.hounsfield(stored)
            if (highest := hu.max()) > LARGEST_INT16:
                raise InputError(
                    f"{file}: has values of up to {highest:.0f} HU, which no CT has, as where negative numbers are "
                    "marked as unsigned (PixelRepresentation); export the series again."
                )
            yield index, hu, rescale


def _stored(file: Path, slices: Sequence[Slice]) -> Iterator[tuple[np.ndarray, Rescale]]:
    """The stored values of slices of one file, and what makes them Hounsfield units; InputError where it is damaged."""
    # A classic file has one frame, whatever its header says
    frames = [each.frame for each in slices] if slices[0].stack.sop_class_uid in ENHANCED else [0]
    header: Dataset
    if known := slices[0].header:
        header, decoded = known.dataset, _after_header(file, known, frames)
    else:
        header = Dataset()
        tags = [tag for name in TAGS if (tag := tag_for_keyword(name)) is not None]
        decoded = _decoded(file, header, tags, frames)
    for frame in frames:
        try:
            with quiet_pydicom():
                stored = next(decoded)
                rescale = _rescale(header, frame, file)
        except InputError:
            raise
        # pydicom and the decoders behind it raise a dozen kinds for damaged content
        except Exception as error:
            raise InputError(
                f"{file}: its image is damaged, ends early, or is stored in a way that cannot be decoded; copy it "
                "again, or export the series uncompressed."
            ) from error
        yield stored, rescale


def _after_header(file: Path, known: Header, frames: list[int]) -> Iterator[np.ndarray]:
    """Frames of a file whose header is known, as `iter_pixels` gives them."""
    syntax = UID(known.dataset.file_meta.TransferSyntaxUID)
    options = as_pixel_options(known.dataset, transfer_syntax_uid=syntax)
    with file.open("rb") as stream:
        stream.seek(known.pixels_at)
        group, element, kind, _ = unpack("<HH2sH" if syntax.is_little_endian else ">HH2sH", stream.read(8))
        options["pixel_keyword"] = PIXELS[group, element]
        if not syntax.is_implicit_VR:
            options["pixel_vr"] = kind.decode("latin-1")
            # Its length, in words of 32 bits where its type is told
            stream.read(4)
        for frame, _ in get_decoder(syntax).iter_array(stream, indices=frames, validate=True, **options):
            yield frame


def _decoded(file: Path, header: Dataset, tags: list[int], frames: list[int]) -> Iterator[np.ndarray]:
    """Frames of a file, and its header filled; old archives leave the part out that says how it is stored."""
    if not begins_without_preamble(file):
        yield from iter_pixels(file, ds_out=header, specific_tags=tags, indices=frames)
        return
    dataset = dcmread(file, force=True)
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    if "TransferSyntaxUID" not in meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    dataset.file_meta = meta
    for tag in tags:
        if tag in dataset:
            header[tag] = dataset[tag]
    yield from iter_pixels(dataset, indices=frames)


def _rescale(header: Dataset, frame: int, file: Path) -> Rescale:
    """From the header's top, or from the functional groups of a frame, which win over shared ones."""
    places = [header]
    for name, number in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        if name in header and len(header[name].value) > number:
            places += functional_groups(header[name].value[number])
    if any("ModalityLUTSequence" in place for place in places):
        raise InputError(
            f"{file}: its grey values need a look-up table; expected slope and intercept; export the series as CT."
        )
    slope, intercept = (
        next((float(place[name].value) for place in reversed(places) if place.get(name) is not None), default)
        for name, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if not math.isfinite(slope) or not math.isfinite(intercept) or slope == 0:
        raise InputError(f"{file}: has rescale slope {slope} and intercept {intercept}; export the series again.")
    told = ("RescaleIntercept", "RescaleSlope")
    missing = tuple(name for name in told if all(place.get(name) is None for place in places))
    padding = header.get("PixelPaddingValue")
    if padding is not None and header.get("PixelRepresentation") == 1:
        # Some files hold a negative value with the type of unsigned ones
        padding = (int(padding) + 0x8000) % 0x10000 - 0x8000
    return Rescale(slope, intercept, padding if padding is None else int(padding), missing)
