"""What the labels hold: a bar a case, of the volumes of its classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from markupsafe import Markup

from evaluation.report import svg

# Structure of a datalist's entry -> class of the style sheet; what is left of the infection is of no told kind
BALANCED = {"left_lung": "lung-1", "right_lung": "lung-2", "infection": "infection"}
ROW, BAR, TOP, RIGHT, BOTTOM = 22, 15, 4, 14, 40
LETTER, WIDTH = 7.8, 640


def infected_share(volume_ml: Mapping[str, float]) -> float:
    """Of lungs and infection together; nan without either, and where the label does not annotate both."""
    if not {"lungs", "infection"} <= volume_ml.keys():
        return math.nan
    whole = volume_ml["lungs"] + volume_ml["infection"]
    return volume_ml["infection"] / whole if whole else math.nan


def balance_plot(volumes_ml: Mapping[str, Mapping[str, float]]) -> Markup:
    """Case -> volume of each structure in ml; at least one case."""
    height = TOP + ROW * len(volumes_ml) + BOTTOM
    left = 14 + LETTER * max(len(case) for case in volumes_ml)
    most = max(ml.get("lungs", 0.0) + ml.get("infection", 0.0) for ml in volumes_ml.values())
    across = svg.Scale(0.0, 1.02 * most or 1.0, left, WIDTH - RIGHT)
    parts = [svg.element("text", "ml", class_="axis", x=(across.start + across.end) / 2, y=height - 6)]
    for value in svg.ticks(across.low, across.high, 6):
        x = across(value)
        parts.append(svg.element("path", class_="grid", d=f"M{x:.1f} {TOP}V{height - BOTTOM}"))
        parts.append(svg.element("text", svg.label(value), class_="tick", x=x, y=height - BOTTOM + 17))
    for place, (case, ml) in enumerate(volumes_ml.items()):
        top = TOP + ROW * place + (ROW - BAR) / 2
        parts.append(svg.element("text", case, class_="row", x=left - 8, y=top + BAR - 3, text_anchor="end"))
        parts += _bar(case, ml, across, top)
    return svg.picture("Volume of each class in each case", parts, height, WIDTH)


def _bar(case: str, volume_ml: Mapping[str, float], across: svg.Scale, top: float) -> Iterator[Markup]:
    consolidation = volume_ml.get("consolidation", 0.0)
    pieces = [(name, kind, volume_ml.get(name, 0.0)) for name, kind in BALANCED.items() if name != "infection"]
    pieces += [
        ("infection", "infection", volume_ml.get("infection", 0.0) - consolidation),
        ("consolidation", "consolidation", consolidation),
    ]
    before = 0.0
    for name, kind, ml in pieces:
        if ml <= 0:
            continue
        told = svg.element("title", f"{case}: {name.replace('_', ' ')} {ml:.0f} ml")
        width = across(before + ml) - across(before)
        yield svg.element("rect", told, class_=f"area {kind}", x=across(before), y=top, width=width, height=BAR)
        before += ml
