"""Noisy curves of several folds as one smooth curve with a band: Gaussian-process regression.

Figure 4 of the MIScnn COVID-19 paper (Muller, Soto-Rey, Kramer) draws its losses this way.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

# A regression takes time with the cube of its points
MOST_POINTS = 300
FEWEST_POINTS = 4
NORMAL_95 = 1.96

Curve = Sequence[tuple[int, float]]


class Band(NamedTuple):
    """A smooth curve; between `low` and `high` lie 95 % of single folds' values. All arrays (N,)."""

    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def thinned(curve: Curve, count: int) -> list[tuple[float, float]]:
    """At most `count` points: means over neighbouring points, equally many in each but for one."""
    groups = np.array_split(np.asarray(curve, float), min(count, len(curve)))
    return [(float(epoch), float(value)) for epoch, value in (group.mean(axis=0) for group in groups)]


def smooth(curves: Sequence[Curve], places: int = 120) -> Band | None:
    """Gaussian-process regression of the points (epoch, value) of all folds' curves together, at `places` epochs.

    The band has the noise in it: it tells where a fold's value lies, not how well the mean is known. Both end with the
    fold that ends first, since beyond it the mean would move when a fold leaves. None where there are too few points.
    """
    end = min((curve[-1][0] for curve in curves), default=0)
    common = [[point for point in curve if point[0] <= end] for curve in curves]
    points = [point for curve in common for point in thinned(curve, max(10, MOST_POINTS // len(curves)))]
    if len({epoch for epoch, _ in points}) < FEWEST_POINTS:
        return None
    epochs, values = np.array(points).T
    at = np.linspace(epochs.min(), epochs.max(), places)
    with warnings.catch_warnings():
        # A bound that is reached, such as no noise at all, is no reason to warn
        warnings.simplefilter("ignore", ConvergenceWarning)
        process = _process().fit(_stretched(epochs), values)
        mean, deviation = process.predict(_stretched(at), return_std=True)
    return Band(at, mean, mean - NORMAL_95 * deviation, mean + NORMAL_95 * deviation)


def _process() -> GaussianProcessRegressor:
    kernel = ConstantKernel(1.0, (0.01, 100)) * Matern(1.0, (0.3, 30), nu=2.5) + WhiteKernel(0.01, (1e-6, 1))
    return GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)


def _stretched(epochs: np.ndarray) -> np.ndarray:
    """Logarithm of the epoch, (N, 1): a loss falls quickly at first and slowly later, too different for one length."""
    return np.log(epochs)[:, None]
