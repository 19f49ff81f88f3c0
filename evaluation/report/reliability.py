"""Whether the infection's probability means what it says: a reliability diagram and its scores, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from evaluation.measures.reliability import BINS
from evaluation.report import svg
from evaluation.report.page import Section, note, paragraph, part
from evaluation.report.run import Run
from evaluation.report.tables import ABSENT, Cell, Table, text_cells
from evaluation.statistics.reliability import RULE, Reliability, Scores, reliability_of
from evaluation.statistics.reliability_text import AFTER, BEFORE, SCORE_NAMES, temperature_sentence, with_interval
from evaluation.statistics.verdicts import interval_note
from pipeline.core.text_table import number, sentence

TITLE = "Reliability of the infection's probability"
SIDE, TOP, LEFT, BOTTOM = 340, 12, 46, 42
# Of a dot, by the area that stands for all voxels, and so that a rare bin is still seen
LARGEST, SMALLEST = 11.0, 2.2
DIAGRAM_NOTE = (
    "Each dot is a bin of voxels, its area their share. On the diagonal, of voxels with a probability of 0.3 three of "
    "ten are infected; below it the networks are too sure of infection, above it not sure enough."
)


class Curve(NamedTuple):
    """Under a name, its bins as of `binned`; `kind` is the number of its colour in the style sheet, from 1."""

    name: str
    bins: np.ndarray
    kind: int


def probabilities(run: Run) -> Section | None:
    """None where the run has no probabilities of cases that annotate lungs and infection."""
    found = reliability_of(run.counts)
    if found is None:
        return None
    curves = [Curve(BEFORE, found.before.bins, 1), *([Curve(AFTER, found.after.bins, 2)] if found.after else [])]
    parts = [
        paragraph(temperature_sentence(found)),
        part("table", table=score_table(found)),
        note(f"{interval_note()} {sentence(RULE)}"),
        part("figure", body=reliability_diagram(curves), caption=TITLE, legend=curves),
        note(DIAGRAM_NOTE),
        part("details", summary="Every bin", body=part("table", table=bin_table(curves))),
    ]
    return Section("probabilities", "Probabilities", Markup("").join(parts))


def score_table(found: Reliability) -> Table:
    every: dict[str, Scores] = {BEFORE: found.before, **({AFTER: found.after} if found.after else {})}
    body = [
        [Cell(told), *text_cells(with_interval(getattr(scores, name)) for scores in every.values())]
        for name, told in SCORE_NAMES.items()
    ]
    caption = f"Probabilities of infection, {len(found.shares)} patients, with 95 % intervals"
    return Table(caption, ["score", *every], body)


def bin_table(curves: Sequence[Curve]) -> Table:
    """The numbers of the diagram."""
    body = []
    for place in range(BINS):
        # With spaces that no line is broken at
        cells = [Cell(f"{place / BINS:.3f}\u00a0to\u00a0{(place + 1) / BINS:.3f}")]
        for curve in curves:
            voxels, likely, infected = curve.bins[:, place]
            means = [number(likely / voxels), number(infected / voxels)] if voxels else [ABSENT, ABSENT]
            cells += text_cells([f"{100 * voxels:.2f} %", *means])
        body.append(cells)
    columns = [f"{what}, {curve.name}" for curve in curves for what in ("voxels", "mean probability", "infected")]
    return Table("Bins of the probability", ["bin", *columns], body)


def reliability_diagram(curves: Sequence[Curve]) -> Markup:
    """The infected share of each bin over its mean probability, both 0 to 1."""
    across = svg.Scale(0, 1, LEFT, LEFT + SIDE)
    up = svg.Scale(0, 1, TOP + SIDE, TOP)
    parts = [_axes(across, up)]
    for curve in curves:
        parts += _drawn(curve, across, up)
    told = "; ".join(f"{curve.name}, calibration error {_error(curve)}" for curve in curves)
    return svg.picture(f"{TITLE}: {told}.", parts, TOP + SIDE + BOTTOM)


def _error(curve: Curve) -> str:
    return number(float(np.abs(curve.bins[1] - curve.bins[2]).sum()))


def _axes(across: svg.Scale, up: svg.Scale) -> Markup:
    middle = (across.start + across.end) / 2
    parts = [svg.element("text", "mean probability", class_="axis", x=middle, y=up.start + 36)]
    turned = f"rotate(-90 12 {(up.start + up.end) / 2:g})"
    parts.append(
        svg.element("text", "infected share", class_="axis", x=12, y=(up.start + up.end) / 2, transform=turned)
    )
    for value in svg.ticks(0, 1):
        parts.append(svg.element("path", class_="grid", d=f"M{across.start} {up(value):.1f}H{across.end}"))
        parts.append(svg.element("text", svg.label(value), class_="tick end", x=LEFT - 7, y=up(value) + 4))
        parts.append(svg.element("text", svg.label(value), class_="tick", x=across(value), y=up.start + 17))
    parts.append(svg.element("path", class_="whisker", d=svg.line([(across(0), up(0)), (across(1), up(1))])))
    return svg.joined(parts)


def _drawn(curve: Curve, across: svg.Scale, up: svg.Scale) -> list[Markup]:
    """Line and dots of the bins that have voxels."""
    voxels, likely, infected = curve.bins[:, curve.bins[0] > 0]
    points = [(across(x), up(y)) for x, y in zip((likely / voxels).tolist(), (infected / voxels).tolist(), strict=True)]
    kind = f"series-{curve.kind}"
    parts = [svg.element("path", class_=f"mean {kind}", d=svg.line(points))]
    for (x, y), share, mean, true in zip(points, voxels, likely / voxels, infected / voxels, strict=True):
        told = f"{curve.name}: {100 * share:.2f} % of voxels, mean probability {number(mean)}, infected {number(true)}"
        radius = max(SMALLEST, LARGEST * float(np.sqrt(share)))
        title = svg.element("title", told)
        parts.append(svg.element("circle", title, class_=f"bin {kind}", cx=x, cy=y, r=radius))
    return parts
