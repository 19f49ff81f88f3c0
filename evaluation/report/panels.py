"""One slice of a case as drawings: reference beside prediction, and where they agree.

The scan is a picture, the labels are drawn over it, sharp at any size and in print.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from evaluation.report import svg
from evaluation.report.atlas import data_uri, webp
from evaluation.report.jet import jet_overlay
from evaluation.report.stack import Stack, fullest_slice, thinned

PIXELS = 320
# Units across a drawing: textures and letters have one size, whatever the scan has
WIDTH = 320
MOST_BYTES = 40_000
# What is coloured in the severity map, and how much of the scan is hidden by it
LEAST_PROBABILITY, OPACITY = 0.05, 0.6
# Level and width in HU
LUNG_WINDOW = (-600, 1500)


class Panels(NamedTuple):
    """Drawings of one slice, its number and how many there are; `severity` is None without probabilities."""

    reference: Markup
    prediction: Markup
    agreement: Markup
    number: int
    of: int
    severity: Markup | None = None


def panels(stack: Stack, structures: Mapping[str, Sequence[int]], structure: str, name: str, anchor: str) -> Panels:
    """The slice that shows most of a structure, whose classes are filled; the other classes are outlined.

    `structures` gives the class numbers that make up each; `name` is the case's, `anchor` an id for the scan's picture
    that the page has once.
    """
    place = fullest_slice(stack, structures[structure])
    shown = thinned(stack.taken([place]), 1, PIXELS)
    expected, found, hu = shown.reference[0], shown.prediction[0], shown.hu[0]
    others = sorted({number for numbers in structures.values() for number in numbers} - set(structures[structure]))
    here, there = np.isin(expected, structures[structure]), np.isin(found, structures[structure])
    height = WIDTH * hu.shape[0] / hu.shape[1]
    scan = svg.element("g", scan_picture(hu), id=anchor)
    # The scan's picture is on the page once; the other two drawings refer to it
    again = svg.element("use", href=f"#{anchor}")
    told = f"{name}, slice {shown.numbers[0]}"
    likely = [] if shown.probability is None else [_coloured(hu, shown.probability[0], height)]
    return Panels(
        drawing(f"{told}: reference", height, (scan, *labels(expected, others, here))),
        drawing(f"{told}: prediction", height, (again, *labels(found, others, there))),
        drawing(f"{told}: agreement", height, (again, *_agreement(here, there))),
        shown.numbers[0],
        shown.of,
        drawing(f"{told}: probability", height, likely) if likely else None,
    )


def scan_picture(hu: np.ndarray) -> Markup:
    """A slice (H, W) in the lung window, WIDTH wide."""
    return svg.element("image", href=windowed(hu), width=WIDTH, height=WIDTH * hu.shape[0] / hu.shape[1])


def windowed(hu: np.ndarray) -> str:
    """A slice in Hounsfield units, (H, W), as a picture in the lung window, for an image's address."""
    return data_uri("webp", webp((_grey(hu) * 255).round().astype(np.uint8), MOST_BYTES))


def _grey(hu: np.ndarray) -> np.ndarray:
    level, width = LUNG_WINDOW
    return np.clip((hu - level) / width + 0.5, 0, 1)


def _coloured(hu: np.ndarray, probability: np.ndarray, height: float) -> Markup:
    """The slice with the probability in jet colours, the severity map of the EAMC paper (Fig. 7)."""
    picture = jet_overlay(_grey(hu), probability / np.float32(255), LEAST_PROBABILITY, OPACITY)
    return svg.element("image", href=data_uri("webp", webp(picture, MOST_BYTES)), width=WIDTH, height=height)


def drawing(title: str, height: float, parts: Sequence[Markup]) -> Markup:
    """A slice WIDTH wide with the patient's sides written on it."""
    sides = (
        svg.element("text", side, class_="side", x=x, y=height / 2, text_anchor=anchor)
        for side, x, anchor in (("R", 6, "start"), ("L", WIDTH - 6, "end"))
    )
    content, box = svg.joined((*parts, *sides)), f"0 0 {WIDTH} {height:.1f}"
    return svg.element("svg", content, class_="slice", viewBox=box, role="img", aria_label=title)


def labels(classes: np.ndarray, others: Sequence[int], structure: np.ndarray) -> Iterator[Markup]:
    """A structure, a mask (H, W), filled, and other classes outlined, by their numbers in `classes`, (H, W)."""
    outlines = "".join(outline(classes == number) for number in others)
    yield svg.element("path", class_="outline", d=outlines)
    yield svg.element("path", class_="area structure", d=area(structure))
    yield svg.element("path", class_="outline structure", d=outline(structure))


def _agreement(reference: np.ndarray, prediction: np.ndarray) -> Iterator[Markup]:
    yield svg.element("path", class_="area tp", d=area(reference & prediction))
    yield svg.element("path", class_="area fn", d=area(reference & ~prediction))
    yield svg.element("path", class_="area fp", d=area(prediction & ~reference))


def area(mask: np.ndarray) -> str:
    """Path data of a mask (H, W) that is drawn WIDTH wide."""
    # Ends, not lengths: rounded alike, they leave no gap between rows
    at = partial(_at, WIDTH / mask.shape[1])
    return "".join(f"M{at(x)} {at(y)}H{at(x + length)}V{at(y + 1)}H{at(x)}z" for y, x, length in runs(mask))


def outline(mask: np.ndarray) -> str:
    """Path data of the edges between a mask's pixels and others; the mask (H, W) is drawn WIDTH wide."""
    at = partial(_at, WIDTH / mask.shape[1])
    filled = np.pad(mask, 1)
    across = runs(filled[1:, 1:-1] != filled[:-1, 1:-1])
    down = runs((filled[1:-1, 1:] != filled[1:-1, :-1]).T)
    horizontal = "".join(f"M{at(x)} {at(y)}H{at(x + length)}" for y, x, length in across)
    return horizontal + "".join(f"M{at(x)} {at(y)}V{at(y + length)}" for x, y, length in down)


def _at(unit: float, place: int) -> str:
    return f"{place * unit:.1f}"


def runs(mask: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Row, first column and length of every unbroken run of true pixels along the rows of a mask (H, W)."""
    changes = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, first = np.nonzero(changes == 1)
    _, beyond = np.nonzero(changes == -1)
    yield from zip(rows.tolist(), first.tolist(), (beyond - first).tolist(), strict=True)
