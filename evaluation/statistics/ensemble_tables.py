"""An ensemble beside its members: scores by how honest they are, and the paired comparison with the mean member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.measures.cases import Row
from evaluation.measures.metrics import EMPTY_RULE
from evaluation.statistics.comparison import Comparison, Rows, compare
from evaluation.statistics.ensemble_severity import SPREAD, CaseSeverity, ensemble_severity_table
from evaluation.statistics.findings import Finding, findings_text, raised_flags, worths
from evaluation.statistics.intervals import patient_means
from evaluation.statistics.summary import spread
from evaluation.statistics.verdicts import SCOPE, comparison_table, interval_note, verdict
from pipeline.core.labels import in_order
from pipeline.core.text_table import aligned, number, wrapped

ENSEMBLE, MEAN_MEMBER = "ensemble", "mean single member"
ONE_VOTER = (
    "Each of these patients has exactly one voter, the one member that was not trained on it: this row is that "
    "member's score and no ensemble's. Only patients that no member was trained on show what the vote is worth."
)
LEAKING_NOTE = (
    "LEAKING: members vote on patients that they were trained on, as in tables that score an ensemble on its own "
    "training data; it says nothing about new patients, and no comparison with it is made."
)
AVERAGING = "Dice: mean ± sample standard deviation over patients; several cases of one patient are averaged first."
MEAN_MEMBER_RULE = (
    "Mean single member: of each case the mean of its voters' scores, each alone; undefined where one of them is."
)


@dataclass(frozen=True)
class Group:
    """Cases that an ensemble of one kind was scored on.

    Args:
        name: of the kind.
        rows: the ensemble's, a case and structure each.
        voters: name of a case -> how many members voted on it.
        members: name of a member -> its rows, of the cases that it voted on with others.
        findings: the flags of the ensemble's label maps; a disagreement of its members is one.
    """

    name: str
    rows: list[Row]
    voters: Mapping[str, int]
    members: Mapping[str, list[Row]]
    findings: Sequence[Finding] = ()

    @property
    def has_one_voter(self) -> bool:
        return set(self.voters.values()) == {1}


def mean_member_rows(group: Group) -> list[Row]:
    """The mean over a case's voters of every number; nan where one of them is undefined."""
    found: dict[tuple[str, str], list[Row]] = {}
    for rows in group.members.values():
        for row in rows:
            found.setdefault((row["case"], row["structure"]), []).append(row)
    return [{name: _mean(rows, name) for name in rows[0]} for rows in found.values()]


def _mean(rows: Sequence[Row], name: str) -> Any:
    if not isinstance(rows[0][name], float):
        return rows[0][name]
    return sum(row[name] for row in rows) / len(rows)


def comparisons(group: Group) -> list[Comparison]:
    """The ensemble less the mean single member in Dice, paired by patient; none where nobody voted with others."""
    means = mean_member_rows(group)
    if not means:
        return []
    cases = {row["case"] for row in means}
    runs = {ENSEMBLE: _keyed([row for row in group.rows if row["case"] in cases]), MEAN_MEMBER: _keyed(means)}
    return compare(runs, "dice", structures(group.rows))


def _keyed(rows: Sequence[Row]) -> Rows:
    return {(row["case"], row["fold"], row["structure"]): row for row in rows}


def structures(rows: Sequence[Row]) -> list[str]:
    return in_order(row["structure"] for row in rows)


def score_lines(group: Group) -> list[tuple[str, list[Row]]]:
    """(name, rows) of what a group shows: the ensemble, the mean single member, each member alone."""
    name = f"{group.name}, one voter a patient" if group.has_one_voter else f"{group.name}, {ENSEMBLE}"
    if not group.members:
        return [(name if group.has_one_voter else group.name, group.rows)]
    alone = [(f"  {member} alone", rows) for member, rows in group.members.items()]
    return [(name, group.rows), (f"  {MEAN_MEMBER}", mean_member_rows(group)), *alone]


def dice_spread(rows: Sequence[Row], structure: str) -> dict[str, float | int | None]:
    """Of the patients' mean Dice; `cases` counts patients."""
    means = patient_means((row["patient_id"], row["dice"]) for row in rows if row["structure"] == structure)
    return spread(means.values())


def score_table(method: str, groups: Sequence[Group]) -> str:
    names = in_order(row["structure"] for group in groups for row in group.rows)
    lines = [["who votes", "patients", *names]]
    for group in groups:
        for name, rows in score_lines(group):
            patients = len({row["patient_id"] for row in rows})
            found = [dice_spread(rows, structure) for structure in names]
            lines.append([name, str(patients), *(f"{number(one['mean'])} ± {number(one['std']):5}" for one in found)])
    title = f"Dice by who votes ({method}); a member has no vote on a patient that it was trained on"
    return "\n".join((title, aligned(lines), *wrapped(AVERAGING), *wrapped(f"Empty masks: {EMPTY_RULE}.")))


def notes(groups: Sequence[Group]) -> list[str]:
    """What has to be said beside the scores, for them to be read rightly."""
    said = []
    for group in groups:
        if group.has_one_voter:
            said.append(f"{group.name.capitalize()}: {ONE_VOTER[0].lower()}{ONE_VOTER[1:]}")
        elif not group.members:
            said.append(LEAKING_NOTE)
    return said + ([MEAN_MEMBER_RULE] if any(group.members for group in groups) else [])


def ensemble_tables(method: str, groups: Sequence[Group], severities: Sequence[CaseSeverity]) -> str:
    """All tables of an ensemble's scores as text."""
    parts = ["\n".join((score_table(method, groups), *(line for note in notes(groups) for line in wrapped(note))))]
    for group in groups:
        if compared := comparisons(group):
            parts.append(f"{group.name.capitalize()}. {comparison_table(compared)}")
    if len(parts) > 1:
        parts.append("\n".join((*wrapped(interval_note()), *wrapped(SCOPE))))
    if severities:
        parts.append(ensemble_severity_table(severities))
    for group in groups:
        if found := findings_text(group.findings, group.rows):
            parts.append(f"{group.name.capitalize()}. {found}")
    return "\n\n".join(parts)


def ensemble_summary(
    method: str, members: Sequence[str], groups: Sequence[Group], severities: Sequence[CaseSeverity]
) -> dict[str, Any]:
    """The same in numbers, for a JSON file."""
    return {
        "method": method,
        "members": list(members),
        "empty_rule": EMPTY_RULE,
        "notes": notes(groups),
        "scores": [
            {
                "group": group.name,
                "who": name.strip(),
                "cases": len({row["case"] for row in rows}),
                "patients": len({row["patient_id"] for row in rows}),
                "dice": {structure: dice_spread(rows, structure) for structure in structures(rows)},
            }
            for group in groups
            for name, rows in score_lines(group)
        ],
        "comparisons": [
            {"group": group.name, **asdict(one), "verdict": verdict(one)}
            for group in groups
            for one in comparisons(group)
        ],
        "flags": [
            {
                "group": group.name,
                "raised": [
                    {"case": finding.case, "flag": flag.limits.name, "sentence": flag.sentence}
                    for finding, flag in raised_flags(group.findings)
                ],
                "worth": [asdict(one) for one in worths(group.findings, group.rows)],
            }
            for group in groups
            if group.findings
        ],
        "severity": {"spread": SPREAD, "cases": [case.as_row() for case in severities]},
    }


def leave_one_out_table(rows: Sequence[Row], seeds: Mapping[int, int]) -> str:
    """A line a member: the patient it left out, its seed, and the Dice of each structure on that patient.

    As Table 2 of the EAMC paper, whose M1 left out the last patient. `rows` are a cross-validation's, a patient a fold.
    """
    names = structures(rows)
    lines = [["member", "left out", "seed", *names]]
    by_fold = {row["fold"]: row["patient_id"] for row in rows}
    for fold, patient in sorted(by_fold.items()):
        mine = [row for row in rows if row["fold"] == fold]
        found = [dice_spread(mine, structure)["mean"] for structure in names]
        lines.append([f"fold{fold}", patient, str(seeds[fold]), *map(number, found)])
    totals = [dice_spread(rows, structure) for structure in names]
    lines.append(["mean", "", "", *(number(one["mean"]) for one in totals)])
    lines.append(["SD", "", "", *(number(one["std"]) for one in totals)])
    title = "Validation: Dice of each member on the patient it left out"
    note = "SD: sample standard deviation over patients. No epoch was chosen by the patient left out. The EAMC paper's "
    note += "Table 2 has .8773 ± .0158 for the infection, of ten members on other data."
    return "\n".join((title, aligned(lines), *wrapped(note)))
