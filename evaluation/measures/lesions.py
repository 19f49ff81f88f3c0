"""Which lesions were found: sensitivity by lesion and false positives, a case at a time.

A lesion is a set of infected voxels that touch at a face, an edge or a corner (26-connected), of SMALLEST_ML at least.
Smaller sets are neither lesions nor false positives; their voxels still count for the matching.

Matching. A reference lesion is found where the prediction covers at least LEAST_SHARE of its voxels, however many
predicted lesions do so together. A predicted lesion is a false positive where the reference's infection covers less
than LEAST_SHARE of its voxels. So one large prediction may find many lesions, and a prediction of the whole lung finds
all and is one false positive: read both numbers together, and beside Dice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from evaluation.measures.metrics import voxel_ml
from pipeline.scans.bounding_box import bounding_box

# A ball of 6 mm: lung nodules below that are not followed up (Fleischner Society 2017)
SMALLEST_ML = 0.1
# One common voxel may be chance: a tenth, as for the lesions of multiple sclerosis (Commowick et al. 2018)
LEAST_SHARE = 0.1
LESION_RULE = (
    f"lesions are 26-connected, of {SMALLEST_ML:g} ml at least; found where a share of {LEAST_SHARE:g} of them is "
    f"predicted; a predicted lesion is false where less than {LEAST_SHARE:g} of it is infected in the reference"
)


@dataclass(frozen=True)
class Detection:
    """Counts of lesions; those of cases add up to those of all cases together."""

    lesions: int = 0
    found: int = 0
    predicted: int = 0
    false_positives: int = 0

    @classmethod
    def of(
        cls,
        reference: np.ndarray,
        prediction: np.ndarray,
        spacing_mm: Sequence[float],
        smallest_ml: float = SMALLEST_ML,
        least_share: float = LEAST_SHARE,
    ) -> Detection:
        """Count two boolean masks (D, H, W) of the infection; the spacing is in millimetres.

        With `least_share` 0 any common voxel is a match. Raises ValueError where the masks differ in shape, are not
        boolean or have no three axes.
        """
        _check(reference, prediction)
        box = bounding_box(reference, prediction)
        if box is None:
            return cls()
        reference, prediction = reference[box], prediction[box]
        fewest = smallest_ml / voxel_ml(spacing_mm)
        covered = _covered_shares(reference, prediction, fewest)
        infected = _covered_shares(prediction, reference, fewest)
        found, right = ((shares > 0) & (shares >= least_share) for shares in (covered, infected))
        return cls(covered.size, int(found.sum()), infected.size, int((~right).sum()))

    def __add__(self, other: Detection) -> Detection:
        return Detection(
            self.lesions + other.lesions,
            self.found + other.found,
            self.predicted + other.predicted,
            self.false_positives + other.false_positives,
        )

    @property
    def sensitivity(self) -> float:
        """Found lesions over the reference's lesions, in [0, 1]; nan where it has none."""
        return self.found / self.lesions if self.lesions else math.nan


def _check(reference: np.ndarray, prediction: np.ndarray) -> None:
    if reference.shape != prediction.shape or reference.ndim != 3:
        raise ValueError(
            f"reference has shape {reference.shape}, prediction {prediction.shape}; expected one shape of three axes"
        )
    for name, mask in (("reference", reference), ("prediction", prediction)):
        if mask.dtype != bool:
            raise ValueError(f"{name} is {mask.dtype}; expected a boolean mask, such as `labels == 3`")


def _covered_shares(mask: np.ndarray, cover: np.ndarray, fewest_voxels: float) -> np.ndarray:
    """Of each component of a mask that is large enough, the share of its voxels that another mask covers, (N,)."""
    components, count = ndimage.label(mask, np.ones((3, 3, 3)))
    voxels = np.bincount(components[mask], minlength=count + 1)[1:]
    common = np.bincount(components[mask & cover], minlength=count + 1)[1:]
    # The spacing of a header has 7 digits: a component that is exactly as large as asked for must not depend on them
    large = voxels >= fewest_voxels * (1 - 1e-6)
    return common[large] / voxels[large]
