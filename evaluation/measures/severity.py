"""How severe a case is: the infected share of each lung and its grade, CT-0 to CT-4.

Grading of Morozov et al. 2020, as in the EAMC paper (section 2.6): the share of each lung's volume that is infected,
and by the larger share CT-0 none, CT-1 up to 25 %, CT-2 up to 50 %, CT-3 up to 75 %, CT-4 above. Bounds belong to the
lower grade. Even one infected voxel is CT-1. The words are those of the same authors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.measures.whole_lungs import whole_lungs
from pipeline.core.labels import LEFT_LUNG, RIGHT_LUNG, infected

GRADES = ("CT-0", "CT-1", "CT-2", "CT-3", "CT-4")
GRADE_WORDS = ("none", "mild", "moderate", "severe", "critical")
# The largest share of CT-0, CT-1, CT-2 and CT-3
BOUNDS = (0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Severity:
    """Infected shares in [0, 1], nan where there is no lung: of each lung, and of both together."""

    left: float
    right: float
    lungs: float

    @property
    def grade(self) -> int | None:
        """0 to 4 by the worse lung; None where there is no lung at all."""
        shares = [share for share in (self.left, self.right) if not math.isnan(share)]
        return grade(max(shares)) if shares else None


def grade(infected_share: float) -> int:
    """The number of the CT grade of a lung's infected share; ValueError where that is not in [0, 1]."""
    if not 0 <= infected_share <= 1:
        raise ValueError(f"the infected share is {infected_share}; expected a number from 0 to 1")
    return int(np.searchsorted(BOUNDS, infected_share))


def grades_between(low: float, high: float) -> list[int]:
    """Numbers of the CT grades that a lung's infected share from `low` to `high`, in [0, 1], may have."""
    return list(range(grade(low), grade(high) + 1))


def grades_in_words(likely: int, possible: Sequence[int]) -> str:
    """`CT-1 (mild); CT-0 (none) and CT-2 (moderate) are possible`, of numbers of grades."""
    others = [in_words(number) for number in possible if number != likely]
    if not others:
        return f"{in_words(likely)}; no other is within reach"
    listed = " and ".join(filter(None, (", ".join(others[:-1]), others[-1])))
    return f"{in_words(likely)}; {listed} {'is' if len(others) == 1 else 'are'} possible"


def in_words(number: int) -> str:
    return f"{GRADES[number]} ({GRADE_WORDS[number]})"


def infected_fraction(lung: np.ndarray, infection: np.ndarray) -> float:
    """Share of the lung's voxels that are infected, in [0, 1]; nan where there is no lung.

    Both masks are boolean, of one shape, and the lung holds its infected voxels too; infection outside is not counted.
    """
    voxels = int(np.count_nonzero(lung))
    return int(np.count_nonzero(lung & infection)) / voxels if voxels else math.nan


def severity(sides: np.ndarray, infection: np.ndarray) -> Severity:
    """Of the whole lungs, as `whole_lungs` gives them, and a boolean mask of the infection.

    A network that knows no lungs is judged within the reference's: `severity(whole_lungs(reference, ...), found)`.
    """
    return Severity(
        infected_fraction(sides == LEFT_LUNG, infection),
        infected_fraction(sides == RIGHT_LUNG, infection),
        infected_fraction(sides > 0, infection),
    )


def severity_of_labels(labels: np.ndarray, spacing_mm: Sequence[float]) -> Severity:
    """Of a label map in the project's codes, a volume or a slice."""
    return severity(whole_lungs(labels, spacing_mm), infected(labels))
