"""A table of metrics in a few numbers: over all cases, and in the reference paper's own way.

    pneumobundle summary METRICS.csv

prints the tables and writes `summary.json` beside the file.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from evaluation.measures.averaging import pooled_scores
from evaluation.measures.cases import LESIONS, SLICE_DICE, SLICES, Row, read_metrics_csv
from evaluation.measures.lesions import LESION_RULE, Detection
from evaluation.measures.metrics import ALL_METRICS, EMPTY_RULE, METRICS
from evaluation.measures.roc import AUC_RULE
from evaluation.measures.surfaces import SURFACE_EMPTY_RULE, SURFACE_METRICS, TOLERANCE_MM
from evaluation.tables.scores import tables
from pipeline.core.atomic import write_json
from pipeline.core.errors import InputError
from pipeline.core.labels import in_order
from pipeline.core.run_files import SUMMARY_FILE

AVERAGING = (
    "mean over folds of the median over a fold's cases; lungs are the mean of the medians of left and right lung; "
    "0/0 is counted as 0"
)
SUMMARISED = (*ALL_METRICS, "auc", *SURFACE_METRICS, "volume_error_ml")
SLICE_RULE = "mean Dice over all slices of all cases, 1 where reference and prediction are both empty"
POOLED_RULE = "all voxels of all cases together, so that large structures count for more"
# What the reference paper tabulates -> the structures whose medians are averaged for it
PAPER_COLUMNS = {"lungs": ("left_lung", "right_lung"), "infection": ("infection",)}

Scores = dict[str, dict[str, float | None]]


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Counts, the spread of each structure and metric over the cases, and the fold medians; None where undefined.

    Raises InputError where a case stands twice in one fold, which would weigh it twice.
    """
    _refuse_repeated(rows)
    structures = in_order(row["structure"] for row in rows)
    return {
        "cases": len({row["case"] for row in rows}),
        "patients": len({row["patient_id"] for row in rows}),
        "empty_rule": EMPTY_RULE,
        "structures": {
            name: {metric: spread(row[metric] for row in rows if row["structure"] == name) for metric in SUMMARISED}
            for name in structures
        },
        "surface_rule": SURFACE_EMPTY_RULE,
        "tolerance_mm": {name: TOLERANCE_MM[name] for name in structures},
        "auc_rule": AUC_RULE,
        "lesions": lesion_detection(rows),
        # Other papers' ways of averaging, to stand beside their tables and nothing else
        "pooled": {"averaging": POOLED_RULE, **_of_structures(rows, lambda mine: pooled_scores(mine, METRICS))},
        "slice_wise": {"averaging": SLICE_RULE, **_of_structures(rows, slice_wise_dice)},
        # The paper's columns need its structures
        "miscnn": mean_of_fold_medians(rows) if set(structures) >= {*chain(*PAPER_COLUMNS.values())} else None,
    }


def _refuse_repeated(rows: Iterable[Row]) -> None:
    counts = Counter((row["case"], row["fold"], row["structure"]) for row in rows)
    for (case, fold, structure), times in counts.items():
        if times > 1:
            raise InputError(
                f"case {case}: {structure} stands {times} times in fold {fold}; expected once; remove repeated rows."
            )


def _of_structures(rows: Sequence[Row], score: Callable[[Sequence[Row]], Any]) -> dict[str, Any]:
    structures = in_order(row["structure"] for row in rows)
    return {"structures": {name: score([row for row in rows if row["structure"] == name]) for name in structures}}


def slice_wise_dice(rows: Sequence[Row]) -> float:
    """Each slice counts the same, whatever case it is of."""
    return statistics.fmean([row[SLICE_DICE] for row in rows], weights=[row[SLICES] for row in rows])


def lesion_detection(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Lesions of all cases together; None where the infection was not scored."""
    counted = [row for row in rows if not math.isnan(row[LESIONS[0]])]
    if not counted:
        return None
    together = sum((Detection(*(int(row[name]) for name in LESIONS)) for row in counted), Detection())
    return {
        "rule": LESION_RULE,
        "lesions": together.lesions,
        "found": together.found,
        "sensitivity": None if math.isnan(together.sensitivity) else together.sensitivity,
        "predicted": together.predicted,
        "false_positives": together.false_positives,
        "false_positives_a_case": together.false_positives / len(counted),
    }


def spread(values: Iterable[float]) -> dict[str, float | int | None]:
    """Mean, median, sample standard deviation (ddof 1) and number of the values that are not nan.

    `infinite` counts those that are: a mean and a deviation over them do not exist, nor a median that is one of them.
    """
    defined = [value for value in values if not math.isnan(value)]
    infinite = sum(map(math.isinf, defined))
    median = statistics.median(defined) if defined else math.nan
    return {
        "mean": statistics.fmean(defined) if defined and not infinite else None,
        "median": median if math.isfinite(median) else None,
        "std": statistics.stdev(defined) if len(defined) > 1 and not infinite else None,
        "cases": len(defined),
        "infinite": infinite,
    }


def mean_of_fold_medians(rows: Sequence[Row]) -> dict[str, Any]:
    """The averaging of the MIScnn paper (Muller, Soto-Rey, Kramer), to compare with its table and with nothing else.

    It hides a fold's worst case: with four cases a fold, one lost infection moves the median little.
    """
    folds = [_fold_scores(fold, rows) for fold in sorted({row["fold"] for row in rows})]
    average = {
        column: {metric: _mean([fold[column][metric] for fold in folds]) for metric in METRICS}
        for column in PAPER_COLUMNS
    }
    return {"averaging": AVERAGING, "folds": folds, "average": average}


def _fold_scores(fold: int, rows: Sequence[Row]) -> dict[str, Any]:
    """The medians over the cases of one fold, under the paper's columns."""
    mine = [row for row in rows if row["fold"] == fold]
    scores: Scores = {
        column: {metric: _mean([_median(mine, name, metric) for name in structures]) for metric in METRICS}
        for column, structures in PAPER_COLUMNS.items()
    }
    return {"fold": fold, "cases": len({row["case"] for row in mine}), **scores}


def _median(rows: Sequence[Row], structure: str, metric: str) -> float | None:
    """Median over the rows of a structure with 0/0 as 0, the paper's way; None where there is no row."""
    values = [row[metric] for row in rows if row["structure"] == structure]
    return statistics.median(0.0 if math.isnan(value) else value for value in values) if values else None


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if present else None


def summarise_file(metrics: Path) -> str:
    """The tables of a metrics.csv, whose summary.json is written beside it; InputError for a table without rows."""
    rows = read_metrics_csv(metrics)
    if not rows:
        raise InputError(f"{metrics}: has no rows; expected one for each case and structure; evaluate again.")
    summary = summarise(rows)
    write_json(metrics.with_name(SUMMARY_FILE), summary)
    return tables(rows, summary)
