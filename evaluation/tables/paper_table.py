"""Results beside the numbers that a paper printed: as text, CSV and Markdown.

A row of results has two keys that tell what it is of (HEADS); `model` where there are several models, of which `mean`
is shown; `averaging` where there are several ways of averaging, each a table of its own; and metrics with `<metric>_sd`
and `<metric>_undefined`. The paper's numbers stand beside the first averaging.
"""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.measures.averaging import DEVIATION
from evaluation.measures.slices import SLICE_METRICS
from pipeline.core.atomic import replacing, write_csv
from pipeline.core.text_table import WIDTH, aligned, number

PUBLISHED = Path(__file__).parent / "published"
# Columns of a published table, and of results, that are no numbers
HEADS, PAPER_NAME = ("network", "class"), "paper_name"
MEAN = "mean"
HEADINGS = {
    "dice": "Dice",
    "specificity": "Spec",
    "sensitivity": "Sens",
    "accuracy": "Acc",
    "precision": "Prec",
    "jaccard": "JI",
    "mean_jaccard": "mean JI",
}

Means = Sequence[Mapping[str, Any]]
Key = tuple[str, str]
Published = Mapping[Key, Mapping[str, float]]


def slice_columns(metrics: Sequence[str]) -> tuple[str, ...]:
    """Of a table with a row a slice."""
    what = ("network", "model", "case", "slice", "source_slice", "class")
    return (*what, *metrics, "reference_pixels", "prediction_pixels")


SLICE_COLUMNS = slice_columns(SLICE_METRICS)


def published(file: str | None) -> Published:
    """(network, class) -> column -> number, from a table in `evaluation/tables/published`; {} where the paper has none.

    The keys are the table's first two columns, whatever they are called; an empty cell is left out.
    """
    table = {}
    for row in _published_rows(file):
        first, second, *columns = (name for name in row if name != PAPER_NAME)
        table[row[first], row[second]] = {name: float(row[name]) for name in columns if row[name]}
    return table


def paper_names(file: str | None) -> dict[str, str]:
    """What the paper calls the networks of a published table, where the table tells."""
    return {row[HEADS[0]]: row[PAPER_NAME] for row in _published_rows(file) if row.get(PAPER_NAME)}


def _published_rows(file: str | None) -> list[dict[str, str]]:
    if file is None:
        return []
    with (PUBLISHED / file).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def text(title: str, notes: Sequence[str], means: Means, paper: Published, heads: Key = HEADS) -> str:
    """A table of the means over models for each averaging, the paper's numbers to the right, and the notes below."""
    tables = []
    for name, cells in _tables(means, paper, heads):
        tables += [f"\n{name}", aligned(cells)] if name else [aligned(cells)]
    wrapped = [line for note in notes for line in textwrap.wrap(f"- {note}", WIDTH, subsequent_indent="  ")]
    return "\n".join((title, *tables, *wrapped))


def markdown(title: str, notes: Sequence[str], means: Means, paper: Published, heads: Key = HEADS) -> str:
    """The same as a Markdown page."""
    tables = []
    for name, (head, *lines) in _tables(means, paper, heads):
        rule = ["---", "---", *("---:" for _ in head[2:])]
        rows = "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))
        tables.append(f"## {name}\n\n{rows}" if name else rows)
    page = "\n\n".join(tables)
    return f"# {title}\n\n{page}\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def _tables(means: Means, paper: Published, heads: Key) -> list[tuple[str, list[list[str]]]]:
    """The name of each averaging, empty where there is one alone, and its cells."""
    names = list(dict.fromkeys(row.get("averaging", "") for row in means))
    return [
        (name, _cells([row for row in means if row.get("averaging", "") == name], {} if place else paper, heads))
        for place, name in enumerate(names)
    ]


def _cells(means: Means, paper: Published, heads: Key) -> list[list[str]]:
    """The heading and a row a network and class; the paper's columns only where it has numbers."""
    ours, theirs = [name for name in means[0] if name in HEADINGS], _columns(paper)
    first, *others = [HEADINGS.get(name, name) for name in theirs] or [""]
    lines = [[*heads, *(HEADINGS[name] for name in ours), *([f"paper's {first}", *others] if theirs else [])]]
    for row in means:
        if row.get("model", MEAN) != MEAN:
            continue
        key = _key(row, heads)
        numbers = [*(_cell(row, name) for name in ours), *(_cell(paper.get(key, {}), name) for name in theirs)]
        lines.append([*key, *numbers])
    return lines


def _columns(paper: Published) -> list[str]:
    """The published columns, without those of standard deviations, which are printed together with what they are of."""
    names = dict.fromkeys(name for row in paper.values() for name in row)
    return [name for name in names if not name.endswith(DEVIATION)]


def _key(row: Mapping[str, Any], heads: Key) -> Key:
    return row[heads[0]], row[heads[1]]


def _cell(row: Mapping[str, Any], name: str) -> str:
    deviation = row.get(f"{name}{DEVIATION}")
    return number(row.get(name)) + ("" if deviation is None else f" ± {number(deviation)}")


def with_references(means: Means, paper: Published, heads: Key = HEADS) -> list[Mapping[str, Any]]:
    """The means, those by the first averaging followed by a row without numbers for what the paper alone has."""
    averaging = means[0].get("averaging")
    first = [row for row in means if row.get("averaging") == averaging]
    have = {_key(row, heads) for row in first}
    known = {"averaging": averaging, "model": MEAN}
    alike = {column: known.get(column) for column in means[0]}
    missing = [{**alike, **dict(zip(heads, key, strict=True))} for key in paper if key not in have]
    return [*first, *missing, *(row for row in means if row.get("averaging") != averaging)]


def write_results(
    folder: Path, title: str, notes: Sequence[str], means: Means, paper: Published, heads: Key = HEADS
) -> None:
    """Write results.csv from the means, and results.md."""
    write_means(folder / "results.csv", means, paper, heads)
    with replacing(folder / "results.md") as temporary:
        temporary.write_text(markdown(title, notes, means, paper, heads), encoding="utf-8")


def write_means(file: Path, means: Means, paper: Published, heads: Key = HEADS) -> None:
    """One row a network, class and model, and one of the models' mean with the paper's numbers; undefined is empty."""
    names = list(dict.fromkeys(name for row in means for name in row))
    undefined = [name for name in names if name.endswith("_undefined")]
    ours = [name for name in names if name not in undefined]
    # Where the paper has no numbers, its columns are empty
    theirs = list(dict.fromkeys(name for row in paper.values() for name in row)) or [*filter(HEADINGS.get, names)]
    rows = []
    for row in means:
        printed = paper.get(_key(row, heads), {}) if row.get("model", MEAN) == MEAN else {}
        rows.append({**row, **{f"paper_{name}": value for name, value in printed.items()}})
    write_csv(file, [*ours, *undefined, *(f"paper_{name}" for name in theirs)], rows)
