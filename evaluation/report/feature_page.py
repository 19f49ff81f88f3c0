"""Pictures of a network's feature maps, and a page that shows them in the order in which the network makes them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from PIL import Image

from evaluation.report import svg
from evaluation.report.atlas import data_uri
from evaluation.report.jet import jet, jet_overlay
from evaluation.report.page import Section, document, note, part
from evaluation.report.panels import WIDTH, drawing, labels
from evaluation.report.tables import Cell, Table, name_of, text_cells
from pipeline.core.atomic import replacing

PAGE = "features.html"
# Shares of a slice's pixels that are drawn black and white: a few of metal or padding would leave all else dark
DARKEST, BRIGHTEST = 0.5, 99.5
HOW = (
    "Each map: the mean over the block's channels, its smallest value in the slice in blue and its largest in red, "
    "enlarged to the slice, nearest. Colours of two maps cannot be compared; the table has the values."
)
SIZES = (
    "Sizes: from the patient's right to left, from front to back, then from the feet up. Where a network sees a scan "
    "in windows, they are those of one window's maps; the pictures join the windows about the slice."
)
USE = "For research. Not a medical device; no picture in here is for the care of a patient."


class BlockPicture(NamedTuple):
    """A block's channel mean in one slice, (H, W) of the input; `shape` is the map's own, (C, h, w[, d])."""

    name: str
    shape: tuple[int, ...]
    mean: np.ndarray


class Found(NamedTuple):
    """What the network found in the slice.

    Args:
        labels: class numbers, uint8 (H, W).
        probability: of the classes that are shown, together, (H, W).
        classes: names of all classes.
        shown: numbers of those that are shown filled: infection, or all structures of a network that has none.
    """

    labels: np.ndarray
    probability: np.ndarray
    classes: tuple[str, ...]
    shown: tuple[int, ...]


class FeatureViews(NamedTuple):
    """One slice of a scan as a network sees it, and what its blocks make of it.

    Args:
        remarks: sentences on whose weights they are, and what the network sees of the scan.
        number: of the slice, from 1 at the feet.
        of: how many slices there are on the network's grid.
        pixel_mm: from the patient's right to left, and from front to back.
        image: the prepared slice, (H, W), H from the patient's right to left, W from front to back, as everywhere here.
        found: None of a network that has learned nothing.
        blocks: in the order in which the network makes them.
    """

    network: str
    case: str
    remarks: list[str]
    number: int
    of: int
    pixel_mm: tuple[float, float]
    image: np.ndarray
    found: Found | None
    blocks: list[BlockPicture]


def write_views(views: FeatureViews, folder: Path) -> list[Path]:
    """Write the page and one PNG a block into `<folder>/<case>`, and return their paths, the page first."""
    target = folder / views.case
    files = [(PAGE, page(views).encode()), ("00_slice.png", png(grey(views.image)))]
    for place, block in enumerate(views.blocks, start=1):
        files.append((f"{place:02d}_{file_name(block.name)}.png", png(coloured(block.mean))))
    for name, content in files:
        with replacing(target / name) as temporary:
            temporary.write_bytes(content)
    return [target / name for name, _ in files]


def file_name(block: str) -> str:
    """`columns.0 map 2` as a part of a file's name."""
    return re.sub(r"[^\w.]+", "_", block)


def unit(values: np.ndarray) -> np.ndarray:
    """Smallest value to 0 and largest to 1; a constant is 0."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / ((high - low) or 1)


def coloured(mean: np.ndarray) -> np.ndarray:
    """Jet colours of a map by its own range, uint8 (rows, columns, 3) as a radiologist looks at it."""
    return np.rint(255 * jet(unit(mean))).astype(np.uint8).swapaxes(0, 1)


def grey(image: np.ndarray) -> np.ndarray:
    """A slice by its own range, uint8 (rows, columns)."""
    low, high = np.percentile(image, (DARKEST, BRIGHTEST))
    return np.rint(255 * unit(np.clip(image, low, high))).astype(np.uint8).T


def png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "PNG", optimize=True)
    return stream.getvalue()


class Figure(NamedTuple):
    """A drawing with what stands below it."""

    drawing: Markup
    name: str
    detail: str = ""


def page(views: FeatureViews) -> str:
    """All in one HTML file that needs no other."""
    return document(
        title=f"What {views.network} makes of {views.case}",
        subtitle=f"{len(views.blocks)} feature maps, block by block; slice {views.number} of {views.of} from the feet",
        remarks=views.remarks,
        sections=[_slice(views), _blocks(views), _values(views)],
        footer=f"Written on {date.today().isoformat()}. {USE}",
    )


def _slice(views: FeatureViews) -> Section:
    shown, height = grey(views.image), _height(views)
    figures = [Figure(drawing("slice", height, [_image(shown, height)]), "Slice, as the network gets it")]
    title, told = "Slice", "The middle slice of the scan. What initial weights predict is not drawn."
    if views.found is not None:
        name = " and ".join(name_of(views.found.classes[number]) for number in views.found.shown)
        figures += _prediction(views.found, shown, height, name)
        title, told = "Slice and prediction", f"The slice with the most predicted {name}."
        if not np.isin(views.found.labels, views.found.shown).any():
            told = f"No {name} was found. The slice with most of what was found, the middle one where there is nothing."
    body = part("pictures", figures=figures, kind="panels") + note(f"R and L: the patient's right and left. {told}")
    return Section("slice", title, body)


def _prediction(found: Found, shown: np.ndarray, height: float, name: str) -> Iterator[Figure]:
    classes, likely = found.labels.T, found.probability.T
    others = sorted(set(range(1, len(found.classes))) - set(found.shown))
    drawn = labels(classes, others, np.isin(classes, found.shown))
    outlined = ", ".join(name_of(found.classes[number]) for number in others)
    told = f"Prediction: {name}; outlined: {outlined}" if outlined else f"Prediction: {name}"
    yield Figure(drawing("prediction", height, [_image(shown, height), *drawn]), told)
    overlay = _image(jet_overlay(shown / 255, likely), height)
    yield Figure(drawing("probability", height, [overlay]), f"Probability of {name} from 0.5 (green) to 1 (red)")


def _blocks(views: FeatureViews) -> Section:
    height = _height(views)
    figures = [
        Figure(_map(block, height), f"{place}. {block.name}", f"{block.shape[0]} channels, {_size(block.shape)}")
        for place, block in enumerate(views.blocks, start=1)
    ]
    return Section("blocks", "Blocks", part("pictures", figures=figures, kind="maps") + note(HOW))


def _map(block: BlockPicture, height: float) -> Markup:
    box = f"0 0 {WIDTH} {height:.1f}"
    content = _image(coloured(block.mean), height)
    return svg.element("svg", content, class_="slice", viewBox=box, role="img", aria_label=f"features of {block.name}")


def _values(views: FeatureViews) -> Section:
    body = [
        [Cell(f"{place}. {block.name}"), *text_cells((block.shape[0], _size(block.shape), *_range(block.mean)))]
        for place, block in enumerate(views.blocks, start=1)
    ]
    columns = ("block", "channels", "size", "smallest mean", "largest mean")
    told = Table("Feature maps, and the range of their channel means in the slice", columns, body)
    return Section("values", "Sizes and values", part("table", table=told) + note(SIZES))


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape[1:]))


def _range(mean: np.ndarray) -> list[str]:
    return [f"{value:.3g}" for value in (mean.min(), mean.max())]


def _image(picture: np.ndarray, height: float) -> Markup:
    """A picture WIDTH wide whose own pixels can be seen."""
    return svg.element(
        "image",
        href=data_uri("png", png(picture)),
        width=WIDTH,
        height=height,
        preserveAspectRatio="none",
        image_rendering="pixelated",
    )


def _height(views: FeatureViews) -> float:
    (columns, rows), (across_mm, down_mm) = views.image.shape, views.pixel_mm
    return WIDTH * (rows * down_mm) / (columns * across_mm)
