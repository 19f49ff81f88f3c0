"""How far the surfaces of two masks lie apart: surface Dice, 95th percentile and mean of the distances.

Definitions of Nikolov et al. 2018 (DeepMind's surface-distance), as in the COVID-19-CT-Seg benchmark (Ma et al. 2021).
The surface is that of marching cubes at one half: each group of 2 x 2 x 2 voxels that is neither all inside nor all
outside holds an element, whose area depends on the spacing. An element stands in the middle of its voxels, its distance
is that to the nearest element of the other surface, and it counts by its area. Areas are MONAI's, from its table.

Masks are boolean arrays of one shape; an axis of one voxel is dropped, so that a volume of one slice is measured along
its contours, in that slice. Where a mask reaches the end of the volume, its cut counts as surface, in both masks.

Empty masks. Where both are empty all three are nan (not defined). Where only one is, surface Dice is 0 and the
distances are infinite: a lost structure is the worst result, and neither 0 nor a left-out value would say so. Whoever
averages takes the median, or says how many were infinite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.measures.distances import distances_mm
from pipeline.scans.bounding_box import bounding_box

SURFACE_METRICS = ("surface_dice", "hd95_mm", "mean_distance_mm")
SURFACE_EMPTY_RULE = (
    "surface Dice and distances are undefined where reference and prediction are both empty; where only one is, "
    "surface Dice is 0 and the distances are infinite"
)
# Of the benchmark: 1 mm for lungs, 3 mm for infection, by how far apart two radiologists draw them
TOLERANCE_MM = {
    "left_lung": 1.0,
    "right_lung": 1.0,
    "lungs": 1.0,
    "whole_lungs": 1.0,
    "normal": 1.0,
    "infection": 3.0,
    "abnormal": 3.0,
    "ground_glass_opacity": 3.0,
    "consolidation": 3.0,
}
# A header keeps spacings in 32 bits: three slices of "1 mm" may be 3.0000004 mm, which is still 3 mm
ROUNDING_MM = 1e-4
PERCENTILE = 0.95


@dataclass(frozen=True)
class SurfaceDistances:
    """Elements of two surfaces; the arrays are float64, one value an element.

    Args:
        reference_mm: distance of each of the reference's elements from the prediction's surface, inf where it has none.
        reference_mm2: area of each of the reference's elements; a length in mm for a single slice.
        prediction_mm, prediction_mm2: the same the other way round.
    """

    reference_mm: np.ndarray
    reference_mm2: np.ndarray
    prediction_mm: np.ndarray
    prediction_mm2: np.ndarray

    @classmethod
    def of(cls, reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float]) -> SurfaceDistances:
        """Measure two boolean masks; the spacing is in millimetres, one number an axis of the arrays, in their order.

        Raises ValueError where the shapes differ, a mask is not boolean, the spacing does not fit, or fewer than two
        axes have more than one voxel.
        """
        _check(reference, prediction, spacing_mm)
        spacing = np.array([step for step, voxels in zip(spacing_mm, reference.shape, strict=True) if voxels > 1])
        masks = reference.squeeze(), prediction.squeeze()
        box = bounding_box(*masks)
        if box is None:
            return cls(*np.zeros((4, 0)))
        # Cutting the box out loses nothing: around it both masks are background, which `_elements` puts back
        shape = [side.stop - side.start + 1 for side in box]
        (here, here_mm2), (there, there_mm2) = (_elements(mask[box], spacing) for mask in masks)
        return cls(_apart_mm(here, there, shape, spacing), here_mm2, _apart_mm(there, here, shape, spacing), there_mm2)

    def surface_dice(self, tolerance_mm: float) -> float:
        """Share of both surfaces that lies within the tolerance of the other one, in [0, 1]; nan without any."""
        area = self.reference_mm2.sum() + self.prediction_mm2.sum()
        if not area:
            return math.nan
        limit = tolerance_mm + ROUNDING_MM
        within = self.reference_mm2[self.reference_mm <= limit].sum()
        return float((within + self.prediction_mm2[self.prediction_mm <= limit].sum()) / area)

    @property
    def hd95_mm(self) -> float:
        """95 % of each surface lie at most this far from the other one (robust Hausdorff distance); nan without any."""
        directed = (
            _percentile(self.reference_mm, self.reference_mm2),
            _percentile(self.prediction_mm, self.prediction_mm2),
        )
        return max((value for value in directed if not math.isnan(value)), default=math.nan)

    @property
    def mean_distance_mm(self) -> float:
        """Mean over the area of both surfaces together (average symmetric surface distance); nan without any."""
        distances = np.concatenate((self.reference_mm, self.prediction_mm))
        areas = np.concatenate((self.reference_mm2, self.prediction_mm2))
        return float(np.average(distances, weights=areas)) if distances.size else math.nan


def surface_scores(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float], tolerance_mm: float
) -> dict[str, float]:
    """The SURFACE_METRICS of two masks; arguments and errors are those of `SurfaceDistances`."""
    distances = SurfaceDistances.of(reference, prediction, spacing_mm)
    return {
        "surface_dice": distances.surface_dice(tolerance_mm),
        "hd95_mm": distances.hd95_mm,
        "mean_distance_mm": distances.mean_distance_mm,
    }


def _check(reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float]) -> None:
    if reference.shape != prediction.shape:
        raise ValueError(f"reference has shape {reference.shape}, prediction {prediction.shape}; expected one shape")
    for name, mask in (("reference", reference), ("prediction", prediction)):
        if mask.dtype != bool:
            raise ValueError(f"{name} is {mask.dtype}; expected a boolean mask, such as `labels == 3`")
    if len(spacing_mm) != reference.ndim:
        raise ValueError(f"spacing_mm is {tuple(spacing_mm)}; expected one number for each of {reference.ndim} axes")
    if sum(voxels > 1 for voxels in reference.shape) not in (2, 3):
        raise ValueError(f"the masks have shape {reference.shape}; expected two or three axes of more than one voxel")


def _elements(mask: np.ndarray, spacing_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices of the surface elements of a mask with background around it, and their areas in mm2.

    The grid of elements has one place more along each axis than the mask: one between and beyond all its voxels.
    """
    codes: np.ndarray = np.pad(mask, 1).view(np.uint8)
    # The bits of a code are the voxels around a place, in the order of MONAI's table: along an axis the first is higher
    for axis in reversed(range(mask.ndim)):
        along = np.moveaxis(codes, axis, 0)
        codes = np.moveaxis((along[:-1] << (1 << (mask.ndim - 1 - axis))) | along[1:], 0, axis)
    flat = codes.ravel()
    full = (1 << (1 << mask.ndim)) - 1
    places = np.flatnonzero((flat != 0) & (flat != full))
    return places, _areas_mm2(spacing_mm)[flat[places]]


def _areas_mm2(spacing_mm: np.ndarray) -> np.ndarray:
    """The area of the element of each code; float64, 256 of them in three dimensions, 16 lengths in two."""
    # Here, since it brings torch: whoever only prints finished metrics need not wait for that
    from monai.metrics.utils import get_code_to_measure_table

    table, _ = get_code_to_measure_table(spacing_mm.tolist())
    areas: np.ndarray = table.numpy().astype(np.float64)
    return areas


def _apart_mm(here: np.ndarray, there: np.ndarray, shape: Sequence[int], spacing_mm: np.ndarray) -> np.ndarray:
    """Of each element to the nearest of others; flat indices into one grid, inf where there are no others."""
    surface = np.zeros(shape, bool)
    surface.ravel()[there] = True
    return distances_mm(here, surface, spacing_mm.tolist())


def _percentile(distances_mm: np.ndarray, areas_mm2: np.ndarray) -> float:
    """The smallest distance that at least PERCENTILE of the area does not exceed; nan without elements."""
    if not distances_mm.size:
        return math.nan
    order = np.argsort(distances_mm)
    reached = np.cumsum(areas_mm2[order])
    return float(distances_mm[order[np.searchsorted(reached, PERCENTILE * reached[-1])]])
