"""What accuracy costs: a point a network, and the front that no other network is both cheaper and better than."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from evaluation.report import svg
from evaluation.report.label_places import Box, end_of_leader, places
from pipeline.core.text_table import number

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 680, 62, 16, 16, 46
HEIGHT, HEIGHT_OF_NAME, MOST = 300, 9, 520
RADIUS = 5.0
SLICES, VOLUMES, CASCADE = "slices", "volumes", "cascade"


class Point(NamedTuple):
    """A network: its cost, above 0, its score with the ends of the interval where there is one, and its kind."""

    name: str
    cost: float
    score: float
    low: float | None
    high: float | None
    kind: str


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other point is at least as cheap and as good as and better in one of both, the cheapest first."""
    kept = [
        one
        for one in points
        if not any(
            other.cost <= one.cost and other.score >= one.score and (other.cost, other.score) != (one.cost, one.score)
            for other in points
        )
    ]
    return sorted(kept, key=lambda point: (point.cost, point.score))


def pareto_plot(title: str, cost: str, score: str, points: Sequence[Point]) -> Markup:
    """The points with their names, costs on a logarithmic axis; there must be one."""
    height = min(HEIGHT + HEIGHT_OF_NAME * len(points), MOST)
    across = _log_scale([point.cost for point in points])
    up = _score_scale(points, height)
    best = front(points)
    drawn = [(across(math.log10(point.cost)), up(point.score)) for point in points]
    bounds = Box(LEFT + 4, TOP, WIDTH - RIGHT, height - BOTTOM - 4)
    steps = _steps(best, across, up)
    intervals = [
        ((x, up(point.low)), (x, up(point.high)))
        for point, (x, _) in zip(points, drawn, strict=True)
        if point.low is not None and point.high is not None
    ]
    lines = [*intervals, *pairwise(steps)]
    named = places(drawn, [point.name for point in points], bounds, RADIUS, lines)
    parts = [*_axes(across, up, cost, score, height), svg.element("path", class_="front-line", d=svg.line(steps))]
    parts += [svg.element("path", class_="interval", d=svg.line(line)) for line in intervals]
    for place, (x, y) in zip(named, drawn, strict=True):
        if place.led:
            end = end_of_leader(place.box, (x, y))
            parts.append(svg.element("path", class_="leader", d=svg.line([(x, y), end])))
    for point, (x, y) in zip(points, drawn, strict=True):
        parts.append(_mark(point, x, y, point in best))
    for point, place in zip(points, named, strict=True):
        middle = (place.box.left + place.box.right) / 2
        kind = "name front" if point in best else "name"
        parts.append(
            svg.element("text", point.name, class_=kind, x=middle, y=place.box.bottom - 3.2, text_anchor="middle")
        )
    told = f"{title}. On the front: {', '.join(point.name for point in best)}."
    return svg.picture(told, parts, height, WIDTH)


def _log_scale(costs: Sequence[float]) -> svg.Scale:
    low, high = math.log10(min(costs)), math.log10(max(costs))
    room = max(0.08 * (high - low), 0.12)
    return svg.Scale(low - room, high + room, LEFT, WIDTH - RIGHT)


def _score_scale(points: Sequence[Point], height: float) -> svg.Scale:
    """Holds every interval, to the next twentieth."""
    ends = [end for point in points for end in (point.score, point.low, point.high) if end is not None]
    low, high = math.floor(min(ends) * 20 - 0.2) / 20, math.ceil(max(ends) * 20 + 0.2) / 20
    return svg.Scale(max(low, 0.0), min(high, 1.0), height - BOTTOM, TOP)


def _axes(across: svg.Scale, up: svg.Scale, cost: str, score: str, height: float) -> list[Markup]:
    middle = (across.start + across.end) / 2
    parts = [
        svg.element("text", cost, class_="axis", x=middle, y=height - 6),
        svg.element("text", score, class_="axis", transform=f"translate(14 {(up.start + up.end) / 2:.1f}) rotate(-90)"),
    ]
    for value in svg.ticks(up.low, up.high, 6):
        parts.append(svg.element("path", class_="grid", d=f"M{across.start} {up(value):.1f}H{across.end}"))
        parts.append(svg.element("text", svg.label(value), class_="tick end", x=LEFT - 7, y=up(value) + 4))
    for value in log_ticks(10**across.low, 10**across.high):
        x = across(math.log10(value))
        parts.append(svg.element("path", class_="grid", d=f"M{x:.1f} {TOP}V{up.start:.1f}"))
        parts.append(svg.element("text", amount(value), class_="tick", x=x, y=up.start + 17))
    return parts


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from `low` to `high`; over more than two powers the powers alone.

    Where these are fewer than three within a power of ten: even steps.
    """
    span = math.log10(high / low)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if span <= 2.2 else (1,)
    found = [value for power in powers for factor in factors if low <= (value := factor * 10.0**power) <= high]
    return found if len(found) >= 3 or span > 1 else svg.ticks(low, high, 6)


def amount(value: float) -> str:
    """A number of things as short as can be: 0.5, 20, 300 k, 4 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _steps(best: Sequence[Point], across: svg.Scale, up: svg.Scale) -> list[tuple[float, float]]:
    """The front's corners: up to a point's score no sooner than at its cost."""
    corners: list[tuple[float, float]] = []
    for point in best:
        x, y = across(math.log10(point.cost)), up(point.score)
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return [*corners, (across.end, corners[-1][1])]


def _mark(point: Point, x: float, y: float, best: bool) -> Markup:
    title = svg.element("title", f"{point.name}: {number(point.score)} at {amount(point.cost)}")
    return shape(point.kind, x, y, best, title)


def shape(kind: str, x: float, y: float, best: bool, content: str = "") -> Markup:
    """A point's mark: a disc for slices, a square for volumes, a diamond for a cascade; full on the front."""
    class_ = "point front" if best else "point"
    if kind == SLICES:
        return svg.element("circle", content, class_=class_, cx=x, cy=y, r=RADIUS)
    side = RADIUS * 1.8
    turned = {"transform": f"rotate(45 {x:.1f} {y:.1f})"} if kind == CASCADE else {}
    return svg.element(
        "rect", content, class_=class_, x=x - side / 2, y=y - side / 2, width=side, height=side, **turned
    )
