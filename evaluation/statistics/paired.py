"""Two networks on the same patients: Wilcoxon's signed-rank test, its effect size, and Holm's correction.

All take differences, one a patient, without nan. A difference of 0 favours neither side and is left out (Wilcoxon's own
rule); what is left is called the differing pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Whose stats, half a second, is loaded when it is first used: what reads results does not need it
import scipy

# Beyond these scipy's exact distributions take seconds, and the normal approximation is good
LARGEST_EXACT = 50
LARGEST_ENUMERATED = 13
# 0.9 - 0.8 and 0.8 - 0.7 are one difference, though not in binary
DECIMALS = 12


@dataclass(frozen=True)
class SignedRank:
    """What a signed-rank test found.

    Args:
        pairs: how many there are.
        differing: those whose difference is not 0.
        p: two-sided; None where no pair differs.
        method: how p was computed.
        rank_biserial: in [-1, 1], see `rank_biserial`; None where no pair differs.
    """

    pairs: int
    differing: int
    p: float | None
    method: str
    rank_biserial: float | None


def signed_rank(differences: Sequence[float]) -> SignedRank:
    """Wilcoxon's signed-rank test of the differences, exact up to 50 differing pairs, up to 13 where some are tied."""
    every = np.round(np.asarray(differences, dtype=np.float64), DECIMALS)
    differing = every[every != 0]
    number = len(differing)
    if not number:
        return SignedRank(len(every), 0, None, "none", None)
    tied = len(np.unique(np.abs(differing))) < number
    if number <= LARGEST_EXACT and not tied:
        name, method = "exact", "exact"
    elif number <= LARGEST_ENUMERATED:
        # As many as there are patterns of signs makes scipy go through them all, each once
        name, method = "exact", scipy.stats.PermutationMethod(n_resamples=2**number)
    else:
        name, method = "normal approximation", "asymptotic"
    p = float(scipy.stats.wilcoxon(differing, method=method).pvalue)
    return SignedRank(len(every), number, p, name, rank_biserial(differing))


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation of differences other than 0, in [-1, 1].

    The share of the rank sum that is positive less the share that is negative: 1 where the first of each pair is higher
    throughout, 0 where neither is. Source: Kerby 2014, The simple difference formula.
    """
    ranks = scipy.stats.rankdata(np.abs(differences))
    return float((ranks * np.sign(differences)).sum() / ranks.sum())


def smallest_p(differing: int) -> float:
    """The smallest two-sided p that so many differing pairs can give, all in favour of one side; 1 for none.

    Each of the 2^n patterns of signs is equally likely when nothing differs, and two of them are the most extreme.
    """
    return min(1.0, 2.0 ** (1 - differing))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for being tried together, in the given order; None stays, and is not counted.

    Keeps the chance of any false finding at the level, however the tests depend on each other. Source: Holm 1979, A
    simple sequentially rejective multiple test procedure. (scipy has only the control of the false discovery rate.)
    """
    ordered = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for done, (p, place) in enumerate(ordered):
        # Never below the correction of a smaller p, so that the order stays
        largest = max(largest, min(1.0, p * (len(ordered) - done)))
        corrected[place] = largest
    return corrected
