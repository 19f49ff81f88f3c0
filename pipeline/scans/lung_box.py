"""The box around the lungs, from a threshold on a scan at low resolution, so that networks need not see the rest.

Lungs are air that the body encloses. Where that is doubtful nothing is cut: see `lung_box`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from pipeline.core.errors import InputError
from pipeline.scans.bounding_box import bounding_box
from pipeline.scans.simpleitk import sitk

LOW_RESOLUTION_MM = 5.0
# Smaller pockets of enclosed air are bowel, oesophagus and sinuses
SMALLEST_POCKET_ML = 15.0
# Of the body's volume in the slices that have lung
PLAUSIBLE_SHARE = (0.06, 0.75)
# Of all enclosed air, on the poorer side of the body's middle
SMALLEST_SIDE = 0.15


@dataclass(frozen=True)
class Box:
    """First voxel and the one after the last, along each axis."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        x, y, z = (slice(first, last) for first, last in zip(self.start, self.stop, strict=True))
        return x, y, z

    @property
    def size(self) -> tuple[int, int, int]:
        x, y, z = (last - first for first, last in zip(self.start, self.stop, strict=True))
        return x, y, z


class DoubtfulLungsError(Exception):
    """The box cannot be trusted; the message says why, in words that follow a case's name."""


def whole(size: Sequence[int]) -> Box:
    x, y, z = size
    return Box((0, 0, 0), (x, y, z))


def lung_box(voxels: torch.Tensor, spacing_mm: Sequence[float], margin_mm: float) -> Box:
    """The box around the lungs of a prepared scan (H, W, D), with a margin where the volume has one.

    Air and tissue are told apart by Otsu's threshold, so that any window and normalisation will do. Air that reaches
    the sides of the volume is outside the body; the rest, in pockets of at least 15 ml, is lung. The box is made
    symmetric about the body's middle, since a lung full of infection is no air.

    Raises DoubtfulLungsError: for too little or too much enclosed air, or air on one side of the body alone (a field
    of view that cuts through a lung opens it to the outside).
    """
    low, factor = _low_resolution(voxels, spacing_mm)
    low_mm = np.array(spacing_mm) * factor
    air = sitk.GetArrayFromImage(sitk.OtsuThreshold(sitk.GetImageFromArray(low), 1, 0)).astype(bool)
    outside, lungs = outside_and_lungs(air, float(np.prod(low_mm)) / 1000)
    body = ~outside[:, :, lungs.any((0, 1))]
    _check_share(lungs.sum(), body.sum())
    middle = sum(_ends(body, 0)) / 2
    _check_sides(lungs, middle)
    edges = [_ends(lungs, axis) for axis in range(3)]
    half = max(middle - edges[0][0], edges[0][1] - middle)
    first = np.array([np.floor(middle - half), edges[1][0], edges[2][0]])
    after = np.array([np.ceil(middle + half), edges[1][1], edges[2][1]]) + 1
    return _with_margin(first * factor, after * factor, margin_mm / np.array(spacing_mm), voxels.shape)


def content_box(voxels: torch.Tensor, spacing_mm: Sequence[float], margin_mm: float) -> Box:
    """The box around all that is not the volume's minimum, with a margin: of a scan in which all else was made air.

    Raises DoubtfulLungsError where nothing is left.
    """
    box = bounding_box((voxels > voxels.min()).numpy())
    if box is None:
        raise DoubtfulLungsError("nothing but air was found")
    first, after = (np.array(ends) for ends in zip(*((side.start, side.stop) for side in box), strict=True))
    return _with_margin(first, after, margin_mm / np.array(spacing_mm), voxels.shape)


def fitted(box: Box, size: Sequence[int], multiple: Sequence[int], smallest: Sequence[int] = (1, 1, 1)) -> Box:
    """The box widened on both sides to a multiple of voxels and a smallest size, as far as the volume reaches."""
    start, stop = [], []
    for first, last, length, step, least in zip(box.start, box.stop, size, multiple, smallest, strict=True):
        wanted = min(max(-(-(last - first) // step) * step, least), length)
        begin = min(max(first - (wanted - (last - first)) // 2, 0), length - wanted)
        start.append(begin)
        stop.append(begin + wanted)
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _low_resolution(voxels: torch.Tensor, spacing_mm: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Means of blocks of about 5 mm, and how many voxels a block has along each axis."""
    if voxels.ndim != 3:
        raise InputError(f"a scan of shape {tuple(voxels.shape)} came where three dimensions were expected.")
    factor = [max(1, round(LOW_RESOLUTION_MM / spacing)) for spacing in spacing_mm]
    pooled = torch.nn.functional.avg_pool3d(voxels[None, None].float(), factor, ceil_mode=True)
    return pooled[0, 0].numpy(), np.array(factor)


def outside_and_lungs(air: np.ndarray, voxel_ml: float) -> tuple[np.ndarray, np.ndarray]:
    """Air (H, W, D) that is connected with the sides of the volume, and pockets that are not.

    Raises DoubtfulLungsError where there is no such pocket.
    """
    pockets, count = ndimage.label(air)
    ml = np.bincount(pockets.ravel(), minlength=count + 1) * voxel_ml
    # The first and the last slice are no sides: most scans begin and end within the body
    sides = np.unique(
        np.concatenate([pockets[side].ravel() for side in ((0,), (-1,), (slice(None), 0), (slice(None), -1))])
    )
    is_outside, is_lung = np.zeros(count + 1, bool), ml >= SMALLEST_POCKET_ML
    is_outside[sides] = True
    is_lung[sides] = False
    is_outside[0] = is_lung[0] = False
    lungs = is_lung[pockets]
    if not lungs.any():
        raise DoubtfulLungsError("no enclosed air was found")
    return is_outside[pockets], lungs


def _ends(mask: np.ndarray, axis: int) -> tuple[int, int]:
    """First and last place along an axis where the mask has anything."""
    along = np.flatnonzero(mask.any(tuple(other for other in range(3) if other != axis)))
    return int(along[0]), int(along[-1])


def _check_share(lung_voxels: int, body_voxels: int) -> None:
    share = lung_voxels / body_voxels
    low, high = PLAUSIBLE_SHARE
    if not low <= share <= high:
        raise DoubtfulLungsError(f"enclosed air is {share:.0%} of the body, expected {low:.0%} to {high:.0%}")


def _check_sides(lungs: np.ndarray, middle: float) -> None:
    right = lungs[: round(middle)].sum() / lungs.sum()
    if min(right, 1 - right) < SMALLEST_SIDE:
        raise DoubtfulLungsError(f"{max(right, 1 - right):.0%} of the enclosed air is on one side of the body")


def _with_margin(first: np.ndarray, after: np.ndarray, margin: np.ndarray, size: Sequence[int]) -> Box:
    """Clipped to the volume; all in voxels."""
    start = np.maximum(np.floor(first - margin), 0).astype(int).tolist()
    stop = np.minimum(np.ceil(after + margin), size).astype(int).tolist()
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
