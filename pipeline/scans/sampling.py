"""Values between the voxels of a volume or slice, as scipy's `map_coordinates` computes them, by torch on any device.

torch itself interpolates linearly. MONAI's `grid_pull` knows cubic splines, but only where MONAI was compiled with its
own extension, which its wheels are not. A cubic B-spline is a weighted mean of linear interpolations of its
coefficients, two along each axis (Sigg and Hadwiger 2005, GPU Gems 2, chapter 20).

Places are (axes, *size), in voxels from the first one, float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F

from pipeline.scans.resampling import coefficient_weights

# Coefficients beyond the edges that a place at the edge needs
PAD = 2


def interpolated(
    voxels: torch.Tensor, places: torch.Tensor, order: int, border: str = "constant", outside: float = 0.0
) -> torch.Tensor:
    """Values of (C, H, W[, D]), float32, at places: (C, *size).

    `order` is 0 (nearest), 1 (linear) or 3 (cubic). Beyond the outermost voxels' centres there is `outside`, or, where
    the border is `nearest`, what lies at them; to a cubic spline its outermost coefficients then go on, as in scipy.
    """
    repeats = border == "nearest"
    if order == 3:
        values = _cubic(padded_coefficients(voxels, "edge" if repeats else "reflect"), _kept(places, voxels, reach=1))
    else:
        values = (_linear if order else _nearest)(voxels, _kept(places, voxels))
    return values if repeats else torch.where(_within(places, voxels), values, outside)


def nearest(codes: torch.Tensor, places: torch.Tensor, border: str = "constant", outside: int = 0) -> torch.Tensor:
    """As `interpolated` of order 0, of any number type."""
    values = _nearest(codes, _kept(places, codes))
    beyond = torch.full_like(values, outside)
    return values if border == "nearest" else torch.where(_within(places, codes), values, beyond)


def padded_coefficients(voxels: torch.Tensor, beyond: str = "reflect") -> torch.Tensor:
    """Coefficients of the cubic B-spline through (C, H, W[, D]), PAD more at each edge; `beyond` is numpy's pad."""
    for axis, count in enumerate(voxels.shape[1:], 1):
        voxels = along(voxels, padded_weights(count, beyond, voxels.device), axis)
    return voxels


def along(voxels: torch.Tensor, weights: torch.Tensor, axis: int) -> torch.Tensor:
    """Voxels multiplied by a matrix (new, old) along an axis."""
    # From the left, or from the right: in either case without a copy of the voxels
    if axis == voxels.ndim - 1:
        return voxels @ weights.T
    lines = voxels.reshape(*voxels.shape[: axis + 1], -1)
    return (weights @ lines).reshape(*voxels.shape[:axis], len(weights), *voxels.shape[axis + 1 :])


@lru_cache(maxsize=64)
def padded_weights(count: int, beyond: str, device: torch.device) -> torch.Tensor:
    """What each of `count` samples gives to each coefficient, those beyond the edges too; (count + 2 PAD, count)."""
    weights: np.ndarray = coefficient_weights(count).toarray()
    # A copy: where numpy put its own, products may differ in their last bit
    rows = np.pad(np.arange(count), PAD, mode=beyond)  # type: ignore[call-overload]
    return torch.tensor(weights[rows], device=device)


def _kept(places: torch.Tensor, voxels: torch.Tensor, reach: int = 0) -> list[torch.Tensor]:
    """Places moved to no more than `reach` voxels beyond the outermost centres."""
    return [place.clamp(-reach, length - 1 + reach) for place, length in zip(places, voxels.shape[1:], strict=True)]


def _within(places: torch.Tensor, voxels: torch.Tensor) -> torch.Tensor:
    """Which places lie between the outermost voxels' centres."""
    axes = zip(places, voxels.shape[1:], strict=True)
    return torch.stack([(place >= 0) & (place <= length - 1) for place, length in axes]).all(0)


def _nearest(voxels: torch.Tensor, places: Sequence[torch.Tensor]) -> torch.Tensor:
    index = torch.zeros_like(places[0], dtype=torch.int64)
    for place, length in zip(places, voxels.shape[1:], strict=True):
        # Halves go up, as in scipy
        index = index * length + (place + 0.5).floor().long().clamp_(max=length - 1)
    return voxels.flatten(1)[:, index]


def _linear(voxels: torch.Tensor, places: Sequence[torch.Tensor]) -> torch.Tensor:
    # grid_sample counts the axes from the last one, and from -1 to 1
    scaled = [2 / max(length - 1, 1) * place - 1 for place, length in zip(places, voxels.shape[1:], strict=True)]
    return _sampled(voxels, scaled)


def _sampled(voxels: torch.Tensor, scaled: Sequence[torch.Tensor]) -> torch.Tensor:
    grid = torch.stack(list(scaled)[::-1], dim=-1)
    return F.grid_sample(voxels[None], grid[None], mode="bilinear", padding_mode="border", align_corners=True)[0]


def _cubic(coefficients: torch.Tensor, places: Sequence[torch.Tensor]) -> torch.Tensor:
    axes = [_two_linear(place, length) for place, length in zip(places, coefficients.shape[1:], strict=True)]
    total = torch.zeros((), device=coefficients.device)
    # Added up one after the other: eight volumes at once would be as much memory
    for corner in product(*axes):
        share = math.prod((share for _, share in corner), start=torch.ones((), device=coefficients.device))
        total = total + share * _sampled(coefficients, [at for at, _ in corner])
    return total


def _two_linear(place: torch.Tensor, length: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Where along an axis of padded coefficients to interpolate linearly, from -1 to 1, and the share of either."""
    below = place.floor()
    t = place - below
    low = (1 - t) ** 3 / 6 + (second := 2 / 3 - t**2 + t**3 / 2)
    high = 1 - low
    near, far = below - 1 + second / low, below + 1 + t**3 / 6 / high
    return [(2 / (length - 1) * (at + PAD) - 1, share) for at, share in ((near, low), (far, high))]
