"""Which columns of a metrics.csv are metrics worth comparing, and how each is read and written."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from evaluation.cases import Row
from evaluation.table import number
from pipeline.errors import InputError

# Without these a row cannot be compared with another run's; every other column is optional
NEEDED = ("case", "patient_id", "fold", "structure", "dice", "reference_ml")
TEXTS = ("case", "patient_id", "structure")
SHARES = {
    "dice": "Dice",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "jaccard": "Jaccard",
    "surface_dice": "Surface Dice",
}
DISTANCES = {"hd95_mm": "HD95 (mm)", "mean_distance_mm": "Mean distance (mm)"}


class Metric(NamedTuple):
    """A column that is compared.

    Args:
        lower_is_better: as for distances.
        median: summarised by the median, since a lost structure is infinitely far away.
    """

    column: str
    heading: str
    lower_is_better: bool = False
    median: bool = False

    @property
    def statistic(self) -> str:
        return "median" if self.median else "mean"

    def text(self, value: float | None) -> str:
        """Three decimals of a share, one of millimetres; `-` where it is undefined."""
        if value is None or math.isnan(value) or not self.lower_is_better:
            return number(value)
        return f"{value:.1f}"


METRICS = (
    *(Metric(column, heading) for column, heading in SHARES.items()),
    *(Metric(column, heading, lower_is_better=True, median=True) for column, heading in DISTANCES.items()),
)
DICE = METRICS[0]


def metrics_of(rows: Iterable[Row]) -> list[Metric]:
    """Those with a value in any row, in the order of METRICS."""
    kept = list(rows)
    return [metric for metric in METRICS if any(not math.isnan(row.get(metric.column, math.nan)) for row in kept)]


def read_scores(file: Path) -> list[Row]:
    """The rows of a metrics.csv of any version: every column but the texts is a number, nan where the cell is empty.

    Metrics that the file does not have are nan. Raises InputError for a missing file, needed column or number.
    """
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; finish that cross-validation first, or leave it out.")
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if missing := [name for name in NEEDED if name not in (reader.fieldnames or ())]:
            raise InputError(f"{file}: has no column {', '.join(missing)}; needed are {', '.join(NEEDED)}.")
        return [_row(cells, f"{file}, line {reader.line_num}") for cells in reader]


def _row(cells: dict[str, str], where: str) -> Row:
    absent = {metric.column: math.nan for metric in METRICS if metric.column not in cells}
    try:
        numbers = {name: float(cell) if cell else math.nan for name, cell in cells.items() if name not in TEXTS}
        return {**{name: cells[name] for name in TEXTS}, **absent, **numbers, "fold": int(cells["fold"])}
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: a number is missing or unreadable ({error}); evaluate again.") from error
