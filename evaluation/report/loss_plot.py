"""Losses over the epochs: every fold as a thin line, their smooth mean with its band."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from evaluation.report import svg
from evaluation.report.smoothing import Band, Curve, smooth, thinned

HEIGHT, TOP, LEFT, RIGHT, BOTTOM = 290, 28, 46, 16, 42
LINE_POINTS = 200


class Series(NamedTuple):
    """The curves of all folds under one name; `kind` is the number of its colour in the style sheet, from 1."""

    name: str
    curves: Sequence[Curve]
    kind: int


def loss_plot(title: str, series: Sequence[Series]) -> Markup:
    """The series in one drawing; there must be a point in it."""
    bands = {each.name: smooth(each.curves) for each in series if each.curves}
    points = [point for each in series for curve in each.curves for point in thinned(curve, LINE_POINTS)]
    epochs = [epoch for epoch, _ in points]
    low, high = _limits([value for _, value in points], [band for band in bands.values() if band])
    across = svg.Scale(min(1.0, *epochs), max(2.0, *epochs), LEFT, svg.WIDTH - RIGHT)
    up = svg.Scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [_axes(across, up)]
    for each in series:
        parts += _curves(each, bands.get(each.name), across, up)
    return svg.picture(f"{title}. {_told(series)}", parts, HEIGHT)


def _limits(values: Sequence[float], bands: Iterable[Band]) -> tuple[float, float]:
    """The axis holds every point, and the bands as far as they stay near the points."""
    low, high = min(values), max(values)
    room = 0.1 * ((high - low) or abs(high) or 1.0)
    lows = [low, *(float(np.min(band.low)) for band in bands)]
    return max(min(lows), low - room), high + room / 2


def _told(series: Iterable[Series]) -> str:
    """The plot in words."""
    ends = []
    for each in series:
        if each.curves:
            last = sum(curve[-1][1] for curve in each.curves) / len(each.curves)
            ends.append(f"{each.name} ends at {last:.3f} on average over {len(each.curves)} folds")
    return f"{'; '.join(ends)}."


def _axes(across: svg.Scale, up: svg.Scale) -> Markup:
    parts = [svg.element("text", "epoch", class_="axis", x=(across.start + across.end) / 2, y=HEIGHT - 6)]
    parts.append(svg.element("text", "loss", class_="tick end", x=LEFT - 7, y=12))
    for value in svg.ticks(up.low, up.high):
        parts.append(svg.element("path", class_="grid", d=f"M{across.start} {up(value):.1f}H{across.end}"))
        parts.append(svg.element("text", svg.label(value), class_="tick end", x=LEFT - 7, y=up(value) + 4))
    for value in svg.ticks(across.low, across.high, 6):
        if value == int(value):
            parts.append(svg.element("text", svg.label(value), class_="tick", x=across(value), y=up.start + 17))
    return svg.joined(parts)


def _curves(series: Series, band: Band | None, across: svg.Scale, up: svg.Scale) -> list[Markup]:
    def placed(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(across(epoch), up(min(max(value, up.low), up.high))) for epoch, value in points]

    kind = f"series-{series.kind}"
    folds = [
        svg.element("path", class_=f"fold {kind}", d=svg.line(placed(thinned(curve, LINE_POINTS))))
        for curve in series.curves
    ]
    if band is None:
        return folds
    outline = [*zip(band.epochs, band.high, strict=True), *zip(band.epochs[::-1], band.low[::-1], strict=True)]
    return [
        svg.element("path", class_=f"band {kind}", d=svg.line(placed(outline)) + "Z"),
        *folds,
        svg.element("path", class_=f"mean {kind}", d=svg.line(placed(zip(band.epochs, band.mean, strict=True)))),
    ]
