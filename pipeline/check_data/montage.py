"""One slice of a case with the outlines of its label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from evaluation.report import svg
from evaluation.report.panels import WIDTH, drawing, outline, windowed
from evaluation.report.stack import Stack, cropped, oriented, thinned
from pipeline.core.labels import CONSOLIDATION, GROUND_GLASS, INFECTION, LEFT_LUNG, RIGHT_LUNG, infected
from pipeline.scans.front import Front
from pipeline.scans.intensity import HOUNSFIELD
from pipeline.scans.simpleitk import sitk

PIXELS = 256
# Class of the style sheet for the outline of each code
OUTLINES = {
    LEFT_LUNG: "outline lung-1",
    RIGHT_LUNG: "outline lung-2",
    INFECTION: "outline structure",
    GROUND_GLASS: "outline structure",
    CONSOLIDATION: "outline consolidation",
}


class Tile(NamedTuple):
    """A drawing of a slice, its number from the feet, and how many there are."""

    drawing: Markup
    number: int
    of: int


def tile(image: sitk.Image, label: sitk.Image | None, domain: str | None, case: str) -> Tile:
    """The slice with the most infection, else the most lung, else the middle one; `domain` of the scan's numbers.

    The label has the scan's size.
    """
    voxels, spacing_mm = oriented(image)
    codes = np.zeros(voxels.shape, np.uint8) if label is None else oriented(label)[0]
    codes = codes if codes.shape == voxels.shape else np.zeros(voxels.shape, np.uint8)
    place = _fullest(codes)
    shown = codes[place : place + 1].astype(np.uint8)
    stack = Stack(
        hu=_as_hu(voxels[place : place + 1], domain),
        reference=shown,
        prediction=shown,
        spacing_mm=(spacing_mm[2], spacing_mm[1], spacing_mm[0]),
        numbers=(place + 1,),
        of=len(voxels),
    )
    few = thinned(cropped(stack), 1, PIXELS)
    hu, classes = few.hu[0], few.reference[0]
    height = WIDTH * hu.shape[0] / hu.shape[1]
    scan = svg.element("image", href=windowed(hu), width=WIDTH, height=height)
    drawn = (
        svg.element("path", class_=kind, d=outline(classes == code))
        for code, kind in OUTLINES.items()
        if (classes == code).any()
    )
    told = f"{case}, slice {place + 1} of {len(voxels)}"
    return Tile(drawing(told, height, (scan, *drawn)), place + 1, len(voxels))


def _fullest(codes: np.ndarray) -> int:
    for wanted in (infected(codes), codes > 0):
        if wanted.any():
            return int(wanted.sum((1, 2)).argmax())
    return len(codes) // 2


def _as_hu(voxels: np.ndarray, domain: str | None) -> np.ndarray:
    """Hounsfield units; grey, and numbers that nobody knows, fill the network's own window."""
    voxels = voxels.astype(np.float32)
    if domain == HOUNSFIELD:
        return voxels
    low_hu, high_hu = Front.window_hu
    low, high = (0.0, 255.0) if domain else np.nan_to_num(np.nanpercentile(voxels, (0.5, 99.5)))
    unit = np.clip((np.nan_to_num(voxels, nan=low) - low) / ((high - low) or 1), 0, 1)
    return (low_hu + unit * (high_hu - low_hu)).astype(np.float32)
