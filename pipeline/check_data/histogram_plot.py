"""How often a scan's numbers occur: a line a case, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from evaluation.report import svg
from pipeline.check_data.intensity import sample
from pipeline.scans.simpleitk import sitk

HU_EDGES, GREY_EDGES = np.arange(-1200, 701, 20), np.arange(0, 257, 4)
HEIGHT, TOP, LEFT, RIGHT, BOTTOM = 260, 24, 58, 16, 42
# Shares below are drawn at the bottom
LEAST_SHARE = 1e-4


class Histogram(NamedTuple):
    """Shares of all voxels between the edges, whose number is one more."""

    edges: np.ndarray
    shares: np.ndarray


def histogram(image: sitk.Image) -> Histogram:
    """Of a scan in Hounsfield units where it has negative numbers, else of grey 0 to 255."""
    voxels = sample(sitk.GetArrayViewFromImage(image))
    edges = HU_EDGES if voxels.min() < 0 else GREY_EDGES
    counts, _ = np.histogram(voxels, edges)
    return Histogram(edges, counts / voxels.size)


def histogram_plot(title: str, axis: str, lines: Mapping[str, Histogram], doubtful: Collection[str]) -> Markup:
    """At least one case; those in `doubtful` are drawn in another colour, dashed."""
    edges = next(iter(lines.values())).edges
    across = svg.Scale(float(edges[0]), float(edges[-1]), LEFT, svg.WIDTH - RIGHT)
    up = svg.Scale(float(np.log10(LEAST_SHARE)), 0.0, HEIGHT - BOTTOM, TOP)
    drawn = [_axes(across, up, axis)]
    for name, line in sorted(lines.items(), key=lambda item: item[0] in doubtful):
        middles = (line.edges[:-1] + line.edges[1:]) / 2
        heights = np.log10(np.maximum(line.shares, LEAST_SHARE))
        points = [(across(x), up(y)) for x, y in zip(middles.tolist(), heights.tolist(), strict=True)]
        kind = "series-2 mean" if name in doubtful else "series-1 line"
        drawn.append(svg.element("path", svg.element("title", name), class_=kind, d=svg.line(points)))
    return svg.picture(f"{title}: histogram of each case", drawn, HEIGHT)


def _axes(across: svg.Scale, up: svg.Scale, axis: str) -> Markup:
    parts = [svg.element("text", axis, class_="axis", x=(across.start + across.end) / 2, y=HEIGHT - 6)]
    parts.append(svg.element("text", "share of voxels", class_="axis", x=LEFT + 20, y=12))
    for value in svg.ticks(across.low, across.high, 6):
        x = across(value)
        parts.append(svg.element("path", class_="grid", d=f"M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"))
        parts.append(svg.element("text", svg.label(value), class_="tick", x=x, y=HEIGHT - BOTTOM + 17))
    for power in range(int(up.low), 1):
        y = up(power)
        parts.append(svg.element("path", class_="grid", d=f"M{LEFT} {y:.1f}H{svg.WIDTH - RIGHT}"))
        told = f"{100 * 10.0**power:g} %"
        parts.append(svg.element("text", told, class_="tick end", x=LEFT - 6, y=y + 4))
    return svg.joined(parts)
