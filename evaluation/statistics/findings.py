"""What is said of each case of a cross-validation beside its scores: its severity, and signs that it failed."""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.measures.cases import OWN_CODES, Job, Row, case_rows, each_case, read_pair, read_probability
from evaluation.measures.flags import EVERY, Flag, case_flags
from evaluation.measures.whole_lungs import whole_lungs
from evaluation.statistics.flag_worth import Worth, worth, worth_table
from evaluation.statistics.reliability import CaseCounts, case_counts, reliability_of, write_counts
from evaluation.statistics.reliability_text import reliability_text
from evaluation.statistics.severity_interval import HeldOut
from evaluation.statistics.severity_worth import SeverityWorth
from evaluation.tables.severity_table import (
    SEVERITY_COLUMNS,
    SEVERITY_RULE,
    SeverityRow,
    case_severities,
    grade_agreement,
    severity_row,
    severity_table,
)
from pipeline.core.annotation import Annotation
from pipeline.core.atomic import write_csv
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap
from pipeline.core.text_table import WIDTH, listed, sentence
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import read_scan
from pipeline.scans.simpleitk import sitk

SEVERITY_FILE, FLAGS_FILE = "severity.csv", "flags.csv"
FLAG_COLUMNS = ("case", "fold", "flag", "value", "unit", "low", "high", "suspicion", "raised", "sentence")
# Whose Dice tells whether a case has failed
JUDGED_BY = "infection"


@dataclass(frozen=True)
class Finding:
    """Of one predicted case.

    Args:
        severity: None where the label map has no infection, or the reference does not annotate lungs and infection.
        flags: none where the label map does not tell left lung, right lung and infection apart.
        counts: of the infection's probability; None where there is none, as in findings that were read back.
    """

    case: str
    fold: int
    severity: SeverityRow | None
    flags: tuple[Flag, ...]
    counts: CaseCounts | None = None


def examine(
    job: Job,
    reference: sitk.Image,
    prediction: sitk.Image,
    label_map: LabelMap,
    levels: np.ndarray | None = None,
) -> Finding:
    """Severity beside the reference's, the flags of the prediction with its scan, where there is one, and counts.

    Both images are as `read_pair` gives them, `levels` as `read_probability` does.
    """
    arrays = sitk.GetArrayViewFromImage(reference), sitk.GetArrayViewFromImage(prediction)
    spacing_mm = reference.GetSpacing()[::-1]
    # Once for both, as it takes most of the time where infection is scattered
    lungs = whole_lungs(arrays[1], spacing_mm) if label_map.classes == OWN_CODES.classes else None
    severities = case_severities(*arrays, label_map, spacing_mm, lungs) if job.annotation == Annotation() else None
    flags = job_flags(job, prediction, label_map, lungs=lungs)
    counts = case_counts(job, reference, prediction, levels, label_map)
    return Finding(job.case, job.fold, severities and severity_row(job.case, *severities), flags, counts)


def job_flags(
    job: Job,
    prediction: sitk.Image,
    label_map: LabelMap,
    others: Sequence[sitk.Image] = (),
    lungs: np.ndarray | None = None,
) -> tuple[Flag, ...]:
    """The flags of a job's prediction, with its scan where there is one; `others` and `lungs` as for `case_flags`.

    None where the label map does not tell left lung, right lung and infection apart.
    """
    if label_map.classes != OWN_CODES.classes:
        return ()
    return tuple(case_flags(prediction, read_scan(job.scan) if job.scan else None, others, job.case, lungs))


def score_and_examine(jobs: Iterable[Job], label_map: LabelMap) -> tuple[list[Row], list[Finding]]:
    """The rows and the findings of all jobs, in their order, each file of a case read once for both."""

    def measure(job: Job) -> tuple[list[Row], Finding]:
        pair = read_pair(job, label_map)
        levels = read_probability(job, Geometry.of(pair[0])) if job.probability else None
        return case_rows(job, *pair, label_map, levels), examine(job, *pair, label_map, levels)

    measured = each_case(jobs, measure)
    return [row for rows, _ in measured for row in rows], [finding for _, finding in measured]


def with_flags(findings: Sequence[Finding], more: Mapping[tuple[str, int], Flag]) -> list[Finding]:
    """Findings with one more flag of each case and fold that has one."""
    extra = [more.get((finding.case, finding.fold)) for finding in findings]
    return [
        replace(finding, flags=(*finding.flags, flag)) if flag else finding
        for finding, flag in zip(findings, extra, strict=True)
    ]


def worths(findings: Sequence[Finding], rows: Sequence[Row]) -> list[Worth]:
    """What each flag is worth on these cases, held against their Dice; none where there are no flags."""
    judged = {(row["case"], row["fold"]): row for row in rows if row["structure"] == JUDGED_BY}
    # A case whose reference does not annotate what it is judged by has no score
    flagged = [finding for finding in findings if finding.flags and (finding.case, finding.fold) in judged]
    scores = [judged[finding.case, finding.fold] for finding in flagged]
    dice, patients = [row["dice"] for row in scores], [row["patient_id"] for row in scores]
    found = []
    for limits in EVERY:
        flags = [{flag.limits.name: flag for flag in finding.flags}.get(limits.name) for finding in flagged]
        if any(flags):
            found.append(worth(limits.name, flags, dice, patients=patients))
    return found


def severity_worth(findings: Sequence[Finding], rows: Sequence[Row]) -> SeverityWorth | None:
    """What the severity of these cases is worth, whose patients the rows tell; None where none has a severity."""
    severities = [(finding.fold, finding.severity) for finding in findings if finding.severity]
    patient_of = {row["case"]: row["patient_id"] for row in rows}
    return SeverityWorth.of(HeldOut.of(severities, patient_of)) if severities else None


def findings_summary(findings: Sequence[Finding], rows: Sequence[Row]) -> dict[str, Any]:
    """For summary.json: agreement of the grades, raised flags and what they are worth, and probabilities.

    None where undefined.
    """
    severities = [finding.severity for finding in findings if finding.severity]
    summary: dict[str, Any] = {}
    if severities:
        agreement = grade_agreement(severities)
        summary["severity"] = {
            "rule": SEVERITY_RULE,
            "grade_confusion": agreement.confusion.tolist(),
            "kappa": None if math.isnan(agreement.kappa) else agreement.kappa,
            "undefined": agreement.undefined,
        }
        if held_out := severity_worth(findings, rows):
            summary["severity"]["held_out"] = held_out.content
    if any(finding.flags for finding in findings):
        raised = {
            f"{finding.case}, fold {finding.fold}": [flag.limits.name for flag in finding.flags if flag.raised]
            for finding in findings
        }
        summary["flags"] = {
            "raised": {case: names for case, names in raised.items() if names},
            "worth": [vars(one) for one in worths(findings, rows)],
        }
    if likely := reliability_of(finding.counts for finding in findings):
        summary["probabilities"] = likely.summary()
    return summary


def findings_text(findings: Sequence[Finding], rows: Sequence[Row]) -> str:
    """Severity, raised flags and what they are worth, and probabilities, as far as there are any; empty without."""
    parts = []
    if severities := [finding.severity for finding in findings if finding.severity]:
        rule = textwrap.fill(sentence(SEVERITY_RULE), WIDTH)
        found = severity_worth(findings, rows)
        parts.append("\n".join((severity_table(severities), rule, *listed(found.sentences if found else ()))))
    if flagged := worths(findings, rows):
        parts += [raised_text(findings), worth_table(flagged, JUDGED_BY)]
    if likely := reliability_of(finding.counts for finding in findings):
        parts.append(reliability_text(likely))
    return "\n\n".join(parts)


def raised_flags(findings: Iterable[Finding]) -> list[tuple[Finding, Flag]]:
    return [(finding, flag) for finding in findings for flag in finding.flags if flag.raised]


def raised_text(findings: Sequence[Finding]) -> str:
    """A sentence for each raised flag, by case."""
    raised = raised_flags(findings)
    said = [f"{finding.case}, {flag.limits.name}: {flag.sentence}" for finding, flag in raised]
    title = f"Flags: {len(raised)} raised in {len({finding.case for finding, _ in raised})} of {len(findings)} cases"
    return "\n".join((title, *listed(said)))


def write_findings(findings: Sequence[Finding], folder: str | Path) -> None:
    """severity.csv, flags.csv and reliability.csv, those of which there is something to write."""
    severities = [{**finding.severity, "fold": finding.fold} for finding in findings if finding.severity]
    if severities:
        columns = (SEVERITY_COLUMNS[0], "fold", *SEVERITY_COLUMNS[1:])
        write_csv(Path(folder) / SEVERITY_FILE, columns, severities)
    flags = [flag_row(finding, flag) for finding in findings for flag in finding.flags]
    if flags:
        write_csv(Path(folder) / FLAGS_FILE, FLAG_COLUMNS, flags)
    if found := reliability_of(finding.counts for finding in findings):
        write_counts(found.cases, Path(folder))


def flag_row(finding: Finding, flag: Flag) -> dict[str, Any]:
    limits = flag.limits
    return {
        "case": finding.case,
        "fold": finding.fold,
        "flag": limits.name,
        "value": flag.value,
        "unit": limits.unit,
        "low": limits.low,
        "high": limits.high,
        "suspicion": flag.suspicion,
        "raised": "yes" if flag.raised else "no",
        "sentence": flag.sentence,
    }


def read_findings(folder: str | Path) -> list[Finding]:
    """Severity and flags as `write_findings` wrote them, by case and fold; InputError where a file is damaged."""
    severities = {(case, fold): row for case, fold, row in _read(Path(folder) / SEVERITY_FILE, _severity)}
    flags: dict[tuple[str, int], list[Flag]] = {}
    for case, fold, flag in _read(Path(folder) / FLAGS_FILE, _flag):
        flags.setdefault((case, fold), []).append(flag)
    cases = sorted({*severities, *flags})
    return [
        Finding(case, fold, severities.get((case, fold)), tuple(flags.get((case, fold), ()))) for case, fold in cases
    ]


def _read(file: Path, parse: Any) -> list[Any]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8-sig") as stream:
        try:
            return [parse(cells) for cells in csv.DictReader(stream)]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}: is not as it was written ({error!r}); run the evaluation again.") from error


def _severity(cells: dict[str, str]) -> tuple[str, int, SeverityRow]:
    percents = {name: float(cells[name]) if cells[name] else math.nan for name in SEVERITY_COLUMNS[1:-2]}
    grades = {name: int(cells[name]) if cells[name] else None for name in SEVERITY_COLUMNS[-2:]}
    return cells["case"], int(cells["fold"]), {"case": cells["case"], **percents, **grades}


def _flag(cells: dict[str, str]) -> tuple[str, int, Flag]:
    limits = {limits.name: limits for limits in EVERY}[cells["flag"]]
    value, suspicion = (float(cells[name]) if cells[name] else None for name in ("value", "suspicion"))
    return cells["case"], int(cells["fold"]), Flag(limits, value, suspicion, cells["sentence"])
