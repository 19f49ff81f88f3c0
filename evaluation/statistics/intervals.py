"""How well a mean or a median is known: BCa bootstrap intervals over patients.

A patient is what is drawn at random in a study; two scans of one patient are not two patients. Values are therefore
averaged within a patient first, and patients are resampled.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

# Whose stats, half a second, is loaded when it is first used: what reads results does not need it
import scipy

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
FEWEST = 3
# Dice values that agree to here differ by rounding in the order of summing, not by a voxel
SAME = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A statistic over patients and the ends of its 95 % interval; where one is None, `why_not` says why."""

    value: float | None
    low: float | None
    high: float | None
    patients: int
    why_not: str = ""


def patient_means(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The mean of each patient's values that are not nan; a patient without any is left out."""
    of_patient: defaultdict[str, list[float]] = defaultdict(list)
    for patient_id, value in values:
        if not math.isnan(value):
            of_patient[patient_id].append(value)
    # Not fmean, which refuses a distance that is infinite in favour of either side
    means = {patient_id: sum(mine) / len(mine) for patient_id, mine in of_patient.items()}
    return {patient_id: mean for patient_id, mean in means.items() if not math.isnan(mean)}


def estimate(values: Iterable[float], statistic: Callable[..., np.ndarray] = np.mean) -> Estimate:
    """A statistic of one value a patient, with its 95 % interval; nan is left out.

    `statistic` takes an array and `axis`: np.mean or np.median. The interval is the bias-corrected and accelerated
    bootstrap's (Efron 1987) with a fixed seed, so the same values give the same interval. It is too narrow for few
    patients, `evaluation.statistics.verdicts` says how much.
    """
    defined = np.array([value for value in values if not math.isnan(value)], dtype=np.float64)
    patients = len(defined)
    if not patients:
        return Estimate(None, None, None, 0, "no patient has a value")
    value = float(statistic(defined, axis=0))
    if patients < FEWEST:
        return Estimate(value, None, None, patients, f"an interval needs {FEWEST} patients, there are {patients}")
    if infinite := np.count_nonzero(np.isinf(defined)):
        return Estimate(value, None, None, patients, f"{infinite} patient(s) have an infinite value")
    if np.ptp(defined) <= SAME:
        return Estimate(value, None, None, patients, f"all {patients} patients have the same value")
    low, high = _bca(defined, statistic)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Estimate(value, None, None, patients, "leaving out any one patient does not change it")
    return Estimate(value, low, high, patients)


def _bca(values: np.ndarray, statistic: Callable[..., np.ndarray]) -> tuple[float, float]:
    """The ends of the interval; nan where the acceleration is 0 / 0, as for the median of 0, 0, 0, 1."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # What the warning says is in the result, and is told in the caller's words
        warnings.simplefilter("ignore")
        interval = scipy.stats.bootstrap(
            (values,),
            statistic,
            axis=-1,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="BCa",
            rng=np.random.default_rng(SEED),
        ).confidence_interval
    return float(interval.low), float(interval.high)
