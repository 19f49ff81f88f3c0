"""Metrics of single slices and their means, as the Anam-Net paper and others average them.

Each class is scored against the rest, slice by slice. Dice of a slice without reference pixels is 1 where none is
predicted and 0 otherwise (the Anam-Net paper's Table IV; others add 1 above and below), and so is Jaccard. What
sensitivity is there no paper says: here nan, left out of the mean and counted, and the same for precision where nothing
is predicted and for specificity where the class fills the slice.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.measures.averaging import mean_scores, pooled_scores
from evaluation.measures.cases import Job, Row, annotated_structures, belongs, class_numbers, read_pair
from evaluation.measures.metrics import COUNTS, Overlap
from pipeline.core.labels import IGNORE, LabelMap

# In the order of the Anam-Net paper's tables
SLICE_METRICS = ("dice", "specificity", "sensitivity", "accuracy")
# 1 and not undefined where both masks are empty
ONE_WHERE_EMPTY = ("dice", "jaccard", "mean_jaccard")
EMPTY_SLICE_RULE = (
    "a slice without pixels of a class has Dice and Jaccard 1 where none are predicted, else 0; its sensitivity is "
    "undefined, as is precision where none are predicted; undefined values are left out of the mean and counted"
)
# What a way of averaging is called in text, and its function
AVERAGINGS = {
    "slices": ("mean over the test slices, then over the models", mean_scores),
    "pooled": ("all pixels of a model's test slices together, then mean over the models", pooled_scores),
}


def slice_scores(
    reference: np.ndarray, prediction: np.ndarray, metrics: Sequence[str] = SLICE_METRICS
) -> dict[str, float]:
    """Metrics of one class in one slice, from two boolean masks (H, W); each is a property of `Overlap`."""
    overlap = Overlap.of(reference, prediction)
    scores = {metric: getattr(overlap, metric) for metric in metrics}
    empty = {metric: 1.0 for metric in ONE_WHERE_EMPTY if math.isnan(scores.get(metric, 0))}
    return {**scores, **empty}


def slice_rows(
    reference: np.ndarray,
    prediction: np.ndarray,
    structures: Mapping[str, Sequence[int]],
    metrics: Sequence[str] = SLICE_METRICS,
) -> list[Row]:
    """One row a slice and class, of two stacks (D, H, W) of class numbers: metrics, and counts of pixels.

    `structures` gives the numbers that make up a class. Slices are counted from 0. Pixels whose reference is IGNORE are
    not counted. Raises ValueError where the shapes differ.
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"reference has shape {reference.shape}, prediction {prediction.shape}; expected one shape")
    rows = []
    for place, (expected, found) in enumerate(zip(reference, prediction, strict=True)):
        known = expected != IGNORE
        for name, numbers in structures.items():
            here, there = belongs(expected[known], numbers), belongs(found[known], numbers)
            scores = slice_scores(here, there, (*metrics, *COUNTS))
            pixels = {"reference_pixels": int(here.sum()), "prediction_pixels": int(there.sum())}
            rows.append({"slice": place, "class": name, **scores, **pixels})
    return rows


def case_slice_rows(job: Job, label_map: LabelMap, metrics: Sequence[str] = SLICE_METRICS) -> list[Row]:
    """`slice_rows` of a case: the reference in the project's codes, the prediction in the map's class numbers.

    What the reference does not annotate has no rows. Raises InputError as `read_pair`.
    """
    reference, prediction = read_pair(job, label_map)
    classes, found, _ = class_numbers(job, reference, prediction, label_map)
    return slice_rows(classes, found, annotated_structures(job, label_map), metrics)


def averaged(rows: Sequence[Row], metrics: Sequence[str], averagings: Sequence[str]) -> list[dict[str, Any]]:
    """`model_means` by several ways of averaging, named by `averaging` where there is more than one."""
    means = []
    for words, score in (AVERAGINGS[name] for name in averagings):
        named = {"averaging": words} if len(averagings) > 1 else {}
        for row in model_means(rows, metrics, score):
            means.append({"network": row["network"], "class": row["class"], **named, **row})
    return means


def model_means(
    rows: Sequence[Row],
    metrics: Sequence[str] = SLICE_METRICS,
    score: Callable[[Sequence[Row], Sequence[str]], dict[str, Any]] = mean_scores,
) -> list[dict[str, Any]]:
    """The scores of each network, class and model; then, as model `mean`, of its models, where undefined ones add up.

    The rows are those of `slice_rows` with `network` and `model`; the order of networks and classes is theirs. `score`
    is a function of `evaluation.measures.averaging`.
    """
    groups: dict[tuple[str, str], dict[int, list[Row]]] = {}
    for row in rows:
        groups.setdefault((row["network"], row["class"]), {}).setdefault(row["model"], []).append(row)
    means = []
    for (network, name), models in groups.items():
        head = {"network": network, "class": name}
        each = [{**head, "model": model, "slices": len(mine), **score(mine, metrics)} for model, mine in models.items()]
        means += [*each, {**head, "model": "mean", "slices": each[0]["slices"], **_mean_of_means(each, metrics)}]
    return means


def _mean_of_means(models: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> dict[str, Any]:
    means: dict[str, Any] = {}
    for metric in metrics:
        present = [model[metric] for model in models if model[metric] is not None]
        means[metric] = statistics.fmean(present) if present else None
        means[f"{metric}_undefined"] = sum(model[f"{metric}_undefined"] for model in models)
    return means
