"""How far the infected share of a new scan may be off, from how far it was off in held-out patients of the same run.

Split conformal prediction (Vovk et al. 2005; Lei et al. 2018): of n held-out cases with known absolute errors, a new
one of the same kind errs by no more than the k-th smallest with a probability of at least k / (n + 1), whatever the
distribution. Few cases give a wide interval, or one that holds for less than the 95 % that are aimed at; it says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.tables.severity_table import SeverityRow

WHOSE = ("reference", "prediction")
AIM = 0.95
FEWEST = 3


@dataclass(frozen=True)
class ShareErrors:
    """Absolute errors of the infected share in held-out cases, in [0, 1]: of both lungs, and of the worse lung."""

    lungs: tuple[float, ...] = ()
    worse: tuple[float, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[SeverityRow]) -> ShareErrors:
        """From rows of severity.csv; cases in which either side has no lung tell nothing."""
        errors: dict[str, list[float]] = {"lungs": [], "worse": []}
        for row in rows:
            pairs = {
                "lungs": [row[f"{whose}_lungs_percent"] for whose in WHOSE],
                "worse": [_worse(row[f"{whose}_left_percent"], row[f"{whose}_right_percent"]) for whose in WHOSE],
            }
            for name, (reference, prediction) in pairs.items():
                if not math.isnan(reference + prediction):
                    errors[name].append(abs(reference - prediction) / 100)
        return cls(tuple(errors["lungs"]), tuple(errors["worse"]))


def _worse(left: float, right: float) -> float:
    """Of a lung that is not there nothing is known; nan where neither is."""
    return max((share for share in (left, right) if not math.isnan(share)), default=math.nan)


@dataclass(frozen=True)
class ShareInterval:
    """Ends in [0, 1], and the probability with which they hold at least, from so many cases."""

    low: float
    high: float
    coverage: float
    cases: int


def share_interval(share: float, errors: Sequence[float], aim: float = AIM) -> ShareInterval | None:
    """Around an infected share in [0, 1]; None without a share, or with fewer than FEWEST errors."""
    if math.isnan(share) or len(errors) < FEWEST:
        return None
    rank = min(math.ceil((len(errors) + 1) * aim), len(errors))
    reach = sorted(errors)[rank - 1]
    return ShareInterval(max(share - reach, 0.0), min(share + reach, 1.0), rank / (len(errors) + 1), len(errors))
