"""How far the severity of a run can be believed: whether its intervals held, and how many grades were right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evaluation.statistics.severity_interval import Coverage, HeldOut, coverage, grades_right

COLUMNS = ("patients", "level", "both lungs: ±", "held", "width", "worse lung: ±", "held", "width", "grade right")
INTERVAL = (
    "The {level} % interval of the infected share, from {patients} patients, reaches {reach:.1f} percentage points to "
    "either side"
)
HELD = "; {held} of them lay within the one that the patients of the other folds give"
NOTES = (
    "Level: at which the intervals of the infected share are to hold. 95 % takes 39 patients, 90 % 19, fewer give "
    "80 %, lest the one worst patient alone say how wide they are; under four there is none.",
    "±: how far they go to either side, in percentage points of the lungs' volume, unless 0 or 100 % ends them.",
    "Held: patients all of whose scans lay within the interval that the patients of the other folds give. Width: of "
    "these intervals, which are of fewer patients; mean over patients, in percentage points.",
    "Worse lung: by which a case is graded. Grade right: patients all of whose scans got their reference's.",
)


@dataclass(frozen=True)
class SeverityWorth:
    """Of one run; `lungs` and `worse`, of the worse lung, are None where there are too few patients for an interval.

    `right` of `graded` patients have the grades of their references.
    """

    lungs: Coverage | None
    worse: Coverage | None
    right: int
    graded: int

    @classmethod
    def of(cls, held_out: HeldOut) -> SeverityWorth:
        return cls(coverage(held_out.lungs), coverage(held_out.worse), *grades_right(held_out.worse))

    @property
    def cells(self) -> list[str]:
        """Of COLUMNS."""
        lead = [str(self.lungs.patients), f"{self.lungs.level} %"] if self.lungs else ["-", "-"]
        right = f"{self.right} of {self.graded}" if self.graded else "-"
        return [*lead, *_cells(self.lungs), *_cells(self.worse), right]

    @property
    def sentences(self) -> list[str]:
        """What a reader is told of it."""
        told = []
        if self.lungs:
            held = "" if self.lungs.held is None else HELD.format(held=self.lungs.held)
            one = INTERVAL.format(level=self.lungs.level, reach=100 * self.lungs.reach, patients=self.lungs.patients)
            told.append(f"{one}{held}.")
        if self.graded:
            told.append(f"The CT grade was right in {self.right} of {self.graded} patients.")
        return told

    @property
    def content(self) -> dict[str, Any]:
        """For JSON: percents and percentage points; None where undefined."""
        return {
            "lungs": _content(self.lungs),
            "worse_lung": _content(self.worse),
            "grades_right": self.right,
            "graded": self.graded,
        }


def _cells(found: Coverage | None) -> list[str]:
    if found is None:
        return ["-", "-", "-"]
    held = "-" if found.held is None else f"{found.held} of {found.patients}"
    return [f"{100 * found.reach:.1f}", held, "-" if found.width is None else f"{100 * found.width:.1f}"]


def _content(found: Coverage | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "level_percent": found.level,
        "patients": found.patients,
        "reach_percent": 100 * found.reach,
        "held": found.held,
        "mean_width_percent": None if found.width is None else 100 * found.width,
    }
