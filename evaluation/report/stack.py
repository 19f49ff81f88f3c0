"""A scan with both its label maps as slices to look at: oriented, cropped and, to be stored, thinned out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.measures.cases import read_labels, read_reference
from pipeline.core.errors import InputError
from pipeline.core.labels import IGNORE, LEFT_LUNG, RIGHT_LUNG, LabelMap
from pipeline.scans.intensity import GREY_255, intensity_domain
from pipeline.scans.scan import read_scan
from pipeline.scans.simpleitk import sitk

# Rows run from front to back and columns from the patient's right to left, as a radiologist looks at a slice
ORIENTATION = "LPS"
# Denser than this is body; a row or column of the scan belongs to it where it holds at least this share
BODY_HU, BODY_SHARE = -300, 0.02
MARGIN_MM = 10.0
ALL = slice(None)


@dataclass(frozen=True)
class Stack:
    """Slices from the feet up, (D, H, W), first row in front, first column at the patient's right.

    Args:
        hu: Hounsfield units; for a scan stored as grey 0 to 255, those that the window assigns to its grey.
        reference: class numbers of the label map, uint8.
        prediction: the same.
        spacing_mm: between slices, rows and columns.
        numbers: of the slices in the scan, from 1 at the feet.
        of: number of slices that the scan has.
        grey: whether the scan is stored as grey 0 to 255.
        probability: of the infection, in 255ths, uint8; None where it was not written.
    """

    hu: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray
    spacing_mm: tuple[float, float, float]
    numbers: tuple[int, ...]
    of: int
    grey: bool = False
    probability: np.ndarray | None = None

    def taken(self, slices: Sequence[int], rows: slice = ALL, columns: slice = ALL) -> Stack:
        """Some of the slices, and a box of each; of a range not a copy, since a scan may have 150 MB."""
        places = slice(slices.start, slices.stop) if isinstance(slices, range) and slices.step == 1 else list(slices)
        return replace(
            self,
            hu=self.hu[places, rows, columns],
            reference=self.reference[places, rows, columns],
            prediction=self.prediction[places, rows, columns],
            probability=None if self.probability is None else self.probability[places, rows, columns],
            numbers=tuple(self.numbers[place] for place in slices),
        )


def read_stack(
    image: Path,
    reference: Path,
    prediction: Path,
    case: str,
    labels: LabelMap,
    window_hu: Sequence[float],
    probability: Path | None = None,
    codes: Mapping[str, str] | None = None,
) -> Stack:
    """A case's files, the reference in the project's codes and the prediction in the label map's class numbers.

    `codes` are what the codes of the reference's file mean, where they are others.

    Raises InputError, naming the case, where they differ in size or hold other numbers.
    """
    scan = read_scan(image)
    expected = read_reference(reference, case, labels, codes)
    found = read_labels(prediction, case, range(len(labels.classes)))
    likely = None if probability is None else read_scan(probability)
    sizes = {volume.GetSize() for volume in (scan, expected, found, likely) if volume is not None}
    if len(sizes) > 1:
        raise InputError(f"case {case}: scan, reference and prediction have the sizes {sorted(sizes)}; expected one.")
    stack = stack_of(scan, found, case, window_hu)
    return replace(
        stack,
        reference=_shown(labels.classes_of(oriented(expected)[0])),
        probability=None if likely is None else oriented(likely)[0],
    )


def _shown(classes: np.ndarray) -> np.ndarray:
    """Class numbers in which what is to be ignored is background."""
    return np.where(classes == IGNORE, np.uint8(0), classes)


def stack_of(scan: sitk.Image, prediction: sitk.Image, case: str, window_hu: Sequence[float]) -> Stack:
    """A scan and its predicted class numbers, on one grid; the reference is background throughout."""
    grey = intensity_domain(scan, case) == GREY_255
    voxels, oriented_mm = oriented(scan)
    found, _ = oriented(prediction)
    low, high = window_hu
    return Stack(
        hu=voxels * np.float32((high - low) / 255) + np.float32(low) if grey else voxels,
        # One number that looks like all of them
        reference=np.broadcast_to(np.zeros((), found.dtype), found.shape),
        prediction=found,
        spacing_mm=(oriented_mm[2], oriented_mm[1], oriented_mm[0]),
        numbers=tuple(range(1, len(voxels) + 1)),
        of=len(voxels),
        grey=grey,
    )


def oriented(image: sitk.Image) -> tuple[np.ndarray, tuple[float, ...]]:
    """The voxels (D, H, W) of an image turned to the nearest axes of the patient, and its spacing (x, y, z) then."""
    lies = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    # Most scans lie so already, and would be copied once more
    turned = image if lies == ORIENTATION else sitk.DICOMOrient(image, ORIENTATION)
    return sitk.GetArrayFromImage(turned), turned.GetSpacing()


def cropped(stack: Stack, lungs: Sequence[int] = (LEFT_LUNG, RIGHT_LUNG)) -> Stack:
    """Without air around the body and, where the reference tells where the lungs are, slices beyond all labels.

    `lungs` are the class numbers of the lungs; without any, every slice stays.
    """
    slices = range(len(stack.hu))
    if lungs and any(np.isin(plane, list(lungs)).any() for plane in stack.reference):
        slices = range(*_span(_labelled(stack, (1, 2)), stack.spacing_mm[0]).indices(len(stack.hu)))
    # Slice by slice, since a mask of the whole scan would be half as large as the scan
    rows, columns = np.zeros(stack.hu.shape[1]), np.zeros(stack.hu.shape[2])
    for plane in stack.hu:
        body = plane > BODY_HU
        rows += body.mean(axis=1) / len(stack.hu)
        columns += body.mean(axis=0) / len(stack.hu)
    box = [
        _span((share >= BODY_SHARE) | _labelled(stack, others), stack.spacing_mm[axis])
        for axis, others, share in ((1, (0, 2), rows), (2, (0, 1), columns))
    ]
    return stack.taken(slices, *box)


def _labelled(stack: Stack, axes: tuple[int, int]) -> np.ndarray:
    """Whether either label map has anything along two of the axes."""
    labelled: np.ndarray = np.logical_or(stack.reference.any(axis=axes), stack.prediction.any(axis=axes))
    return labelled


def _span(wanted: np.ndarray, spacing_mm: float) -> slice:
    """From the first to the last wanted place with a margin; everything where none is wanted."""
    places = np.flatnonzero(wanted)
    if not len(places):
        return slice(0, len(wanted))
    margin = round(MARGIN_MM / spacing_mm)
    return slice(max(int(places[0]) - margin, 0), min(int(places[-1]) + 1 + margin, len(wanted)))


def thinned(stack: Stack, slices: int, pixels: int) -> Stack:
    """At most so many slices, evenly chosen, none averaged; with square pixels, at most so many along each side.

    A scan that has fewer is not enlarged, but for making its pixels square.
    """
    places = np.unique(np.linspace(0, len(stack.hu) - 1, min(slices, len(stack.hu))).round().astype(int)).tolist()
    chosen = stack.taken(places)
    _, rows, columns = chosen.hu.shape
    extent_mm = (rows * stack.spacing_mm[1], columns * stack.spacing_mm[2])
    pixel_mm = max(min(stack.spacing_mm[1:]), max(extent_mm) / pixels)
    height, width = (max(round(extent / pixel_mm), 1) for extent in extent_mm)
    likely = chosen.probability
    return replace(
        chosen,
        hu=_resized(chosen.hu.astype(np.float32), (width, height), Image.Resampling.HAMMING),
        reference=_resized(chosen.reference, (width, height), Image.Resampling.NEAREST),
        prediction=_resized(chosen.prediction, (width, height), Image.Resampling.NEAREST),
        probability=None if likely is None else _resized(likely, (width, height), Image.Resampling.HAMMING),
        spacing_mm=(stack.spacing_mm[0], extent_mm[0] / height, extent_mm[1] / width),
    )


def _resized(slices: np.ndarray, size: tuple[int, int], method: Image.Resampling) -> np.ndarray:
    """Every slice at another size (W, H)."""
    return np.stack([np.asarray(Image.fromarray(plane).resize(size, method)) for plane in slices])


def fullest_slice(stack: Stack, classes: Sequence[int]) -> int:
    """The slice with the most pixels of some classes in either label map; the middle one where there are none."""
    pairs = zip(stack.reference, stack.prediction, strict=True)
    pixels = [int(np.isin(expected, classes).sum() + np.isin(found, classes).sum()) for expected, found in pairs]
    return int(np.argmax(pixels)) if any(pixels) else len(pixels) // 2
