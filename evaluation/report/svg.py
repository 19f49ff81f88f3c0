"""The little of SVG that plots need. Colours come from the page's style sheet, by class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH = 480


@dataclass(frozen=True)
class Scale:
    """A linear map of values onto the picture: `low` is drawn at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / ((self.high - self.low) or 1) * (self.end - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, `about` as many as asked for."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda step: abs(step - rough))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, 10) for place in range(first, last + 1)]


def label(value: float) -> str:
    """A tick's number as short as can be: 0, 0.25, 200."""
    return f"{value:g}"


def element(name: str, content: str = "", /, **attributes: object) -> Markup:
    """`<name a="1">content</name>`; content that is no Markup and all attributes are escaped.

    Underscores become hyphens, a last one goes: `class_`, `text_anchor`. Coordinates keep two decimals.
    """
    given = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _short(value)) for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, given, content)


def _short(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def line(points: Sequence[tuple[float, float]]) -> str:
    """Path data through points (x, y)."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def picture(title: str, parts: Iterable[Markup], height: float, width: float = WIDTH) -> Markup:
    """A drawing as wide as its place, with a name for those who cannot see it."""
    return element(
        "svg",
        joined(parts),
        class_="plot",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=title,
    )
