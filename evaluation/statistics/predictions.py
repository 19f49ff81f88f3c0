"""Labels that a bundle wrote for cases with a reference: measured as cross-validation measures them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.measures.cases import Job, evaluate_cases, write_metrics_csv
from evaluation.statistics.summary import summarise
from evaluation.tables.scores import tables
from pipeline.core import logs
from pipeline.core.annotation import annotation_of
from pipeline.core.atomic import write_json
from pipeline.core.labels import CODES, label_map
from pipeline.core.run_files import METRICS_FILE, SUMMARY_FILE


def without_labels(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What inference gets of labelled cases: their names and images alone."""
    return [{"case": case["case"], "image": case["image"]} for case in cases]


def evaluate_predictions(
    cases: Sequence[Mapping[str, Any]], output_dir: str | Path, label_map_name: str, fold: int
) -> dict[str, Any]:
    """Score `<output_dir>/<case>.nii.gz` of labelled cases, print the tables, and write metrics.csv and summary.json.

    `cases` are entries of the datalist with absolute paths. Returns the summary; raises InputError for a label file
    that cannot be scored.
    """
    folder = Path(output_dir)
    jobs = [
        Job(
            Path(case["label"]),
            folder / f"{case['case']}.nii.gz",
            case["case"],
            case["patient_id"],
            fold,
            annotation=annotation_of(case),
            codes=case.get(CODES),
        )
        for case in cases
    ]
    rows = evaluate_cases(jobs, label_map(label_map_name))
    summary = summarise(rows)
    write_metrics_csv(rows, folder / METRICS_FILE)
    write_json(folder / SUMMARY_FILE, summary)
    logs.result(tables(rows, summary), folder=folder, summary=summary)
    return summary
