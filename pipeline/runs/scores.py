"""The tables and the page of label maps that were held against their references."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evaluation.measures.cases import Job, write_metrics_csv
from evaluation.report.cross_validation import write_report
from evaluation.statistics.comparison import keyed
from evaluation.statistics.findings import (
    findings_summary,
    findings_text,
    score_and_examine,
    with_flags,
    write_findings,
)
from evaluation.statistics.reliability import RULE, reliability_of
from evaluation.statistics.summary import summarise
from evaluation.statistics.unlike_training import held_out_distances, limits_of, unlike_flags, write_limits
from evaluation.statistics.verdicts import interval_text
from evaluation.tables.scores import tables
from pipeline.core import logs
from pipeline.core.annotation import annotation_of
from pipeline.core.atomic import write_json
from pipeline.core.labels import CODES, LabelMap
from pipeline.core.run_files import METRICS_FILE, PROBABILITIES, SUMMARY_FILE
from pipeline.core.scan_traits import folds_of
from pipeline.core.temperature import write_temperature
from pipeline.data.study import Study

logger = logging.getLogger(__name__)


def job_of(study: Study, case: Mapping[str, Any], fold: int) -> Job:
    """What is evaluated of a case that a study's fold holds out."""
    probability = study.folder / PROBABILITIES / f"{case['case']}.nii.gz"
    return Job(
        Path(case["label"]),
        study.prediction(dict(case)),
        case["case"],
        case["patient_id"],
        fold,
        probability if probability.is_file() else None,
        Path(case["image"]),
        annotation_of(case),
        case.get(CODES),
    )


def write_scores(folder: Path, name: str, jobs: Iterable[Job], classes: LabelMap) -> None:
    """Score every job on the scanner's grid, write tables and report into a run's folder, and print the former.

    `name` is what made the label maps, `classes` what their numbers are. Where there are probabilities, their
    temperature is written beside the models, and where these tell how far scans are from their training, the limits of
    that.
    """
    rows, findings = score_and_examine(jobs, classes)
    distances = held_out_distances(folds_of(folder))
    findings = with_flags(findings, unlike_flags(distances, rows))
    write_limits(folder, limits_of(distances, rows))
    summary = {**summarise(rows), **findings_summary(findings, rows)}
    write_metrics_csv(rows, folder / METRICS_FILE)
    write_findings(findings, folder)
    likely = reliability_of(finding.counts for finding in findings)
    write_temperature(folder, likely.temperature if likely else None, RULE)
    write_json(folder / SUMMARY_FILE, summary)
    logs.result(tables(rows, summary), folder=folder, summary=summary)
    intervals = interval_text(name, keyed(rows, str(folder)), list(summary["structures"]))
    logs.result("\n".join(["", findings_text(findings, rows), "", intervals]))
    logger.info("Report: %s", write_report(folder))
