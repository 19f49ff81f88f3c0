"""Severity of predictions beside that of their references: a row a case, agreement of the grades, a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.measures.cases import OWN_CODES, belongs, known_voxels
from evaluation.measures.severity import GRADES, Severity, severity
from evaluation.measures.whole_lungs import whole_lungs
from pipeline.core.labels import LabelMap, infected
from pipeline.core.text_table import aligned, shortened

SHARES = ("left", "right", "lungs")
SEVERITY_COLUMNS = (
    "case",
    *(f"{whose}_{name}_percent" for name in SHARES for whose in ("reference", "prediction")),
    "reference_grade",
    "prediction_grade",
)
SEVERITY_RULE = (
    "share of each lung's voxels that are infected, graded by the worse lung: CT-0 none, CT-1 up to 25 %, CT-2 up to "
    "50 %, CT-3 up to 75 %, CT-4 above"
)

# Text in case, floats in percent with nan where there is no lung, 0 to 4 or None in grades
SeverityRow = dict[str, Any]


def case_severities(
    reference: np.ndarray,
    prediction: np.ndarray,
    label_map: LabelMap,
    spacing_mm: Sequence[float],
    found_lungs: np.ndarray | None = None,
) -> tuple[Severity, Severity] | None:
    """Severity of a reference in the project's codes and of a prediction in the label map's class numbers.

    Where the label map has no left and right lung, the predicted infection is judged within the reference's lungs, and
    what lies outside them is not counted. Nor is what the reference has of code IGNORE. None where the label map has no
    infection. Both arrays have one shape; the
    spacing is in millimetres, in the order of their axes. `found_lungs` are the prediction's whole lungs, where known.
    """
    if not label_map.infection_classes:
        return None
    if (known := known_voxels(reference)) is not None:
        reference, prediction = reference * known, prediction * known
        found_lungs = None if found_lungs is None else found_lungs * known
    lungs = whole_lungs(reference, spacing_mm)
    found = predicted_severity(prediction, label_map, spacing_mm, lungs, found_lungs)
    return severity(lungs, infected(reference)), found


def predicted_severity(
    prediction: np.ndarray,
    label_map: LabelMap,
    spacing_mm: Sequence[float],
    lungs: np.ndarray,
    found_lungs: np.ndarray | None = None,
) -> Severity:
    """Severity of a prediction alone; `lungs` are the reference's whole lungs, all else as for `case_severities`."""
    if found_lungs is None:
        found_lungs = whole_lungs(prediction, spacing_mm) if label_map.classes == OWN_CODES.classes else lungs
    return severity(found_lungs, belongs(prediction, label_map.infection_classes))


def severity_row(case: str, reference: Severity, prediction: Severity) -> SeverityRow:
    """Ground truth (%) against prediction (%), as Table 5 of the EAMC paper, and both grades."""
    percents = {
        f"{whose}_{name}_percent": 100 * getattr(found, name)
        for name in SHARES
        for whose, found in (("reference", reference), ("prediction", prediction))
    }
    return {"case": case, **percents, "reference_grade": reference.grade, "prediction_grade": prediction.grade}


@dataclass(frozen=True)
class GradeAgreement:
    """How far grades agree.

    Args:
        confusion: (5, 5) counts of cases, a row for each grade of the reference, a column for each of the prediction.
        kappa: Cohen's, with quadratic weights, at most 1; nan where all grades on both sides are one and the same.
        undefined: cases that are left out, since a side of them has no lung and so no grade.
    """

    confusion: np.ndarray
    kappa: float
    undefined: int


def grade_agreement(rows: Sequence[SeverityRow]) -> GradeAgreement:
    """Over the cases of the rows."""
    # Here, since it takes a second to import
    from sklearn.metrics import cohen_kappa_score, confusion_matrix

    pairs = [(row["reference_grade"], row["prediction_grade"]) for row in rows]
    defined = [pair for pair in pairs if None not in pair]
    grades = range(len(GRADES))
    if not defined:
        return GradeAgreement(np.zeros((len(grades), len(grades)), int), math.nan, len(pairs))
    truth, found = zip(*defined, strict=True)
    # Chance alone would agree then, and kappa is 0/0
    all_one = len({*truth, *found}) == 1
    kappa = math.nan if all_one else float(cohen_kappa_score(truth, found, labels=grades, weights="quadratic"))
    return GradeAgreement(confusion_matrix(truth, found, labels=grades), kappa, len(pairs) - len(defined))


def severity_table(rows: Sequence[SeverityRow]) -> str:
    """A line a case, sorted, and the agreement of the grades; `-` where there is no lung."""
    lines = [["case", "left %", "found", "right %", "found", "lungs %", "found", "grade", "found"]]
    for row in sorted(rows, key=lambda row: row["case"]):
        percents = [_percent(row[name]) for name in SEVERITY_COLUMNS[1:-2]]
        lines.append(
            [shortened(row["case"]), *percents, _grade(row["reference_grade"]), _grade(row["prediction_grade"])]
        )
    return "\n".join(
        ("Infected share of the lungs and severity", aligned(lines), agreement_line(grade_agreement(rows)))
    )


def agreement_line(agreement: GradeAgreement) -> str:
    """Cases with equal grades and kappa, in a sentence."""
    cases = int(agreement.confusion.sum())
    equal = int(np.trace(agreement.confusion))
    kappa = "undefined, all grades are one" if math.isnan(agreement.kappa) else f"{agreement.kappa:.2f}"
    left_out = f"; {agreement.undefined} without lungs left out" if agreement.undefined else ""
    return f"Grades are equal in {equal} of {cases} cases{left_out}; quadratic weighted kappa: {kappa}."


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _grade(number: int | None) -> str:
    return "-" if number is None else GRADES[number]
