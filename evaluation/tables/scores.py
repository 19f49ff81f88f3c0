"""Results as plain-text tables, at most 100 characters wide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluation.measures.metrics import METRICS
from pipeline.core.labels import in_order
from pipeline.core.text_table import aligned, decimal, number, sentence, shortened, wrapped

# Table 1 of the MIScnn COVID-19 paper (Muller, Soto-Rey, Kramer), its row AVG: the mean of its five fold medians
PAPER_AVERAGE = {
    "lungs": {"dice": 0.956, "sensitivity": 0.956, "specificity": 0.998},
    "infection": {"dice": 0.761, "sensitivity": 0.730, "specificity": 0.999},
}
PAPER_NOTE = (
    "* The paper's own AVG (MIScnn, Muller et al.): 5 folds of 4 cases of the public 20-CT set, folds drawn by its "
    "authors. Other data than the rows above, unless these are that set."
)


def tables(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    """All tables of an evaluation; the MIScnn paper's only where its structures were scored."""
    paper = [paper_table(summary)] if summary["miscnn"] else []
    return "\n\n".join(
        (*paper, structure_table(summary), surface_table(summary), averaging_table(summary), case_table(rows))
    )


def paper_table(summary: Mapping[str, Any]) -> str:
    """One row a fold and their average, laid out as Table 1 of the MIScnn paper, with that paper's average below."""
    miscnn = summary["miscnn"]
    lines = [["fold", "cases", "Lungs DSC", "Sens", "Spec", "COVID-19 DSC", "Sens", "Spec"]]
    for fold in miscnn["folds"]:
        lines.append([str(fold["fold"]), str(fold["cases"]), *_paper_cells(fold)])
    lines.append(["AVG", str(summary["cases"]), *_paper_cells(miscnn["average"])])
    lines.append(["paper's AVG*", "20", *_paper_cells(PAPER_AVERAGE)])
    averaging = f"Averaging: {miscnn['averaging']}."
    return "\n".join(
        ("Fold medians, the MIScnn paper's way", aligned(lines), *wrapped(averaging), *wrapped(PAPER_NOTE))
    )


def _paper_cells(scores: Mapping[str, Any]) -> list[str]:
    return [number(scores[column][metric]) for column in PAPER_AVERAGE for metric in METRICS]


def structure_table(summary: Mapping[str, Any]) -> str:
    """Mean, standard deviation, median and number of defined cases of each structure and metric."""
    heading = ["structure"]
    for metric in METRICS:
        heading += [metric.capitalize(), "median", "n"]
    lines = [heading]
    for structure, metrics in summary["structures"].items():
        cells = [structure]
        for spread in (metrics[metric] for metric in METRICS):
            cells += [
                f"{number(spread['mean'])} ± {number(spread['std']):5}",
                number(spread["median"]),
                str(spread["cases"]),
            ]
        lines.append(cells)
    title = f"Over cases: {summary['cases']} cases of {summary['patients']} patients"
    averaging = (
        "Averaging: mean ± sample standard deviation over the n cases where the metric is defined, all folds together."
    )
    return "\n".join((title, aligned(lines), *wrapped(averaging), *wrapped(f"Empty masks: {summary['empty_rule']}.")))


def surface_table(summary: Mapping[str, Any]) -> str:
    """Surfaces, volumes, AUC and lesions of each structure over the cases."""
    lines = [["structure", "surface Dice", "at mm", "HD95 mm", "mean mm", "lost", "volume error ml", "AUC"]]
    for structure, metrics in summary["structures"].items():
        distances = (decimal(metrics[name]["median"]) for name in ("hd95_mm", "mean_distance_mm"))
        error = metrics["volume_error_ml"]
        lines.append(
            [
                structure,
                _mean_and_deviation(metrics["surface_dice"], number),
                f"{summary['tolerance_mm'][structure]:g}",
                *distances,
                str(metrics["hd95_mm"]["infinite"]),
                _mean_and_deviation(error, decimal),
                number(metrics["auc"]["mean"]),
            ]
        )
    told = [
        "Surface Dice, volume error and AUC: mean (± sample standard deviation); distances: median. Lost: cases where "
        f"one of the two masks is empty. {sentence(summary['surface_rule'])} {sentence(summary['auc_rule'])}"
    ]
    if lesions := summary["lesions"]:
        told.append(f"{lesion_words(lesions)} {sentence(lesions['rule'])}")
    notes = [line for one in told for line in wrapped(one)]
    return "\n".join(("Surfaces, volumes and lesions", aligned(lines), *notes))


def lesion_words(lesions: Mapping[str, Any]) -> str:
    """The counts of `evaluation.statistics.summary.lesion_detection` in a sentence."""
    found = f"{lesions['found']} of {lesions['lesions']} found (sensitivity {number(lesions['sensitivity'])})"
    return f"Lesions: {found}, {decimal(lesions['false_positives_a_case'])} false positives a case."


def averaging_table(summary: Mapping[str, Any]) -> str:
    """Dice by the ways of averaging that papers use, beside ours: the same predictions, other numbers."""
    lines = [["structure", "mean over cases", "pooled", "slice-wise, empty = 1"]]
    for structure, metrics in summary["structures"].items():
        others = (summary["pooled"]["structures"][structure]["dice"], summary["slice_wise"]["structures"][structure])
        lines.append([structure, number(metrics["dice"]["mean"]), *map(number, others)])
    told = f"Pooled: {summary['pooled']['averaging']}. Slice-wise: {summary['slice_wise']['averaging']}."
    return "\n".join(("Dice, averaged as papers do", aligned(lines), *wrapped(told)))


def _mean_and_deviation(spread: Mapping[str, Any], written: Callable[[float | None], str]) -> str:
    return f"{written(spread['mean'])} ± {written(spread['std'])}"


def case_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The Dice of each structure, one line a case and fold, sorted by case; `-` where it is undefined or has no row."""
    dice = {(row["case"], row["fold"], row["structure"]): row["dice"] for row in rows}
    structures = in_order(row["structure"] for row in rows)
    lines = [["case", "fold", *structures]]
    cases = sorted({(row["case"], row["fold"]) for row in rows})
    for case, fold in cases:
        lines.append([shortened(case), str(fold), *(number(dice.get((case, fold, name))) for name in structures)])
    partial = ", or the reference does not annotate it" * (len(dice) < len(cases) * len(structures))
    undefined = f"-: undefined, reference and prediction are both empty{partial}."
    return "\n".join(("Dice of each case", aligned(lines), undefined))
