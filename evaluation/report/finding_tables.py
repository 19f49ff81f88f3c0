"""The tables of what is said of cases beside their scores: severity, its agreement, flags and their worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from evaluation.measures.flags import bounds
from evaluation.measures.severity import GRADES
from evaluation.report.tables import ABSENT, Cell, Table, name_of, share_cell, text_cells
from evaluation.statistics.findings import Finding, raised_flags
from evaluation.statistics.flag_worth import INTERVAL, Worth, interval_of
from evaluation.statistics.severity_worth import COLUMNS, SeverityWorth
from evaluation.tables.severity_table import SHARES, GradeAgreement


def severity_table(findings: Sequence[Finding]) -> Table:
    """Ground truth (%) beside prediction (%), as Table 5 of the EAMC paper, a row a case."""
    body = []
    for finding in findings:
        if row := finding.severity:
            percents = [
                _percent_cell(row[f"{whose}_{name}_percent"])
                for name in SHARES
                for whose in ("reference", "prediction")
            ]
            grades = [_grade_cell(row[f"{whose}_grade"]) for whose in ("reference", "prediction")]
            body.append([Cell(finding.case), Cell(str(finding.fold)), *percents, *grades])
    heads = {"left": "left lung", "right": "right lung", "lungs": "both lungs"}
    columns = [f"{heads[name]}, {whose} (%)" for name in SHARES for whose in ("reference", "predicted")]
    return Table(
        "Infected share of the lungs",
        ["case", "fold", *columns, "grade, reference", "grade, predicted"],
        body,
        sortable=True,
    )


def _percent_cell(value: float) -> Cell:
    return Cell(ABSENT if math.isnan(value) else f"{value:.1f}", value)


def _grade_cell(grade: int | None) -> Cell:
    return Cell(ABSENT, math.nan) if grade is None else Cell(GRADES[grade], grade)


def confusion_table(agreement: GradeAgreement) -> Table:
    """Cases by both grades."""
    body = [[Cell(grade), *text_cells(counts)] for grade, counts in zip(GRADES, agreement.confusion, strict=True)]
    return Table("Cases by grade: the reference's down, the predicted across", ["", *GRADES], body)


def severity_worth_table(worths: Mapping[str, SeverityWorth]) -> Table:
    """A row a run: whether the intervals of its severity held in held-out patients, and how many grades were right."""
    body = [text_cells((name, *found.cells)) for name, found in worths.items()]
    return Table("Severity in held-out patients", ["run", *COLUMNS], body)


def raised_table(findings: Sequence[Finding]) -> Table:
    """A row for each raised flag, with its sentence."""
    body = [
        [
            Cell(finding.case),
            Cell(str(finding.fold)),
            Cell(name_of(flag.limits.name)),
            Cell(ABSENT if flag.value is None else f"{flag.value:{flag.limits.form}}"),
            Cell(bounds(flag.limits)),
            Cell(flag.sentence),
        ]
        for finding, flag in raised_flags(findings)
    ]
    columns = ["case", "fold", "flag", "value", "limits", "what it says"]
    return Table("Raised flags", columns, body, texts=("flag", "what it says"))


def worth_table(worths: Sequence[Worth]) -> Table:
    """How well each flag tells failed cases from the others."""
    body = [
        [
            Cell(name_of(one.name)),
            share_cell(one.auroc),
            Cell(interval_of(one).replace("-", ABSENT)),
            *text_cells((f"{one.caught} of {one.failed}", f"{one.false_alarms} of {one.others}", one.left_out)),
        ]
        for one in worths
    ]
    columns = ["flag", "AUROC", INTERVAL, "raised in failed cases", "raised in others", "undefined"]
    return Table("What each flag is worth here", columns, body)
