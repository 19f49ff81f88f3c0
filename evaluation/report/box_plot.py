"""Box plots that show every case: one row for each structure, or for each network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from evaluation.report import svg
from pipeline.core.text_table import number

ROW, TOP, LEFT, RIGHT, BOTTOM = 46, 6, 96, 12, 38
BOX, RADIUS = 22, 2.6
# Of a row's label, on average
LETTER = 7.2


class BoxRow(NamedTuple):
    """Defined values of one row; `names` says, to those who point at a dot, which case it is."""

    label: str
    values: Sequence[float]
    names: Sequence[str]


class Box(NamedTuple):
    """Quartiles, and the outermost values within 1.5 interquartile ranges of them (Tukey)."""

    low: float
    first: float
    median: float
    third: float
    high: float


def box(values: Sequence[float]) -> Box:
    """The box of at least one value; quartiles by linear interpolation."""
    first, median, third = np.percentile(values, (25, 50, 75)).tolist()
    reach = 1.5 * (third - first)
    inside = [value for value in values if first - reach <= value <= third + reach]
    return Box(min(inside), first, median, third, max(inside))


def box_plot(title: str, axis: str, rows: Sequence[BoxRow], limits: tuple[float, float] = (0, 1)) -> Markup:
    """Rows without values keep their place; `limits` are those of the axis."""
    height = TOP + ROW * len(rows) + BOTTOM
    left = max(LEFT, *(14 + LETTER * len(row.label) for row in rows))
    scale = svg.Scale(*limits, left, svg.WIDTH - RIGHT)
    parts = [_axis(scale, axis, height - BOTTOM)]
    for place, row in enumerate(rows):
        middle = TOP + ROW * (place + 0.5)
        parts.append(svg.element("text", row.label, class_="row", x=left - 10, y=middle + 4, text_anchor="end"))
        if row.values:
            parts += [_box(box(row.values), scale, middle), _dots(row, scale, middle)]
    return svg.picture(f"{title}. {_told(rows)}", parts, height)


def _told(rows: Sequence[BoxRow]) -> str:
    """The plot in words."""
    medians = (f"{row.label} {number(box(row.values).median)}" for row in rows if row.values)
    return f"Medians: {', '.join(medians)}."


def _axis(scale: svg.Scale, axis: str, bottom: float) -> Markup:
    parts = [svg.element("text", axis, class_="axis", x=(scale.start + scale.end) / 2, y=bottom + 33)]
    for value in svg.ticks(scale.low, scale.high):
        x = scale(value)
        parts.append(svg.element("path", class_="grid", d=f"M{x:.1f} {TOP}V{bottom:.1f}"))
        parts.append(svg.element("text", svg.label(value), class_="tick", x=x, y=bottom + 16))
    return svg.joined(parts)


def _box(drawn: Box, scale: svg.Scale, middle: float) -> Markup:
    low, first, median, third, high = map(scale, drawn)
    top = middle - BOX / 2
    whiskers = f"M{low:.1f} {middle:.1f}H{first:.1f}M{third:.1f} {middle:.1f}H{high:.1f}"
    return svg.joined(
        (
            svg.element("path", class_="whisker", d=whiskers),
            svg.element("rect", class_="box", x=first, y=top, width=max(third - first, 1.0), height=BOX),
            svg.element("path", class_="median", d=f"M{median:.1f} {top:.1f}v{BOX}"),
        )
    )


def _dots(row: BoxRow, scale: svg.Scale, middle: float) -> Markup:
    places = [scale(value) for value in row.values]
    dots = []
    for x, offset, value, name in zip(places, swarm(places), row.values, row.names, strict=True):
        told = svg.element("title", f"{name}: {number(value)}")
        dots.append(svg.element("circle", told, class_="dot", cx=x, cy=middle + offset, r=RADIUS))
    return svg.joined(dots)


def swarm(places: Sequence[float], radius: float = RADIUS, most: float = ROW / 2 - RADIUS) -> list[float]:
    """How far each dot moves off its row's middle so that none covers another; beyond `most` they may."""
    steps = np.arange(0, most + 0.1, radius)
    offsets = sorted({*steps.tolist(), *(-steps).tolist()}, key=abs)
    placed: list[tuple[float, float]] = []
    for x in places:
        free = (
            offset
            for offset in offsets
            if all((x - there) ** 2 + (offset - moved) ** 2 >= (2 * radius) ** 2 for there, moved in placed)
        )
        placed.append((x, next(free, 0.0)))
    return [offset for _, offset in placed]
