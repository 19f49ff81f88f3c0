"""One slice of a segmented scan as a picture, for notebooks: what was found tinted, or how likely it is."""

from __future__ import annotations

import numpy as np
from PIL import Image

from evaluation.report.jet import jet_overlay
from evaluation.report.panels import LEAST_PROBABILITY, LUNG_WINDOW, OPACITY, PIXELS
from evaluation.report.stack import Stack, fullest_slice, thinned
from pipeline.core.labels import LabelMap

# Red, green and blue of the colours of the pages, and how much of the scan they hide
LUNG, INFECTION, CONSOLIDATION = (124, 200, 242), (230, 159, 0), (204, 121, 167)
TINT, INFECTION_TINT = 0.25, 0.6


def slice_picture(stack: Stack, labels: LabelMap, number: int | None = None) -> Image.Image:
    """A slice as a radiologist looks at it, in the lung window, PIXELS along its longer side.

    `number` counts from 1 at the feet; without one it is the slice that has most of the infection, or of all that was
    found. A stack that has a probability shows that in jet colours, and no classes.
    """
    wanted = labels.infection_classes or range(1, len(labels.classes))
    place = fullest_slice(stack, list(wanted)) if number is None else stack.numbers.index(number)
    shown = thinned(stack.taken([place]), 1, PIXELS)
    level, width = LUNG_WINDOW
    grey = np.clip((shown.hu[0] - level) / width + 0.5, 0, 1)
    if shown.probability is not None:
        picture = jet_overlay(grey, shown.probability[0] / np.float32(255), LEAST_PROBABILITY, OPACITY)
        return _enlarged(picture)
    colours = grey[..., None].repeat(3, axis=2)
    for found, (name, _) in enumerate(labels.classes.items()):
        mask = shown.prediction[0] == found
        if found and mask.any():
            infected = found in labels.infection_classes
            tint = INFECTION_TINT if infected else TINT
            colour = CONSOLIDATION if name == "consolidation" else INFECTION if infected else LUNG
            colours[mask] = (1 - tint) * colours[mask] + tint * np.array(colour) / 255
    return _enlarged((colours * 255).round().astype(np.uint8))


def _enlarged(picture: np.ndarray) -> Image.Image:
    """(H, W, 3) as a picture that is large enough to see something in it, whatever the scan has."""
    factor = PIXELS / max(picture.shape[:2])
    height, width = (round(length * factor) for length in picture.shape[:2])
    return Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
