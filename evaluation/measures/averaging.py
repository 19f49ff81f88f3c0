"""Many cases or slices in one number a metric: its mean over them, or its value for all their voxels together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evaluation.measures.metrics import COUNTS, METRICS, Overlap

DEVIATION = "_sd"


def mean_scores(rows: Iterable[Mapping[str, Any]], metrics: Sequence[str] = METRICS) -> dict[str, Any]:
    """Mean of each metric over the rows where it is defined, None where nowhere; `<metric>_undefined` counts others.

    A name such as `dice_sd` gives the sample standard deviation of that metric (ddof 1), None of fewer than two values.
    """
    kept = list(rows)
    means: dict[str, Any] = {}
    for name in metrics:
        metric = name.removesuffix(DEVIATION)
        defined = [row[metric] for row in kept if not math.isnan(row[metric])]
        if name != metric:
            means[name] = statistics.stdev(defined) if len(defined) > 1 else None
            continue
        means[metric] = statistics.fmean(defined) if defined else None
        means[f"{metric}_undefined"] = len(kept) - len(defined)
    return means


def pooled_scores(rows: Iterable[Mapping[str, Any]], metrics: Sequence[str] = METRICS) -> dict[str, Any]:
    """Each metric of the voxels of all rows together, from their counts; None where undefined, and that counted as 1.

    A large structure counts for more than a small one, and a row where both masks are empty for nothing in Dice.
    """
    kept = list(rows)
    together = Overlap(*(int(sum(row[count] for row in kept)) for count in COUNTS))
    scores: dict[str, Any] = {}
    for metric in metrics:
        value = getattr(together, metric)
        undefined = math.isnan(value)
        scores.update({metric: None if undefined else value, f"{metric}_undefined": int(undefined)})
    return scores
