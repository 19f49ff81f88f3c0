"""Finished cross-validations of the same folds of the same data, read and checked together."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from evaluation.report.metric_columns import DICE, Metric, metrics_of
from evaluation.report.run import Run, read_run
from evaluation.report.shown import ranking_structure
from evaluation.statistics.comparison import Comparison, Pair, Rows, compare, family, read_runs, tested
from evaluation.statistics.findings import severity_worth
from evaluation.statistics.intervals import Estimate, estimate, patient_means
from evaluation.statistics.severity_worth import SeverityWorth
from evaluation.statistics.verdicts import LEVEL
from pipeline.core.errors import InputError
from pipeline.core.labels import in_order

FILES = ("image_sha256", "label_sha256")


@dataclass(frozen=True)
class Score:
    """A metric of a run on a structure over patients: `estimate` is of the mean or the median, `sd` of the values."""

    estimate: Estimate
    sd: float | None
    infinite: int


@dataclass(frozen=True)
class Compared:
    """Runs of the same cases in the same folds.

    Args:
        runs: name -> what its folder holds, in the order of the page.
        rows: name -> its scores by case, fold and structure.
        tested_structures: those on which the runs are tested against each other, all where none is named.
        against: name of the run that every other one is tested against; empty: every two.
    """

    runs: Mapping[str, Run]
    rows: Mapping[str, Rows]
    tested_structures: Sequence[str] = ()
    against: str = ""

    @cached_property
    def trained(self) -> dict[str, Run]:
        """The cross-validations, without label maps that were made elsewhere; all runs where there is nothing else."""
        return {name: run for name, run in self.runs.items() if not run.scored} or dict(self.runs)

    @cached_property
    def outside(self) -> dict[str, Run]:
        """The label maps that were made elsewhere."""
        return {name: run for name, run in self.runs.items() if run.scored}

    @cached_property
    def cases(self) -> set[str]:
        """That any run was scored on."""
        return {case for rows in self.rows.values() for case, *_ in rows}

    @cached_property
    def structures(self) -> list[str]:
        """Scored by any run."""
        return in_order(structure for rows in self.rows.values() for *_, structure in rows)

    @cached_property
    def metrics(self) -> list[Metric]:
        """That any run has."""
        return metrics_of(row for rows in self.rows.values() for row in rows.values())

    @cached_property
    def main_structure(self) -> str:
        """What the page ranks and plots by: the infection where any run scored it."""
        return ranking_structure(self.structures) or self.structures[0]

    def of(self, structure: str) -> list[str]:
        """Names of the runs that scored a structure."""
        return [name for name, rows in self.rows.items() if any(key[2] == structure for key in rows)]

    def by_patient(self, name: str, structure: str, metric: Metric) -> dict[str, float]:
        """The metric's mean over each patient's cases, where it is defined."""
        mine = [row for key, row in self.rows[name].items() if key[2] == structure]
        return patient_means((row["patient_id"], row[metric.column]) for row in mine)

    @cached_property
    def scores(self) -> dict[tuple[str, str, Metric], Score]:
        """By run, structure and metric, where the run scored the structure and has the metric."""
        found = {}
        for structure in self.structures:
            for name in self.of(structure):
                for metric in self.metrics:
                    if values := [*self.by_patient(name, structure, metric).values()]:
                        found[name, structure, metric] = _score(values, metric)
        return found

    def value(self, name: str, structure: str, metric: Metric) -> float | None:
        """The mean or median, None where there is none."""
        score = self.scores.get((name, structure, metric))
        return score.estimate.value if score else None

    @cached_property
    def severity(self) -> dict[str, SeverityWorth]:
        """Of the runs that have any."""
        found = {name: severity_worth(run.findings, run.rows) for name, run in self.runs.items()}
        return {name: one for name, one in found.items() if one}

    @cached_property
    def pairs(self) -> list[Pair]:
        return family(self.rows, self.tested_structures or self.structures, self.against)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Of the Dice of every pair, the family of Holm's correction."""
        return compare(self.rows, DICE.column, self.tested_structures or self.structures, self.against)

    @cached_property
    def shown_worse(self) -> set[tuple[Metric, str, str, str]]:
        """(metric, structure, worse run, better run) of every difference that is shown, each metric a family."""
        found = set()
        for metric in self.metrics:
            tests = tested(self.rows, metric.column, self.pairs)
            for (structure, first, second), (test, p) in zip(self.pairs, tests, strict=True):
                if p is None or p > LEVEL or not test.rank_biserial:
                    continue
                first_is_better = (test.rank_biserial > 0) != metric.lower_is_better
                worse, better = (second, first) if first_is_better else (first, second)
                found.add((metric, structure, worse, better))
        return found

    def best(self, structure: str, metric: Metric) -> str | None:
        """The run with the best mean or median; None where no run has a value."""
        values = {name: self.value(name, structure, metric) for name in self.of(structure)}
        known = {name: value for name, value in values.items() if value is not None}
        if not known:
            return None
        return min(known, key=lambda name: known[name] if metric.lower_is_better else -known[name])


def _score(values: Sequence[float], metric: Metric) -> Score:
    infinite = int(np.isinf(values).sum())
    sd = statistics.stdev(values) if len(values) > 1 and not infinite else None
    return Score(estimate(values, np.median if metric.median else np.mean), sd, infinite)


def read_compared(
    folders: Sequence[str | Path],
    structures: Sequence[str] = (),
    against: str = "",
    names: Mapping[Path, str] | None = None,
) -> Compared:
    """The runs of at least two folders that `make cv` or `make score` wrote, the highest Dice of the infection first.

    `names` are what label maps that were made elsewhere are called, by folder. Raises InputError where a run is not
    finished, where runs differ in their data, cases, folds or references, and for a structure or a run to test against
    that is not there.
    """
    if len(folders) < 2:
        raise InputError(f"RUN: {len(folders)} run was given, expected at least two; name another one.")
    rows = read_runs(folders, names)
    read = dict(zip(rows, (read_run(folder) for folder in folders), strict=True))
    # Those with folds first, which others are held against
    (first, expected), *others = sorted(read.items(), key=lambda named: bool(named[1].scored))
    for name, run in others:
        (check_same_files if run.scored else check_same_study)(first, expected, name, run)
    shown = {name: display_name(name, run) for name, run in read.items()}
    compared = Compared(
        {shown[name]: run for name, run in read.items()},
        {shown[name]: rows[name] for name in read},
        structures,
        against,
    )
    _check_asked(compared)
    ranked = sorted(compared.runs, key=lambda name: _rank(compared, name))
    return Compared(
        {name: compared.runs[name] for name in ranked},
        {name: compared.rows[name] for name in ranked},
        structures,
        against,
    )


def display_name(name: str, run: Run) -> str:
    """A folder's name; that of a cascade as it is written elsewhere, `unet_3d>anam_net`, and of a run alone its own."""
    return run.network if name in (run.network.replace(">", "-"), str(run.folder)) else name


def _rank(compared: Compared, name: str) -> float:
    values = compared.by_patient(name, compared.main_structure, DICE).values()
    return -statistics.fmean(values) if values else 1.0


def _check_asked(compared: Compared) -> None:
    for structure in compared.tested_structures:
        if structure not in compared.structures:
            raise InputError(
                f"--structure: {structure} is scored by none of the runs; expected one of: "
                f"{', '.join(compared.structures)}."
            )
    if compared.against and compared.against not in compared.runs:
        raise InputError(
            f"--against: {compared.against} is none of the runs; expected one of: {', '.join(compared.runs)}."
        )


def check_same_study(first: str, expected: Run, second: str, found: Run) -> None:
    """InputError where two runs have other cases, files or folds; what either did not write down is not compared."""
    advice = "compare cross-validations of one data set with one split"
    tested_cases = [{(row["case"], row["fold"]) for row in run.rows} for run in (expected, found)]
    if differing := sorted(tested_cases[0] ^ tested_cases[1]):
        case, fold = differing[0]
        where = first if (case, fold) in tested_cases[0] else second
        raise InputError(f"case {case}: is tested in fold {fold} of {where} alone; {advice}.")
    check_same_files(first, expected, second, found)
    if expected.cases and found.cases and (others := sorted(expected.cases.keys() ^ found.cases.keys())):
        raise InputError(f"case {others[0]}: is not in the data of both {first} and {second}; {advice}.")
    members = [_members(run.folds.get("folds", ())) for run in (expected, found)]
    if all(members) and members[0] != members[1]:
        raise InputError(f"{second}: has other folds than {first}; {advice} and one seed of the split.")


def check_same_files(first: str, expected: Run, second: str, found: Run) -> None:
    """InputError where a case that two runs have is of other files."""
    advice = "compare scores of one data set"
    for case in sorted(expected.cases.keys() & found.cases.keys()):
        for file in FILES:
            hashes = [run.cases[case].get(file) for run in (expected, found)]
            if None not in hashes and hashes[0] != hashes[1]:
                what = file.partition("_")[0]
                raise InputError(f"case {case}: its {what} file is another one in {second} than in {first}; {advice}.")


def _members(folds: Iterable[Mapping[str, object]]) -> dict[object, list[object]]:
    return {fold["fold"]: sorted(fold["test"]) for fold in folds}  # type: ignore[call-overload]
