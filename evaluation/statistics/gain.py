"""What semi-supervised training brought: its cross-validation beside the supervised one of the same cases and folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation.statistics.comparison import Comparison, Rows, case_differences, compare, read_runs, shared_structures
from evaluation.statistics.intervals import estimate, patient_means
from evaluation.statistics.verdicts import comparison_table, estimate_table, interval_note, run_estimates
from pipeline.core.atomic import replacing, write_csv
from pipeline.core.text_table import aligned, listed

SEMI, SUPERVISED = "semi-supervised", "supervised"
COLUMNS = (
    "structure", "metric", "patients", "cases", "supervised_mean", "semi_supervised_mean",
    "mean_difference", "mean_difference_low", "mean_difference_high",
    "median_difference", "median_difference_low", "median_difference_high",
    "p", "p_holm", "test", "effect",
)  # fmt: skip
Cells = dict[str, str | int | float | None]


def write_gain(semi_dir: str | Path, supervised_dir: str | Path, remarks: Sequence[str], metric: str = "dice") -> str:
    """Write comparison.csv and comparison.txt into `semi_dir`; the text.

    Raises InputError where the two runs did not test the same cases.
    """
    semi, supervised = read_runs([semi_dir, supervised_dir]).values()
    runs = {SEMI: semi, SUPERVISED: supervised}
    structures = shared_structures(runs)
    comparisons = compare(runs, metric, structures)
    rows = [gain(runs, comparison) for comparison in comparisons]
    write_csv(Path(semi_dir) / "comparison.csv", COLUMNS, rows)
    notes = "\n".join(listed((*remarks, interval_note())))
    tables = (estimate_table(runs, metric, structures), gain_table(rows), comparison_table(comparisons), notes)
    text = "\n\n".join(tables)
    with replacing(Path(semi_dir) / "comparison.txt") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return text


def gain(runs: dict[str, Rows], comparison: Comparison) -> Cells:
    """A comparison's row of COLUMNS, with the mean difference over patients beside the median one."""
    metric, structure = comparison.metric, comparison.structure
    differences = patient_means(case_differences(runs[SEMI], runs[SUPERVISED], metric, structure))
    mean, median = estimate(differences.values(), np.mean), comparison.median_difference
    return {
        "structure": structure,
        "metric": metric,
        "patients": comparison.test.pairs,
        "cases": comparison.cases,
        "supervised_mean": run_estimates(runs[SUPERVISED], metric, structure)[0].value,
        "semi_supervised_mean": run_estimates(runs[SEMI], metric, structure)[0].value,
        "mean_difference": mean.value,
        "mean_difference_low": mean.low,
        "mean_difference_high": mean.high,
        "median_difference": median.value,
        "median_difference_low": median.low,
        "median_difference_high": median.high,
        "p": comparison.test.p,
        "p_holm": comparison.p_holm,
        "test": comparison.test.method,
        "effect": comparison.test.rank_biserial,
    }


def gain_table(rows: Sequence[Cells]) -> str:
    """Mean differences, semi-supervised less supervised, with their intervals."""
    lines = [["structure", "patients", "supervised", "semi-supervised", "mean difference", "95 % interval"]]
    for row in rows:
        low, high = row["mean_difference_low"], row["mean_difference_high"]
        interval = "-" if low is None else f"{low:+.3f} to {high:+.3f}"
        means = [_number(row[name]) for name in ("supervised_mean", "semi_supervised_mean")]
        lines.append(
            [f"{row['structure']}", f"{row['patients']}", *means, _number(row["mean_difference"], "+"), interval]
        )
    return "\n".join(
        (f"Mean {str(rows[0]['metric']).capitalize()} and what the unlabelled scans changed", aligned(lines))
    )


def _number(value: object, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"
