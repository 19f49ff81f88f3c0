"""The temperature that makes held-out probabilities likeliest, and how it does on patients that it is not of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Whose optimisers are loaded when they are first used: what reads results does not need them
import scipy

from evaluation.measures.reliability import level_probabilities, negative_log_likelihood

# Beyond these nobody would trust one: there is hardly a voxel that contradicts the network, or hardly one that does not
LOWEST, HIGHEST = 0.05, 20.0
FEWEST = 3
TEMPERATURE_RULE = (
    "the temperature has the lowest negative log-likelihood over the held-out cases; the scores after it are of each "
    "patient with a temperature that was fitted on the other patients"
)


def best_temperature(shares: Sequence[np.ndarray]) -> float:
    """With the lowest mean negative log-likelihood, within LOWEST to HIGHEST; of one array (2, 256) a patient."""
    together = np.mean(shares, axis=0)

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(together, level_probabilities(float(np.exp(logarithm))))

    limits = (np.log(LOWEST), np.log(HIGHEST))
    found = scipy.optimize.minimize_scalar(loss, bounds=limits, method="bounded", options={"xatol": 1e-7})
    return float(np.exp(found.x))


def without_each(shares: Sequence[np.ndarray]) -> list[float]:
    """The temperature for each patient that the others give."""
    return [best_temperature([*shares[:place], *shares[place + 1 :]]) for place in range(len(shares))]


def why_no_temperature(shares: Sequence[np.ndarray]) -> str:
    """A sentence on what a temperature would need; empty where there can be one."""
    diseased = sum(bool(mine[1].any()) for mine in shares)
    if diseased < FEWEST:
        return (
            f"There is no temperature: it needs {FEWEST} held-out patients with infection, their lungs annotated too, "
            f"and there {'is' if diseased == 1 else 'are'} {diseased}."
        )
    best = best_temperature(shares)
    if not LOWEST * 1.01 < best < HIGHEST / 1.01:
        return (
            f"There is no temperature: the best one would lie beyond {LOWEST:g} to {HIGHEST:g}, as where nearly every "
            "voxel is told rightly or nearly none."
        )
    return ""
