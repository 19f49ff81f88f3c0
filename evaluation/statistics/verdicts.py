"""What cross-validations of the same cases show, in words: intervals of each, paired comparisons between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.measures.metrics import METRICS
from evaluation.statistics.comparison import Comparison, Rows, compare, read_runs, shared_structures
from evaluation.statistics.intervals import RESAMPLES, Estimate, estimate, patient_means
from evaluation.statistics.paired import smallest_p
from pipeline.core.errors import InputError
from pipeline.core.text_table import aligned, listed, number

LEVEL = 0.05
# Simulated: 1000 samples for each number of patients, 999 resamples; tests/evaluation/statistics/test_statistics.py
# repeats it
SMALL_SAMPLES = {5: 0.67, 10: 0.79, 20: 0.93, 50: 0.94}
SCOPE = (
    "Intervals and p speak of other patients like these, for the networks as they were trained: one training a fold, "
    "and folds that share most of their training patients."
)


def run_estimates(rows: Rows, metric: str, structure: str) -> tuple[Estimate, Estimate]:
    """Mean and median of a metric over the patients of a run."""
    values = patient_means((row["patient_id"], row[metric]) for row in rows.values() if row["structure"] == structure)
    return estimate(values.values(), np.mean), estimate(values.values(), np.median)


def verdict(comparison: Comparison) -> str:
    """One sentence on what a comparison shows and what it cannot."""
    return f"{subject(comparison)}: {finding(comparison)}."


def subject(comparison: Comparison) -> str:
    return f"{comparison.metric.capitalize()} of {comparison.structure}, {comparison.first} and {comparison.second}"


def finding(comparison: Comparison) -> str:
    """What a comparison shows and what it cannot, for `subject` to stand before."""
    test, p = comparison.test, comparison.p_holm
    if not test.pairs:
        return "no patient has a defined value in both, so nothing can be compared"
    if p is None:
        return f"the two are equal in each of {test.pairs} patient(s)"
    smallest = f"with {test.differing} differing pair(s) the smallest possible two-sided p is "
    smallest += f"{smallest_p(test.differing):.4g}"
    nothing = f"so no difference, however large, can be significant at {100 * LEVEL:g} %, and none found shows nothing"
    if smallest_p(test.differing) > LEVEL:
        return f"{smallest}, {nothing}"
    if comparison.smallest_p_holm > LEVEL:
        corrected = f"{comparison.smallest_p_holm:.4g} after Holm's correction for so many comparisons"
        return f"{smallest}, and {corrected}, {nothing}; choose fewer before looking"
    shown = f"(p {p:.2g} after Holm's correction, {test.pairs} pairs)"
    if p > LEVEL:
        return f"no difference is shown {shown}, which does not make them equal{_range_left(comparison)}"
    higher = comparison.first if (test.rank_biserial or 0) > 0 else comparison.second
    return (
        f"{higher} is higher {shown}, as trained here and on patients like these; another training or another hospital "
        "may show otherwise"
    )


def _range_left(comparison: Comparison) -> str:
    median = comparison.median_difference
    if median.low is None:
        return ""
    return f": the interval of the median difference, uncorrected, goes from {median.low:+.3f} to {median.high:+.3f}"


def verdicts(comparisons: Sequence[Comparison]) -> list[str]:
    """The sentences of all comparisons; those that show the same share one."""
    alike: dict[str, list[str]] = {}
    for comparison in comparisons:
        alike.setdefault(finding(comparison), []).append(subject(comparison))
    return [f"{'; '.join(subjects)}: {found}." for found, subjects in alike.items()]


def estimate_table(runs: Mapping[str, Rows], metric: str, structures: Sequence[str]) -> str:
    """Mean and median of each run and structure with their intervals, and why where there is none."""
    lines, reasons = [["run", "structure", "patients", "mean", "95 % interval", "median", "95 % interval"]], []
    for name, rows in runs.items():
        for structure in structures:
            mean, median = run_estimates(rows, metric, structure)
            cells = [number(mean.value), _interval(mean), number(median.value), _interval(median)]
            lines.append([name, structure, str(mean.patients), *cells])
            reasons += [
                f"No interval of the {kind} of {structure}, {name}: {found.why_not}."
                for kind, found in (("mean", mean), ("median", median))
                if found.why_not
            ]
    return "\n".join((f"{metric.capitalize()} over patients", aligned(lines), *listed(reasons)))


def interval_text(name: str, rows: Rows, structures: Sequence[str], metric: str = "dice") -> str:
    """The intervals of one run, and how they were made."""
    return "\n".join((estimate_table({name: rows}, metric, structures), *listed([interval_note()])))


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """A line a comparison, then what each one shows and what the columns are."""
    head = ["first - second", "structure", "pairs", "median", "95 % interval", "effect", "p", "p Holm"]
    lines = [head]
    for one in comparisons:
        median, test = one.median_difference, one.test
        cells = [_signed(median.value), _interval(median, "+"), _signed(test.rank_biserial)]
        names = [f"{one.first} - {one.second}", one.structure, str(test.pairs)]
        lines.append([*names, *cells, _p(test.p), _p(one.p_holm)])
    title = f"Differences in {comparisons[0].metric.capitalize()}, paired by patient"
    return "\n".join((title, aligned(lines), *listed(verdicts(comparisons)), *listed(notes(comparisons))))


def notes(comparisons: Sequence[Comparison]) -> list[str]:
    """How the numbers of a table of comparisons came about."""
    methods = ", ".join(sorted({one.test.method for one in comparisons} - {"none"})) or "not needed"
    left_out = sum(one.left_out for one in comparisons)
    return [
        "Pairs: patients; several cases of one are averaged first, and cases where the metric is undefined in either "
        f"run are left out ({left_out} in all).",
        f"p: two-sided Wilcoxon signed-rank test ({methods}) without pairs that are equal; p Holm: corrected over the "
        f"{len(comparisons)} comparison(s) of this table.",
        "Effect: matched-pairs rank-biserial correlation, +1 where the first run is higher in every patient, 0 where "
        "neither is, -1 where the second is.",
    ]


def interval_note() -> str:
    """How the intervals were made, and how far few patients make them too narrow."""
    held = ", ".join(f"{100 * share:.0f} % of {patients}" for patients, share in SMALL_SAMPLES.items())
    return (
        f"Intervals: BCa bootstrap over patients, {RESAMPLES} resamples, each for itself and not corrected for their "
        "number. With few patients they are too narrow: simulated where 15 % of patients fail, those of the mean held "
        f"the true mean in {held} patients."
    )


def _interval(found: Estimate, sign: str = "") -> str:
    return "-" if found.low is None else f"{found.low:{sign}.3f} to {found.high:{sign}.3f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "<0.0001" if value < 1e-4 else f"{value:.4f}"


def statistics_of(folders: Sequence[str], metric: str = "dice", structures: Sequence[str] = ()) -> str:
    """Intervals of cross-validations of the same cases, and paired comparisons between them, as tables.

    Each is a folder with `metrics.csv`, or such a file; one alone gives its intervals. `structures` are compared alone.
    InputError for a metric that there is not.
    """
    if metric not in METRICS:
        raise InputError(f"METRIC is {metric!r}, expected one of: {', '.join(METRICS)}.")
    runs = read_runs(folders)
    shared = shared_structures(runs, list(structures))
    tables = [estimate_table(runs, metric, shared)]
    if len(runs) > 1:
        tables.append(comparison_table(compare(runs, metric, shared)))
    return "\n\n".join((*tables, "\n".join(listed([interval_note(), SCOPE]))))
