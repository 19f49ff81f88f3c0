"""The tables of scores: each structure over all cases, each fold, each case."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluation.measures.cases import Row
from evaluation.measures.metrics import METRICS
from evaluation.report.tables import ABSENT, Cell, Table, name_of, share_cell, text_cells, volume_cell
from evaluation.statistics.summary import spread
from evaluation.tables.scores import PAPER_AVERAGE
from pipeline.core.labels import in_order
from pipeline.core.text_table import decimal, number

# Values and the patients that they are of -> lower and upper end of the 95 % confidence interval of their mean, None
# where there is none
Interval = Callable[[Sequence[float], Sequence[str]], tuple[float, float] | None]
SHORT = {"dice": "Dice", "sensitivity": "Sens.", "specificity": "Spec."}
PAPER_NAMES = {"lungs": "Lungs", "infection": "Infection"}


def defined(rows: Sequence[Row], structure: str, metric: str) -> list[Row]:
    """The rows of a structure where a metric is not nan."""
    return [row for row in rows if row["structure"] == structure and not math.isnan(row[metric])]


def interval_of(rows: Sequence[Row], structure: str, metric: str, interval: Interval | None) -> str:
    """`0.412 to 0.548`, empty where there is none."""
    if interval is None:
        return ""
    kept = defined(rows, structure, metric)
    ends = interval([row[metric] for row in kept], [row["patient_id"] for row in kept])
    return "" if ends is None else f"{number(ends[0])} to {number(ends[1])}"


def structure_table(rows: Sequence[Row], interval: Interval | None = None) -> Table:
    """Mean, deviation, interval, median and range of every structure and metric over all cases."""
    columns = ["structure", "metric", "mean ± SD", "95 % interval of the mean", "median", "lowest to highest", "n"]
    if interval is None:
        columns.remove("95 % interval of the mean")
    body = []
    for structure in in_order(row["structure"] for row in rows):
        for metric in METRICS:
            values = [row[metric] for row in defined(rows, structure, metric)]
            found = spread(values)
            cells = [
                Cell(metric.capitalize()),
                Cell(f"{number(found['mean'])} ± {number(found['std'])}" if values else ABSENT),
                *([] if interval is None else [Cell(interval_of(rows, structure, metric, interval) or ABSENT)]),
                share_cell(found["median"]),
                Cell(f"{number(min(values))} to {number(max(values))}" if values else ABSENT),
                Cell(str(len(values))),
            ]
            head = [Cell(name_of(structure), rows=len(METRICS))] if metric == METRICS[0] else []
            body.append([*head, *cells])
    return Table("Over all cases", columns, body, texts=("metric",))


def surface_table(summary: Mapping[str, Any]) -> Table:
    """Surfaces, volumes, precision and AUC of each structure, from a summary."""
    body = []
    for structure, metrics in summary["structures"].items():
        surface, error = metrics["surface_dice"], metrics["volume_error_ml"]
        tolerance_mm = summary["tolerance_mm"][structure]
        body.append(
            [
                Cell(name_of(structure)),
                *(share_cell(metrics[name]["mean"]) for name in ("precision", "jaccard", "mean_jaccard")),
                Cell(f"{number(surface['mean'])} ± {number(surface['std'])} ({tolerance_mm:g} mm)"),
                *text_cells(decimal(metrics[name]["median"]) for name in ("hd95_mm", "mean_distance_mm")),
                Cell(str(metrics["hd95_mm"]["infinite"])),
                Cell(f"{decimal(error['mean'])} ± {decimal(error['std'])}"),
                share_cell(metrics["auc"]["mean"]),
            ]
        )
    columns = ["structure", "precision", "Jaccard", "Jaccard with background", "surface Dice", "HD95 (mm)"]
    columns += ["mean distance (mm)", "lost", "volume error (ml)", "AUC"]
    return Table("Surfaces, volumes and other metrics", columns, body)


def averaging_table(summary: Mapping[str, Any]) -> Table:
    """Dice by the ways of averaging that papers use."""
    body = []
    for structure, metrics in summary["structures"].items():
        pooled = summary["pooled"]["structures"][structure]["dice"]
        others = (metrics["dice"]["mean"], pooled, summary["slice_wise"]["structures"][structure])
        body.append([Cell(name_of(structure)), *map(share_cell, others)])
    columns = ["structure", "mean over cases", "pooled", "slice-wise, empty = 1"]
    return Table("Dice, averaged as papers do", columns, body)


def fold_table(rows: Sequence[Row]) -> Table:
    """Median Dice of every structure in each fold, for label maps that the paper's table does not fit."""
    structures = in_order(row["structure"] for row in rows)
    body = []
    for fold in sorted({row["fold"] for row in rows}):
        mine = [row for row in rows if row["fold"] == fold]
        medians = [
            spread(row["dice"] for row in mine if row["structure"] == structure)["median"] for structure in structures
        ]
        cases = len({row["case"] for row in mine})
        body.append([*text_cells((fold, cases)), *map(share_cell, medians)])
    columns = ["fold", "cases", *(f"{name_of(structure)} Dice" for structure in structures)]
    return Table("Median of each fold", columns, body)


def paper_fold_table(summary: Mapping[str, Any]) -> Table:
    """The medians of each fold and their mean, laid out as Table 1 of the MIScnn paper, with its average below."""
    folds, average = summary["miscnn"]["folds"], summary["miscnn"]["average"]
    body = [[*text_cells((fold["fold"], fold["cases"])), *_paper_cells(fold)] for fold in folds]
    foot = [
        [*text_cells(("mean", summary["cases"])), *_paper_cells(average)],
        [*text_cells(("MIScnn paper*", 20)), *_paper_cells(PAPER_AVERAGE)],
    ]
    scores = (f"{PAPER_NAMES[column]} {SHORT[metric]}" for column in PAPER_AVERAGE for metric in METRICS)
    return Table("Median of each fold, the MIScnn paper's way", ["fold", "cases", *scores], body, foot)


def _paper_cells(scores: Mapping[str, Any]) -> list[Cell]:
    return [share_cell(scores[column][metric]) for column in PAPER_AVERAGE for metric in METRICS]


def case_table(rows: Sequence[Row], volume_of: str | None, shown: Mapping[tuple[str, int], int]) -> Table:
    """One sortable row a case: the Dice of each structure, and the volumes of one of them in the two label maps.

    `shown` numbers the cases, by name and fold, that the report has pictures of.
    """
    structures = in_order(row["structure"] for row in rows)
    by_case: dict[tuple[str, int], dict[str, Row]] = {}
    for row in rows:
        by_case.setdefault((row["case"], row["fold"]), {})[row["structure"]] = row
    patients = any(row["patient_id"] != row["case"] for row in rows)
    body = []
    for (case, fold), mine in sorted(by_case.items()):
        patient = [Cell(next(iter(mine.values()))["patient_id"])] if patients else []
        scores = [share_cell(mine[name]["dice"] if name in mine else None) for name in structures]
        found = mine.get(volume_of or "")
        volumes = [volume_cell(found[f"{kind}_ml"]) for kind in ("reference", "prediction")] if found else []
        padding = [Cell(ABSENT)] * (2 - len(volumes)) if volume_of else []
        body.append([Cell(case, shown=shown.get((case, fold))), *patient, Cell(str(fold)), *scores, *volumes, *padding])
    columns = [
        "case",
        *(["patient"] if patients else []),
        "fold",
        *(f"{name_of(structure)} Dice" for structure in structures),
        *([f"{name_of(volume_of)}, reference (ml)", f"{name_of(volume_of)}, predicted (ml)"] if volume_of else []),
    ]
    return Table("Every case", columns, body, texts=("patient",), sortable=True)
