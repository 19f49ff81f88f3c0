"""How far two masks agree: Dice, sensitivity, specificity and other shares, and volume, from voxel counts.

Masks are boolean arrays of one shape, of any number of dimensions; the reference is the truth.

Empty masks. Dice and Jaccard are nan (not defined) where both masks are empty and 0 where only one is. Sensitivity is
nan where the reference is empty, precision where the prediction is, specificity where the reference fills everything.
An undefined value is left out of means, and counted: whoever averages says over how many cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# What is printed of a cross-validation, and what else some papers tabulate; all of them are properties of `Overlap`
METRICS = ("dice", "sensitivity", "specificity")
ALL_METRICS = (*METRICS, "precision", "accuracy", "jaccard", "mean_jaccard")
COUNTS = ("tp", "fp", "fn", "tn")
EMPTY_RULE = (
    "Dice is undefined where reference and prediction are both empty and 0 where only one is; sensitivity is undefined "
    "where the reference is empty, specificity where the reference fills the volume; undefined values are left out of "
    "means, medians and standard deviations, and counted"
)


@dataclass(frozen=True)
class Overlap:
    """Voxels of each kind; those of a volume's parts add up to those of the volume."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    @classmethod
    def of(cls, reference: np.ndarray, prediction: np.ndarray) -> Overlap:
        """Count two boolean masks of one shape; ValueError where the shapes differ or a mask is not boolean."""
        if reference.shape != prediction.shape:
            raise ValueError(
                f"reference has shape {reference.shape}, prediction {prediction.shape}; expected one shape"
            )
        for name, mask in (("reference", reference), ("prediction", prediction)):
            # `&` of the labels 1 and 2 is 0: label maps would be counted wrongly without a word
            if mask.dtype != bool:
                raise ValueError(f"{name} is {mask.dtype}; expected a boolean mask, such as `labels == 3`")
        tp = int(np.count_nonzero(reference & prediction))
        fn = int(np.count_nonzero(reference)) - tp
        fp = int(np.count_nonzero(prediction)) - tp
        return cls(tp, fp, fn, reference.size - tp - fn - fp)

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def reference_voxels(self) -> int:
        return self.tp + self.fn

    @property
    def prediction_voxels(self) -> int:
        return self.tp + self.fp

    @property
    def dice(self) -> float:
        return _share(2 * self.tp, self.reference_voxels + self.prediction_voxels)

    @property
    def sensitivity(self) -> float:
        return _share(self.tp, self.reference_voxels)

    @property
    def specificity(self) -> float:
        return _share(self.tn, self.tn + self.fp)

    @property
    def accuracy(self) -> float:
        """Share of all voxels that are right; like specificity close to 1 for a small structure."""
        return _share(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)

    @property
    def precision(self) -> float:
        """Share of what was predicted that is right; nan where nothing was predicted."""
        return _share(self.tp, self.prediction_voxels)

    @property
    def jaccard(self) -> float:
        """Common voxels over those of either mask, never above Dice; nan where both are empty."""
        return _share(self.tp, self.tp + self.fp + self.fn)

    @property
    def mean_jaccard(self) -> float:
        """Mean of the Jaccard of the structure and of all that is not it; nan where either is undefined.

        The second is close to 1 for a small structure, which lifts the mean above Dice.
        """
        return (self.jaccard + _share(self.tn, self.tn + self.fp + self.fn)) / 2


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def dice(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Twice the common voxels over the voxels of both masks, in [0, 1]; nan where both are empty."""
    return Overlap.of(reference, prediction).dice


def sensitivity(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Share of the reference that was found, TP / (TP + FN), in [0, 1]; nan where the reference is empty."""
    return Overlap.of(reference, prediction).sensitivity


def specificity(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Share of the rest that was left alone, TN / (TN + FP), in [0, 1]; nan where the reference fills everything.

    The rest includes the air around the patient, so a small structure scores close to 1 whatever the network does.
    """
    return Overlap.of(reference, prediction).specificity


def voxel_ml(spacing_mm: Sequence[float]) -> float:
    """Volume of one voxel in millilitres; the spacing is in millimetres, three numbers in any order."""
    if len(spacing_mm) != 3:
        raise ValueError(f"spacing_mm is {tuple(spacing_mm)}; expected three numbers, since a volume has three axes")
    return math.prod(spacing_mm) / 1000


def volume_ml(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """Volume of a boolean mask in millilitres; the spacing is in millimetres."""
    return int(np.count_nonzero(mask)) * voxel_ml(spacing_mm)
