"""The section on a leave-one-patient-out ensemble: who votes on whom, what the vote is worth, and its severity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from evaluation.report.finding_tables import worth_table
from evaluation.report.page import Section, note, paragraph, part
from evaluation.report.run import Run
from evaluation.report.tables import ABSENT, Cell, Table, name_of, text_cells
from evaluation.statistics.ensemble_tables import AVERAGING
from evaluation.statistics.flag_worth import Worth
from evaluation.statistics.verdicts import SCOPE
from pipeline.core.labels import in_order
from pipeline.core.text_table import number


def ensemble(run: Run) -> Section | None:
    """None for a run that is no ensemble's."""
    if not run.ensemble:
        return None
    parts = [part("table", table=score_table(run.ensemble)), note(AVERAGING), *map(note, run.ensemble["notes"])]
    parts += [paragraph(f"{one['group'].capitalize()}. {one['verdict']}") for one in run.ensemble["comparisons"]]
    if run.ensemble["comparisons"]:
        parts.append(note(SCOPE))
    if run.ensemble["severity"]["cases"]:
        parts.append(part("table", table=spread_table(run.ensemble)))
        parts.append(note(f"Members: {run.ensemble['severity']['spread']}."))
    # A run of an older version lacks them
    for found in run.ensemble.get("flags", []):
        parts.append(part("table", table=flag_table(found)))
        parts.append(part("table", table=worth_table([Worth(**one) for one in found["worth"]])))
    return Section("ensemble", "Ensemble", Markup("").join(parts))


def score_table(scores: Mapping[str, Any]) -> Table:
    """Dice of each structure by who votes."""
    names = in_order(name for line in scores["scores"] for name in line["dice"])
    body = []
    for line in scores["scores"]:
        found = [line["dice"].get(name) for name in names]
        dice = [Cell(f"{number(one['mean'])} ± {number(one['std'])}" if one else ABSENT) for one in found]
        body.append([*text_cells((line["who"], line["patients"])), *dice])
    columns = ["who votes", "patients", *(f"{name_of(name)} Dice" for name in names)]
    return Table(f"Dice by who votes ({scores['method']})", columns, body)


def flag_table(found: Mapping[str, Any]) -> Table:
    """A row for each flag that was raised on a label map of the ensemble's."""
    body = [text_cells((row["case"], name_of(row["flag"]), row["sentence"])) for row in found["raised"]]
    title = f"Raised flags, ensemble, {found['group']}"
    return Table(title, ["case", "flag", "what it says"], body, texts=("flag", "what it says"))


def spread_table(scores: Mapping[str, Any]) -> Table:
    """Infected share of both lungs: the reference's, the ensemble's, and how far its members are apart."""
    body = []
    for case in scores["severity"]["cases"]:
        percents = [_percent(case[f"{who}_percent"]) for who in ("reference", "ensemble")]
        ends = [_percent(case[f"members_{end}_percent"]) for end in ("min", "max")]
        grades = [case[f"{who}_grade"] or ABSENT for who in ("reference", "ensemble", "members_min", "members_max")]
        spread = ABSENT if ABSENT in ends else " to ".join(ends)
        grade_spread = ABSENT if ABSENT in grades[2:] else " to ".join(dict.fromkeys(grades[2:]))
        body.append(text_cells((case["case"], *percents, spread, *grades[:2], grade_spread)))
    columns = ["case", "reference (%)", "ensemble (%)", "members (%)", "grade, reference", "grade, ensemble"]
    return Table("Infected share of the lungs, external cases", [*columns, "grades, members"], body)


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.1f}"
