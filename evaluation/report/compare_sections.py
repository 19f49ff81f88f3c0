"""The sections of a comparison of networks, each as a part of the page and as plain text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from evaluation.report import compare_tables as tables
from evaluation.report import facts, pareto_plot
from evaluation.report.belief import UNKNOWN_TRAINING
from evaluation.report.box_plot import BoxRow, box_plot
from evaluation.report.compared import Compared
from evaluation.report.costs import RunCost
from evaluation.report.finding_tables import severity_worth_table
from evaluation.report.metric_columns import DICE
from evaluation.report.page import KeyNumber, Section, note, paragraph, part
from evaluation.report.published_numbers import Printed
from evaluation.report.run import Run
from evaluation.report.sections import BOXES, TRAINING_NOTE
from evaluation.report.sections import table as table_html
from evaluation.report.tables import ABSENT, Table, key_value_table, name_of
from evaluation.report.text_tables import listed, table_text, titled
from evaluation.statistics.comparison import Comparison
from evaluation.statistics.severity_worth import NOTES as SEVERITY_NOTES
from evaluation.statistics.verdicts import LEVEL, SCOPE, finding, interval_note, notes, subject
from pipeline.core.text_table import number
from pipeline.folders.public_set import are_public

PUBLIC_CASES = 20
# So many are open, others folded
OPEN_STRUCTURES = 2
ONE_SIDE = ("left_lung", "right_lung")
ABSENT_NOTE = (
    "-: the run's metrics.csv does not have the metric, or no patient has a defined value; make cv gives an older run "
    "all columns."
)
# More sentences than these are folded
FEW = 8
SCORE_NOTE = (
    "Mean ± sample standard deviation over patients, several cases of one averaged first, and the 95 % interval of the "
    "mean. Distances: median and its interval; a structure that was lost is infinitely far away, and counted."
)
MARK_NOTE = (
    f"{tables.LOWER} shown to be worse than the best of its column (two-sided Wilcoxon signed-rank test over patients, "
    f"p ≤ {LEVEL:g} after Holm's correction over all comparisons of the metric). Bold: all others are shown to be "
    "worse. Where there is no mark, no difference is shown, whatever the order of the means."
)
ORDER_NOTE = "The network with the highest mean Dice of the {structure} comes first; the order alone shows nothing."
COST_NOTE = (
    "GMAC: 10^9 multiply-accumulates of inference for one input of the size that the network was trained on; for one "
    "pixel or voxel of it (kMAC), slices and volumes can be compared. A cascade's two networks are added up. Training: "
    "the mean of the folds. Segmenting: the held-out cases, with the start of the program. Times compare only where "
    "one machine did nothing else."
)
FRONT_NOTE = (
    "Full marks and the line: no other network is both cheaper and better (Pareto front). Vertical lines: 95 % "
    "intervals of the mean, in which the front could as well run otherwise."
)
PRINTED_NOTE = (
    "As printed in the papers, to know what to expect. They are of other data, other splits and other ways of "
    "averaging unless marked as this data, and enter no mean, test or plot of this page."
)
FEWER = (
    " None can, whatever the networks do: for so many comparisons there are too few patients. Fewer, chosen before "
    "looking, ask for less: AGAINST=network tests all others against one, STRUCTURE=infection on one structure alone."
)
CASES_NOTE = "-: undefined, reference and prediction are both empty. A click on a heading sorts."


class Told(NamedTuple):
    """A section for the page, and the same for a terminal; `text` is empty where a terminal shows nothing of it."""

    section: Section
    text: str


def key_numbers(compared: Compared) -> list[KeyNumber]:
    """The highest and the lowest Dice of the main structure, and how many differences are shown."""
    structure = compared.main_structure
    known = [name for name in compared.of(structure) if compared.value(name, structure, DICE) is not None]
    found = []
    for told, name in zip(("highest", "lowest"), (known[:1] + known[-1:]) if len(known) > 1 else known, strict=False):
        estimate = compared.scores[name, structure, DICE].estimate
        ends = tables.ends(estimate)
        interval = f", 95 % interval {ends}" if ends else ""
        found.append(KeyNumber(f"{told} {name_of(structure)} Dice", number(estimate.value), f"{name}{interval}"))
    shown = sum(is_shown(one) for one in compared.comparisons)
    of = f"of {len(compared.comparisons)} comparisons of Dice"
    if compared.comparisons and not any(map(can_show, compared.comparisons)):
        of += "; none can be with so few patients"
    return [*found, KeyNumber("differences shown", str(shown), of)]


def can_show(comparison: Comparison) -> bool:
    """Whether any outcome of as many differing pairs could have been shown."""
    return comparison.p_holm is not None and comparison.smallest_p_holm <= LEVEL


def is_shown(comparison: Comparison) -> bool:
    return comparison.p_holm is not None and comparison.p_holm <= LEVEL


def results(compared: Compared) -> Told:
    """Every metric of every structure."""
    content = [tables.metric_table(compared, structure) for structure in _main_first(compared)]
    told = [SCORE_NOTE, MARK_NOTE, ORDER_NOTE.format(structure=name_of(compared.main_structure)), interval_note()]
    if compared.tested_structures:
        told.append(f"Only {', '.join(map(name_of, compared.tested_structures))} was tested; nothing else has marks.")
    if compared.against:
        told.append(f"Every network is tested against {compared.against} alone; other pairs have no marks.")
    if any(cell.text == ABSENT for each in content for cells in each.body for cell in cells):
        told.append(ABSENT_NOTE)
    open_, folded = content[:OPEN_STRUCTURES], content[OPEN_STRUCTURES:]
    body = Markup("").join((*map(table_html, open_), *(folded_table(each) for each in folded), *map(note, told)))
    return Told(Section("results", "Results", body), titled("Results", [*map(table_text, content), listed(told)]))


def folded_table(content: Table) -> Markup:
    return part("details", summary=content.caption, body=table_html(content))


def _main_first(compared: Compared) -> list[str]:
    """The structure that the page ranks by, then the others, those of one side last."""
    return sorted(compared.structures, key=lambda name: (name != compared.main_structure, name in ONE_SIDE))


def differences(compared: Compared) -> Told:
    """The paired tests on Dice, in plain sentences and as a table."""
    found = compared.comparisons
    if not found:
        nothing = "No two of these runs scored the same structure, so nothing can be tested."
        return Told(Section("tests", "What is shown", paragraph(nothing)), nothing)
    shown = [one for one in found if is_shown(one)]
    count = f"{len(shown)} of {len(found)} comparisons show a difference in Dice."
    if compared.against:
        count += f" Every network is tested against {compared.against} alone."
    if not any(map(can_show, found)):
        count += FEWER
    said = [f"{subject(one)}: {finding(one)}." for one in shown]
    others = _grouped([one for one in found if not is_shown(one)])
    below = [*notes(found), SCOPE]
    body = paragraph(count) + _sentences(said, "All {count} differences that are shown") + _findings(others)
    parts = [
        body,
        *(table_html(grid) for grid in [tables.matrix(compared, compared.main_structure)] if grid),
        *([note("Bold: p ≤ 0.05 after Holm's correction.")] if shown else []),
        part("details", summary="All comparisons as a table", body=table_html(tables.test_table(found))),
        *map(note, below),
    ]
    grouped = [f"{_subjects(subjects)}: {told}." for told, subjects in others.items()]
    text = titled(
        "What is shown", [count, listed([*said, *grouped]), table_text(tables.test_table(found)), listed(below)]
    )
    return Told(Section("tests", "What is shown", Markup("").join(parts)), text)


def _grouped(comparisons: Iterable[Comparison]) -> dict[str, list[str]]:
    """Finding -> what it is found of."""
    alike: dict[str, list[str]] = {}
    for one in comparisons:
        alike.setdefault(finding(one), []).append(subject(one))
    return alike


def _subjects(subjects: Sequence[str]) -> str:
    return subjects[0] if len(subjects) == 1 else f"{len(subjects)} comparisons"


def _sentences(sentences: Sequence[str], summary: str) -> Markup:
    """A list, folded where it is long."""
    if not sentences:
        return Markup("")
    whole = part("sentences", sentences=sentences)
    return whole if len(sentences) <= FEW else part("details", summary=summary.format(count=len(sentences)), body=whole)


def _findings(grouped: Mapping[str, Sequence[str]]) -> Markup:
    """One sentence a finding that several comparisons share, with the list of them folded; single ones in a list."""
    shared = {told: subjects for told, subjects in grouped.items() if len(subjects) > 1}
    single = [f"{subjects[0]}: {told}." for told, subjects in grouped.items() if len(subjects) == 1]
    body = Markup("")
    for told, subjects in shared.items():
        body += paragraph(f"{len(subjects)} comparisons: {told}.")
        body += part("details", summary="Which these are", body=part("sentences", sentences=subjects))
    return body + _sentences(single, "{count} comparisons without a shown difference, each in a sentence")


def boxes(compared: Compared) -> Told:
    """The Dice of every case, the networks below one another, a plot a structure."""
    plots = []
    for structure in _main_first(compared):
        rows = [_box_row(compared, name, structure) for name in compared.of(structure)]
        values = [value for row in rows for value in row.values]
        if not values:
            continue
        caption = f"{name_of(structure).capitalize()}: Dice"
        low = min(math.floor(min(values) * 10) / 10, 0.9)
        plots.append(part("figure", body=box_plot(caption, "Dice", rows, (low, 1.0)), caption=caption))
    body = Markup('<div class="pair large">{}</div>').format(Markup("").join(plots)) + note(f"{BOXES} The axes differ.")
    return Told(Section("spread", "Spread over cases", body), "")


def _box_row(compared: Compared, name: str, structure: str) -> BoxRow:
    mine = [
        row
        for key, row in sorted(compared.rows[name].items())
        if key[2] == structure and not math.isnan(row[DICE.column])
    ]
    return BoxRow(name, [row[DICE.column] for row in mine], [row["case"] for row in mine])


def cost(compared: Compared, costs: Mapping[str, RunCost]) -> Told:
    """The table of costs, and what accuracy costs."""
    content = tables.cost_table(costs)
    memory = TRAINING_NOTE.partition(" Segmenting:")[0]
    told = [COST_NOTE, memory, *(f"{name}: {each.why_not}." for name, each in costs.items() if each.why_not)]
    devices = {each.device for each in costs.values() if each.device}
    if len(devices) > 1:
        told.append(
            f"The trainings ran on different devices ({', '.join(sorted(devices))}): their times do not compare."
        )
    text = titled("Cost", [table_text(content), listed(told)])
    body = table_html(content) + Markup("").join(map(note, told)) + _paretos(compared, costs)
    return Told(Section("cost", "Cost", body), text)


def _paretos(compared: Compared, costs: Mapping[str, RunCost]) -> Markup:
    structure = compared.main_structure
    axes: dict[str, dict[str, float | None]] = {
        "seconds to segment a case": {name: cost.case_s for name, cost in costs.items()},
        "parameters": {name: cost.parameters for name, cost in costs.items()},
    }
    body, drawn = Markup(""), False
    for axis, values in axes.items():
        caption = f"{name_of(structure).capitalize()} Dice against {axis}"
        points = cost_points(compared, costs, values)
        missing = [name for name in compared.of(structure) if name not in {point.name for point in points}]
        if points:
            plot = pareto_plot.pareto_plot(caption, f"{axis} (logarithmic)", "mean Dice", points)
            legend = sorted({point.kind for point in points})
            body += part("pareto", body=plot, caption=caption, kinds=[(kind, _key(kind)) for kind in legend])
            drawn = True
        if missing:
            why = "it was not written down, or its score is undefined" if points else "none of the runs wrote it down"
            body += note(f"{caption}: without {', '.join(missing) if points else 'a plot'}, since {why}.")
    return body + (note(FRONT_NOTE) if drawn else Markup(""))


def _key(kind: str) -> Markup:
    return pareto_plot.shape(kind, 9, 9, best=False)


def cost_points(
    compared: Compared, costs: Mapping[str, RunCost], values: Mapping[str, float | None]
) -> list[pareto_plot.Point]:
    """The networks whose cost and Dice of the main structure are known."""
    points = []
    for name in compared.of(compared.main_structure):
        score = compared.scores.get((name, compared.main_structure, DICE))
        value = values[name]
        if not value or score is None or score.estimate.value is None:
            continue
        points.append(
            pareto_plot.Point(
                name, value, score.estimate.value, score.estimate.low, score.estimate.high, kind_of(compared.runs[name])
            )
        )
    return points


def kind_of(run: Run) -> str:
    if len(run.stages) > 1:
        return pareto_plot.CASCADE
    return pareto_plot.SLICES if run.settings.get("spatial_dims") == 2 else pareto_plot.VOLUMES


def cases(compared: Compared) -> Told:
    first, *others = [tables.case_table(compared, structure) for structure in _main_first(compared)]
    body = table_html(first) + note(CASES_NOTE)
    body += Markup("").join(part("details", summary=other.caption, body=table_html(other)) for other in others)
    text = titled("Cases", [table_text(first)])
    return Told(Section("cases", "Cases", body), text)


def severity(compared: Compared) -> Told | None:
    """Whether each run's intervals of the infected share held; None where no run has any severity."""
    if not compared.severity:
        return None
    return _told("severity", "Severity", [severity_worth_table(compared.severity)], SEVERITY_NOTES)


def published(compared: Compared, printed: Sequence[Printed], bundles: Iterable[str]) -> Told:
    """What papers printed, and for which networks nothing was found."""
    silent = [name for name in dict.fromkeys(bundles) if name not in {one.network for one in printed}]
    told = [PRINTED_NOTE]
    if silent:
        told.append(f"No published number is known here of: {', '.join(silent)}.")
    content = [tables.published_table(printed, is_public_20(compared)), tables.source_table(printed)] if printed else []
    return _told("published", "Published numbers", content, told)


def is_public_20(compared: Compared) -> bool:
    """Whether the runs are of the whole public set (Zenodo 3757476)."""
    names = {key[0] for rows in compared.rows.values() for key in rows}
    return len(names) == PUBLIC_CASES and are_public(names)


def what_was_run(compared: Compared) -> Told:
    common, differing = tables.split_facts(compared.trained)
    first = next(iter(compared.trained.values()))
    groups = {"Data": facts.data_facts(first), "The same in every run": common}
    listed_tables = [key_value_table(name, group) for name, group in groups.items() if group]
    body = Markup('<div class="facts">{}</div>').format(Markup("").join(map(table_html, listed_tables)))
    if differing:
        body += table_html(differing)
    if compared.outside:
        body += table_html(tables.outside_table(compared))
    if first.folds.get("folds"):
        members = facts.member_table(first.folds)
        body += part("details", summary=members.caption, body=table_html(members))
    if first.cases:
        hashes = facts.hash_table(first.cases.values())
        body += part("details", summary="Every file of the data, with its hash", body=table_html(hashes))
    texts = ["\n".join((name, *_lines(group))) for name, group in groups.items() if group]
    if differing:
        texts.append(table_text(differing))
    if compared.outside:
        texts.append(table_text(tables.outside_table(compared)))
    return Told(Section("run", "What was run", body), titled("What was run", texts))


def _lines(group: Mapping[str, str]) -> list[str]:
    return [f"  {key}: {value}" for key, value in group.items()]


def _told(anchor: str, title: str, content: Sequence[Table], notes_below: Sequence[str]) -> Told:
    body = Markup("").join((*map(table_html, content), *map(note, notes_below)))
    text = titled(title, [*map(table_text, content), listed(notes_below)])
    return Told(Section(anchor, title, body), text)


def of_outside(compared: Compared) -> list[str]:
    """What nobody knows of label maps that were made elsewhere, and which of the cases they are of."""
    told = [f"{name}: these label maps were made elsewhere. {UNKNOWN_TRAINING}" for name in compared.outside]
    for name in compared.outside:
        mine = {case for case, *_ in compared.rows[name]}
        if missing := len(compared.cases - mine):
            told.append(
                f"{name} has labels of {len(mine)} of {len(compared.cases)} cases: its means are of these, and it is "
                f"tested against others on these alone; {missing} are left out."
            )
    return told


def warnings(runs: Mapping[str, Run]) -> list[str]:
    """What runs differ in beside the network, which is then compared too."""
    told = []
    for key, name in (("preset", "presets"), ("seed", "seeds of the training")):
        values = {run_name: run.settings.get(key) for run_name, run in runs.items()}
        if len(set(map(str, values.values()))) > 1:
            each = ", ".join(f"{run_name} {value}" for run_name, value in values.items())
            told.append(f"The runs have different {name} ({each}): not the networks alone are compared.")
    leaking = sorted({patient for run in runs.values() for patient in run.folds.get("leaking_patients", ())})
    if leaking:
        told.append(f"Patients that were trained on and tested: {', '.join(leaking)}; all numbers flatter.")
    return told
