"""Which columns of a metrics.csv are metrics worth comparing, and how each is read and written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from evaluation.measures.cases import Row
from pipeline.core.text_table import number

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
