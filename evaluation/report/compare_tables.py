"""The tables of a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from evaluation.report import facts
from evaluation.report.compared import Compared
from evaluation.report.costs import RunCost
from evaluation.report.metric_columns import DICE, Metric
from evaluation.report.published_numbers import METRICS as PRINTED_METRICS
from evaluation.report.published_numbers import Printed
from evaluation.report.run import Run
from evaluation.report.score_tables import SHORT
from evaluation.report.tables import ABSENT, Cell, Table, name_of, share_cell, text_cells, volume_cell
from evaluation.statistics.comparison import Comparison
from evaluation.statistics.intervals import Estimate
from evaluation.statistics.verdicts import LEVEL

BEST, BEHIND, SAME_DATA = "best", "behind", "same-data"
LOWER = "↓"
# Of the experiment, what is told for each stage, or by its label map
UNTOLD = ("network", "recipe", "structures")
OURS, OTHER = "this data", "other data"


def metric_table(compared: Compared, structure: str) -> Table:
    """A row a network, a column a metric: mean ± SD, or median, with its 95 % interval below."""
    metrics = [
        metric
        for metric in compared.metrics
        if any((name, structure, metric) in compared.scores for name in compared.runs)
    ]
    body = []
    for name in compared.of(structure):
        score = compared.scores.get((name, structure, DICE))
        patients = score.estimate.patients if score else 0
        body.append(
            [Cell(name), *(score_cell(compared, name, structure, metric) for metric in metrics), Cell(str(patients))]
        )
    columns = ["network", *(f"{metric.heading}{', median' if metric.median else ''}" for metric in metrics), "patients"]
    return Table(name_of(structure).capitalize(), columns, body, sortable=True)


def score_cell(compared: Compared, name: str, structure: str, metric: Metric) -> Cell:
    """Marked where it is shown to be worse than the best, or to be the best of all."""
    score = compared.scores.get((name, structure, metric))
    if score is None or score.estimate.value is None:
        return Cell(ABSENT, math.nan)
    text = metric.text(score.estimate.value)
    if not metric.median and score.sd is not None:
        text += f" ± {metric.text(score.sd)}"
    kind = standing(compared, name, structure, metric)
    if score.infinite:
        text += f", {score.infinite} lost"
    marked = f"{text} {LOWER}" if kind == BEHIND else text
    return Cell(marked, score.estimate.value, detail=ends(score.estimate, metric), kind=kind)


def ends(found: Estimate, metric: Metric = DICE) -> str:
    return "" if found.low is None else f"{metric.text(found.low)} to {metric.text(found.high)}"


def standing(compared: Compared, name: str, structure: str, metric: Metric) -> str:
    """`behind` where it is shown to be worse than the best, `best` where all others are shown to be worse than it."""
    best = compared.best(structure, metric)
    if best is None:
        return ""
    if name != best:
        return BEHIND if (metric, structure, name, best) in compared.shown_worse else ""
    others = [other for other in compared.of(structure) if other != best]
    shown = all((metric, structure, other, best) in compared.shown_worse for other in others)
    return BEST if others and shown else ""


def test_table(comparisons: Sequence[Comparison]) -> Table:
    """A row a comparison: median difference, effect, p before and after Holm's correction."""
    body = []
    for one in comparisons:
        median, test = one.median_difference, one.test
        cells = [
            Cell(f"{one.first} - {one.second}"),
            Cell(name_of(one.structure)),
            Cell(str(test.pairs)),
            Cell(_signed(median.value), _order(median.value), detail=_signed_ends(median)),
            Cell(_signed(test.rank_biserial), _order(test.rank_biserial)),
            Cell(p_text(test.p), _order(test.p)),
            Cell(p_text(one.p_holm), _order(one.p_holm), kind=BEST if (one.p_holm or 1) <= LEVEL else ""),
        ]
        body.append(cells)
    columns = ("first - second", "structure", "pairs", "median difference", "effect", "p", "p Holm")
    return Table("Differences in Dice, paired by patient", columns, body, texts=("structure",), sortable=True)


def matrix(compared: Compared, structure: str) -> Table | None:
    """Median differences of the Dice of every two networks, row less column; None with fewer than three networks."""
    names = compared.of(structure)
    found = {(one.first, one.second): one for one in compared.comparisons if one.structure == structure}
    if len(names) < 3 or compared.against:
        return None
    body = []
    for row in names:
        cells = [Cell(row)]
        for column in names:
            sign, one = (1, found[row, column]) if (row, column) in found else (-1, found.get((column, row)))
            if one is None or one.median_difference.value is None:
                cells.append(Cell("" if row == column else ABSENT))
                continue
            kind = BEST if one.p_holm is not None and one.p_holm <= LEVEL else ""
            cells.append(Cell(_signed(sign * one.median_difference.value), kind=kind))
        body.append(cells)
    return Table(f"Median difference of the {name_of(structure)} Dice, row less column", ["", *names], body)


def _signed(value: float | None) -> str:
    return ABSENT if value is None else f"{value:+.3f}"


def _signed_ends(found: Estimate) -> str:
    return "" if found.low is None else f"{found.low:+.3f} to {found.high:+.3f}"


def _order(value: float | None) -> float:
    return math.nan if value is None else value


def p_text(value: float | None) -> str:
    if value is None:
        return ABSENT
    return "<0.0001" if value < 1e-4 else f"{value:.4f}"


def case_table(compared: Compared, structure: str) -> Table:
    """A row a case, a column a network: its Dice; the volume of the reference tells the small ones."""
    names = compared.of(structure)
    keys = sorted({key for name in names for key in compared.rows[name] if key[2] == structure})
    body = []
    for key in keys:
        rows = [compared.rows[name].get(key) for name in names]
        known = next(row for row in rows if row is not None)
        scores = [share_cell(row["dice"] if row else None) for row in rows]
        body.append([Cell(key[0]), Cell(str(key[1])), volume_cell(known["reference_ml"]), *scores])
    columns = ("case", "fold", "reference (ml)", *names)
    return Table(f"{name_of(structure).capitalize()} Dice of every case", columns, body, sortable=True)


def cost_table(costs: Mapping[str, RunCost]) -> Table:
    """A row a network; a cascade's two networks are added up."""
    body = []
    for name, cost in costs.items():
        gmac = " + ".join(f"{build.gmac:.3g}" for build in cost.builds) or ABSENT
        sizes = " + ".join("x".join(map(str, build.size)) for build in cost.builds) or ABSENT
        body.append(
            [
                Cell(name),
                Cell(f"{cost.parameters:,}" if cost.parameters is not None else ABSENT, _order(cost.parameters)),
                Cell(gmac, _order(sum(build.gmac for build in cost.builds) if cost.builds else None)),
                Cell(sizes),
                _amount(cost.kmac_per_voxel, 1),
                _amount(cost.training_min, 1),
                _amount(cost.case_s, 1),
                _amount(cost.memory_gib, 2),
            ]
        )
    columns = (
        "network",
        "parameters",
        "GMAC",
        "for an input of",
        "kMAC a voxel",
        "training (min a fold)",
        "segmenting (s a case)",
        "peak memory (GiB)",
    )
    return Table("What each network cost", columns, body, sortable=True)


def _amount(value: float | None, decimals: int) -> Cell:
    return Cell(ABSENT, math.nan) if value is None else Cell(f"{value:.{decimals}f}", value)


def source_table(printed: Sequence[Printed]) -> Table:
    """Whose numbers they are and what of, numbered as in `published_table`."""
    body = [
        text_cells((place, source.source, source.data, source.split, source.averaging))
        for place, source in enumerate(dict.fromkeys(one.source for one in printed), 1)
    ]
    words = ("source", "data", "split", "averaging")
    return Table("Where the published numbers come from", ("", *words), body, texts=words)


def published_table(printed: Sequence[Printed], public_20: bool) -> Table:
    """A paper's numbers; `public_20` tells whether ours are of the whole public set of 20 CTs."""
    places = {source: place for place, source in enumerate(dict.fromkeys(one.source for one in printed), 1)}
    metrics = [metric for metric in PRINTED_METRICS if any(metric in one.numbers for one in printed)]
    body = []
    for one in printed:
        same = public_20 and one.source.public_20
        cells = [share_cell(one.numbers.get(metric)) for metric in metrics]
        mark = Cell(OURS if same else OTHER, kind=SAME_DATA if same else "")
        source = Cell(f"[{places[one.source]}] {short(one)}")
        body.append([Cell(one.network), Cell(name_of(one.structure)), *cells, mark, source])
    headings = [SHORT.get(metric, metric.capitalize()) for metric in metrics]
    columns = ("network", "structure", *headings, "of", "source")
    return Table("As printed", columns, body, texts=("structure", "source"))


def short(one: Printed) -> str:
    """The source in a few words, with the data set where its table has several."""
    return f"{one.source.source}{one.source.column and f', {one.source.column}'}"


def run_facts(run: Run) -> dict[str, dict[str, str]]:
    """Stage -> what was run; the stage's name is empty where there is one alone."""
    about = {key: value for key, value in facts.experiment_facts(run).items() if key not in UNTOLD}
    software = facts.software_facts(run)
    return {
        stage.name: {
            "network": str(stage.settings.get("name", ABSENT)),
            **about,
            **({"recipe": str(recipe)} if (recipe := stage.settings.get("recipe")) else {}),
            **facts.setting_facts(stage),
            **software,
        }
        for stage in run.stages
    }


def outside_table(compared: Compared) -> Table:
    """Label maps that were made elsewhere: what their numbers mean, and how many cases they are of."""
    body = []
    for name, run in compared.outside.items():
        cases = {case for case, *_ in compared.rows[name]}
        body.append([Cell(name), Cell(str(run.scored.get("coding", ABSENT))), Cell(str(len(cases)))])
    return Table("Labels made elsewhere", ("made by", "numbers", "cases"), body, texts=("numbers",))


def split_facts(runs: Mapping[str, Run]) -> tuple[dict[str, str], Table | None]:
    """What is the same in every run, and a table of what is not; None where all are alike."""
    every = {f"{name} {stage}".strip(): told for name, run in runs.items() for stage, told in run_facts(run).items()}
    keys = list(dict.fromkeys(key for told in every.values() for key in told))
    common = {
        key: values.pop()
        for key in keys
        if len(values := {told.get(key, ABSENT) for told in every.values()}) == 1 and ABSENT not in values
    }
    differing = [key for key in keys if key not in common]
    if not differing:
        return common, None
    body = [[Cell(name), *(Cell(told.get(key, ABSENT)) for key in differing)] for name, told in every.items()]
    return common, Table("What differs", ("run", *differing), body, texts=differing)
