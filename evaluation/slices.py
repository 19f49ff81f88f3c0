"""Metrics of single slices and their means, as the Anam-Net paper averages them.

Each class is scored against the rest, slice by slice. Dice of a slice without reference pixels is 1 where none is
predicted and 0 otherwise (the paper's Table IV). The paper does not say what sensitivity is there: here nan, left out
of the mean and counted, and the same for specificity where the class fills the slice.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from evaluation.cases import Row, belongs, read_labels
from evaluation.metrics import Overlap
from pipeline.errors import InputError
from pipeline.labels import LABEL_CODES, LabelMap
from pipeline.scan import read_geometry

# In the order of the paper's tables
SLICE_METRICS = ("dice", "specificity", "sensitivity", "accuracy")
EMPTY_SLICE_RULE = (
    "a slice without pixels of a class has Dice 1 where none are predicted, else 0 (the paper's Table IV); its "
    "sensitivity is undefined, left out of the mean and counted (the paper does not say)"
)
SLICE_AVERAGING = "mean over the test slices, then over the models"


def slice_scores(reference: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """The four metrics of one class in one slice, from two boolean masks (H, W)."""
    overlap = Overlap.of(reference, prediction)
    scores = {metric: getattr(overlap, metric) for metric in SLICE_METRICS}
    if math.isnan(scores["dice"]):
        scores["dice"] = 1.0
    return scores


def slice_rows(reference: np.ndarray, prediction: np.ndarray, structures: Mapping[str, Sequence[int]]) -> list[Row]:
    """One row a slice and class, of two stacks (D, H, W) of class numbers.

    `structures` gives the numbers that make up a class. Slices are counted from 0. Raises ValueError where the shapes
    differ.
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"reference has shape {reference.shape}, prediction {prediction.shape}; expected one shape")
    rows = []
    for place, (expected, found) in enumerate(zip(reference, prediction, strict=True)):
        for name, numbers in structures.items():
            here, there = belongs(expected, numbers), belongs(found, numbers)
            pixels = {"reference_pixels": int(here.sum()), "prediction_pixels": int(there.sum())}
            rows.append({"slice": place, "class": name, **slice_scores(here, there), **pixels})
    return rows


def file_slice_rows(reference: Path, prediction: Path, case: str, label_map: LabelMap) -> list[Row]:
    """`slice_rows` of a case's files: the reference in the project's codes, the prediction in the map's class numbers.

    Raises InputError where their grids differ or a file holds other numbers.
    """
    if differences := read_geometry(reference).differences(read_geometry(prediction)):
        raise InputError(
            f"case {case}: {reference} and {prediction} lie on different grids: {'; '.join(differences)}; "
            "delete the prediction and run again."
        )
    expected = read_labels(reference, case, LABEL_CODES)
    found = read_labels(prediction, case, range(len(label_map.classes)))
    classes = label_map.class_of_code()[sitk.GetArrayViewFromImage(expected)]
    return slice_rows(classes, sitk.GetArrayFromImage(found), label_map.structures)


def mean_scores(rows: Iterable[Row]) -> dict[str, Any]:
    """Mean of each metric over the rows where it is defined, None where nowhere; `<metric>_undefined` counts others."""
    kept = list(rows)
    means: dict[str, Any] = {}
    for metric in SLICE_METRICS:
        defined = [row[metric] for row in kept if not math.isnan(row[metric])]
        means[metric] = statistics.fmean(defined) if defined else None
        means[f"{metric}_undefined"] = len(kept) - len(defined)
    return means


def model_means(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The means of each network, class and model; then, as model `mean`, of its models, where undefined slices add up.

    The rows are those of `slice_rows` with `network` and `model`; the order of networks and classes is theirs.
    """
    groups: dict[tuple[str, str], dict[int, list[Row]]] = {}
    for row in rows:
        groups.setdefault((row["network"], row["class"]), {}).setdefault(row["model"], []).append(row)
    means = []
    for (network, name), models in groups.items():
        head = {"network": network, "class": name}
        each = [{**head, "model": model, "slices": len(mine), **mean_scores(mine)} for model, mine in models.items()]
        means += [*each, {**head, "model": "mean", "slices": each[0]["slices"], **_mean_of_means(each)}]
    return means


def _mean_of_means(models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    means: dict[str, Any] = {}
    for metric in SLICE_METRICS:
        present = [model[metric] for model in models if model[metric] is not None]
        means[metric] = statistics.fmean(present) if present else None
        means[f"{metric}_undefined"] = sum(model[f"{metric}_undefined"] for model in models)
    return means
