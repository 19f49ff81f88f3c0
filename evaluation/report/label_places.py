"""Where the names of points go so that none covers another name or point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import cos, hypot, pi, sin
from typing import NamedTuple

# Of a letter, in units of the drawing at its font's size, and half a line
LETTER, HALF = 7.0, 7.0
GAP = 4.0
RINGS = (0.0, 8.0, 18.0, 30.0, 44.0, 60.0, 78.0, 98.0, 120.0, 145.0)
# To the right first, as one reads, then the left, above and below
ANGLES = tuple(pi * part / 8 for part in (0, 8, 12, 4, 14, 2, 10, 6, 15, 1, 9, 7, 13, 3, 11, 5))
# Beyond this a line has to tell which point a name is of
LED = 14.0


class Box(NamedTuple):
    """A rectangle, y downwards."""

    left: float
    top: float
    right: float
    bottom: float


Line = tuple[tuple[float, float], tuple[float, float]]


class Place(NamedTuple):
    """A name's rectangle; `led` where it stands away from its point."""

    box: Box
    led: bool


def places(
    points: Sequence[tuple[float, float]], names: Sequence[str], bounds: Box, radius: float, lines: Sequence[Line] = ()
) -> list[Place]:
    """A place for the name of each point; points that are crowded choose first.

    A name covers no point and no other name as long as any place of those tried is free; where none is, it takes the
    one that covers least. It keeps off the lines where that is cheap.
    """
    # A name that all but touches another's point would be taken for that one's
    reach = radius + 3
    dots = [Box(x - reach, y - reach, x + reach, y + reach) for x, y in points]
    crowded = sorted(range(len(points)), key=lambda index: _neighbours(points, index))
    found: dict[int, Place] = {}
    leaders: list[Line] = []
    for index in reversed(crowded):
        taken = [*(place.box for place in found.values()), *(dot for other, dot in enumerate(dots) if other != index)]
        best = min(
            _candidates(points[index], LETTER * len(names[index]), bounds, radius),
            key=lambda place: _price(place, points[index], taken, leaders, lines),
        )
        found[index] = best
        if best.led:
            leaders.append((points[index], end_of_leader(best.box, points[index])))
    return [found[index] for index in range(len(points))]


def _neighbours(points: Sequence[tuple[float, float]], index: int) -> int:
    here = points[index]
    return sum(hypot(here[0] - x, (here[1] - y) * 2) < 90 for x, y in points)


def _candidates(point: tuple[float, float], width: float, bounds: Box, radius: float) -> Iterator[Place]:
    for ring in RINGS:
        for angle in ANGLES:
            reach = radius + GAP + ring
            x, y = point[0] + reach * cos(angle), point[1] + (reach + HALF * abs(sin(angle))) * sin(angle)
            left = x - width / 2 + width / 2 * _side(cos(angle))
            box = Box(left, y - HALF, left + width, y + HALF)
            if (
                bounds.left <= left
                and box.right <= bounds.right
                and bounds.top <= box.top
                and box.bottom <= bounds.bottom
            ):
                yield Place(box, ring > LED)
    # Bounds too narrow for any: over the point, within them sideways
    left = min(max(point[0] - width / 2, bounds.left), bounds.right - width)
    yield Place(Box(left, point[1] - radius - 2 * HALF, left + width, point[1] - radius), led=False)


def _within(box: Box, bounds: Box) -> bool:
    across = bounds.left <= box.left and box.right <= bounds.right
    return across and bounds.top <= box.top and box.bottom <= bounds.bottom


def _side(cosine: float) -> float:
    """-1 where the name ends at its place, 1 where it begins there, between them above and below the point."""
    return max(-1.0, min(1.0, 1.6 * cosine))


def _price(
    place: Place,
    point: tuple[float, float],
    taken: Sequence[Box],
    leaders: Sequence[Line],
    lines: Sequence[Line],
) -> float:
    near = end_of_leader(place.box, point)
    # Beside a point is read more easily than above or below it
    price = hypot(near[0] - point[0], near[1] - point[1]) + 0.8 * abs((place.box.top + place.box.bottom) / 2 - point[1])
    price += sum(25 for start, end in lines if _cut(place.box, start, end))
    price += sum(10_000 + 10 * _common(place.box, box) for box in taken if _common(place.box, box) > 0)
    price += sum(3_000 for start, end in leaders if _cut(place.box, start, end))
    if place.led:
        price += 40 + sum(3_000 for box in taken if _cut(box, point, near))
        price += sum(1_500 for start, stop in leaders if _cross(point, near, start, stop))
    return price


def end_of_leader(box: Box, point: tuple[float, float]) -> tuple[float, float]:
    """Where a line from a point meets its name."""
    return min(max(point[0], box.left), box.right), min(max(point[1], box.top), box.bottom)


def _common(one: Box, other: Box) -> float:
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(across, 0.0) * max(down, 0.0)


def _cut(box: Box, start: tuple[float, float], end: tuple[float, float]) -> bool:
    """Whether a line runs through a box (Liang and Barsky's clipping)."""
    first, last = 0.0, 1.0
    for at, to, low, high in ((start[0], end[0], box.left, box.right), (start[1], end[1], box.top, box.bottom)):
        step = to - at
        if step == 0:
            if not low < at < high:
                return False
            continue
        enter, leave = sorted(((low - at) / step, (high - at) / step))
        first, last = max(first, enter), min(last, leave)
    return first < last


def _cross(
    first: tuple[float, float], second: tuple[float, float], third: tuple[float, float], fourth: tuple[float, float]
) -> bool:
    """Whether the line from the first to the second point crosses that from the third to the fourth."""

    def side(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    return (
        side(first, second, third) * side(first, second, fourth) < 0
        and side(third, fourth, first) * side(third, fourth, second) < 0
    )
