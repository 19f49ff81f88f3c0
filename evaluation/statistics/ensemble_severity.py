"""Severity by an ensemble: its infected share of the lungs, and how far its members are apart on it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.measures.cases import known_voxels
from evaluation.measures.severity import GRADES, Severity, severity
from evaluation.measures.whole_lungs import whole_lungs
from evaluation.tables.severity_table import predicted_severity
from pipeline.core.atomic import write_csv
from pipeline.core.labels import LabelMap, infected
from pipeline.core.text_table import WIDTH, aligned, shortened
from pipeline.scans.simpleitk import sitk

SPREAD = "smallest and largest infected share that a voting member alone finds; not a confidence interval"
COLUMNS = (
    "case",
    "reference_percent",
    "ensemble_percent",
    "members",
    "members_min_percent",
    "members_max_percent",
    "reference_grade",
    "ensemble_grade",
    "members_min_grade",
    "members_max_grade",
)


@dataclass(frozen=True)
class CaseSeverity:
    """Of one case: by the reference, by the ensemble, and by each of its members alone, none for a single voter."""

    case: str
    reference: Severity
    ensemble: Severity
    members: tuple[Severity, ...]

    @property
    def shares(self) -> list[float]:
        """The members' infected shares of both lungs, where they found lungs."""
        return [member.lungs for member in self.members if not math.isnan(member.lungs)]

    @property
    def grades(self) -> list[int]:
        return [member.grade for member in self.members if member.grade is not None]

    def as_row(self) -> dict[str, Any]:
        """Shares in percent, grades as names; None where there is no lung or no member to compare."""
        shares, grades = self.shares, self.grades
        return {
            "case": self.case,
            "reference_percent": _percent(self.reference.lungs),
            "ensemble_percent": _percent(self.ensemble.lungs),
            "members": len(self.members),
            "members_min_percent": _percent(min(shares)) if shares else None,
            "members_max_percent": _percent(max(shares)) if shares else None,
            "reference_grade": _grade(self.reference.grade),
            "ensemble_grade": _grade(self.ensemble.grade),
            "members_min_grade": _grade(min(grades)) if grades else None,
            "members_max_grade": _grade(max(grades)) if grades else None,
        }


def case_severity(
    case: str, reference: sitk.Image, ensemble: sitk.Image, members: Sequence[sitk.Image], label_map: LabelMap
) -> CaseSeverity | None:
    """From label maps on one grid, uint8; None where the label map has no infection.

    The reference holds the project's codes, the others the numbers of the label map's classes.
    """
    if not label_map.infection_classes:
        return None
    spacing_mm = reference.GetSpacing()[::-1]
    truth, *labels = map(sitk.GetArrayViewFromImage, (reference, ensemble, *members))
    if (known := known_voxels(truth)) is not None:
        truth, *labels = (label * known for label in (truth, *labels))
    lungs = whole_lungs(truth, spacing_mm)
    found = [predicted_severity(label, label_map, spacing_mm, lungs) for label in labels]
    return CaseSeverity(case, severity(lungs, infected(truth)), found[0], tuple(found[1:]))


def write_severity_csv(cases: Iterable[CaseSeverity], file: str | Path) -> None:
    """One row a case; an empty cell where a value is undefined."""
    write_csv(file, COLUMNS, (case.as_row() for case in cases))


def ensemble_severity_table(cases: Sequence[CaseSeverity]) -> str:
    """A line a case: the infected share of both lungs and the grade by the worse one."""
    lines = [["case", "lungs %", "ensemble", "members from", "to", "grade", "ensemble", "members from", "to"]]
    for case in sorted(cases, key=lambda case: case.case):
        _, *cells = ("-" if cell is None else cell for cell in case.as_row().values())
        del cells[2]
        shown = (f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells)
        lines.append([shortened(case.case), *shown])
    note = textwrap.wrap(f"Members from, to: {SPREAD}.", WIDTH)
    return "\n".join(("Infected share of the lungs and severity, by the ensemble", aligned(lines), *note))


def _percent(share: float) -> float | None:
    return None if math.isnan(share) else 100 * share


def _grade(number: int | None) -> str | None:
    return None if number is None else GRADES[number]
