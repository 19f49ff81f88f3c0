"""The results of a paper's experiment beside the numbers that the paper printed: as text, CSV and Markdown."""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.slices import SLICE_METRICS
from evaluation.table import WIDTH, aligned, number
from pipeline.atomic import replacing

PUBLISHED = Path(__file__).parent / "published"
SLICE_COLUMNS = (
    *("network", "model", "case", "slice", "source_slice", "class"),
    *(*SLICE_METRICS, "reference_pixels", "prediction_pixels"),
)

Means = Sequence[Mapping[str, Any]]
Published = Mapping[tuple[str, str], Mapping[str, float]]


def published(file: str | None) -> Published:
    """(network, class) -> metric -> number, from a table in `evaluation/published`; {} where the paper has none."""
    if file is None:
        return {}
    with (PUBLISHED / file).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {(row["network"], row["class"]): {metric: float(row[metric]) for metric in SLICE_METRICS} for row in rows}


def text(title: str, notes: Sequence[str], means: Means, paper: Published) -> str:
    """A table of the means over models, with the paper's numbers to the right, and the notes below."""
    wrapped = [line for note in notes for line in textwrap.wrap(f"- {note}", WIDTH, subsequent_indent="  ")]
    return "\n".join((title, aligned(_cells(means, paper)), *wrapped))


def markdown(title: str, notes: Sequence[str], means: Means, paper: Published) -> str:
    """The same as a Markdown page."""
    head, *lines = _cells(means, paper)
    rule = ["---", "---", *("---:" for _ in head[2:])]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))
    return f"# {title}\n\n{rows}\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def _cells(means: Means, paper: Published) -> list[list[str]]:
    """The heading and a row a network and class; the paper's columns only where it has numbers."""
    short = ["Dice", "Spec", "Sens", "Acc"]
    lines = [["network", "class", *short, *([f"paper's {short[0]}", *short[1:]] if paper else [])]]
    for row in means:
        if row["model"] != "mean":
            continue
        theirs = paper.get((row["network"], row["class"]), {})
        cells = [number(theirs.get(metric)) for metric in SLICE_METRICS] if paper else []
        lines.append([row["network"], row["class"], *(number(row[metric]) for metric in SLICE_METRICS), *cells])
    return lines


def write_results(
    folder: Path, title: str, notes: Sequence[str], rows: Sequence[Mapping[str, Any]], means: Means, paper: Published
) -> None:
    """Write slices.csv from the rows of `evaluation.slices`, results.csv from their means, and results.md."""
    write_rows(folder / "slices.csv", SLICE_COLUMNS, rows)
    write_means(folder / "results.csv", means, paper)
    with replacing(folder / "results.md") as temporary:
        temporary.write_text(markdown(title, notes, means, paper), encoding="utf-8")


def write_means(file: Path, means: Means, paper: Published) -> None:
    """One row a network, class and model, and one of the models' mean with the paper's numbers; undefined is empty."""
    undefined = [f"{metric}_undefined" for metric in SLICE_METRICS]
    columns = ["network", "class", "model", "slices", *SLICE_METRICS, *undefined]
    theirs = [f"paper_{metric}" for metric in SLICE_METRICS]
    rows = []
    for row in means:
        printed = paper.get((row["network"], row["class"]), {}) if row["model"] == "mean" else {}
        rows.append({**row, **{f"paper_{metric}": value for metric, value in printed.items()}})
    write_rows(file, [*columns, *theirs], rows)


def write_rows(file: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows whole or not at all; None and nan are empty cells, other numbers keep all their digits."""
    with replacing(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: "" if _undefined(row.get(name)) else row[name] for name in columns})


def _undefined(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
