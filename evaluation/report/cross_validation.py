"""The report of a cross-validation: its sections, as one file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from evaluation.report import sections
from evaluation.report.belief import belief
from evaluation.report.ensemble_section import ensemble
from evaluation.report.facts import data_facts
from evaluation.report.page import document, program
from evaluation.report.pictures import chosen_cases, pictures
from evaluation.report.reliability import probabilities
from evaluation.report.run import Run, read_run
from evaluation.report.score_tables import Interval
from evaluation.statistics.intervals import estimate, patient_means
from evaluation.statistics.verdicts import interval_note
from pipeline.core.atomic import replacing
from pipeline.core.progress_bar import working

REPORT = "report.html"
SHOWN = 10
USE = "For research. Not a medical device; no picture or number in here is for the care of a patient."


def report(run: Run, shown: int = SHOWN, interval: Interval | None = None, interval_note: str = "") -> str:
    """The page; `shown` cases can be looked at, `interval` gives 95 % intervals, described by `interval_note`."""
    seen = list(pictures(run, chosen_cases(run, shown)))
    cases = len({row["case"] for row in run.rows} or run.cases)
    folds = len(run.folds.get("folds", ())) or run.settings.get("folds", "unknown")
    preset = run.settings.get("preset", "unknown")
    about = data_facts(run).get("about")
    every = [
        belief(run, sections.numbered(seen)),
        sections.results(run.rows, interval, interval_note),
        ensemble(run),
        None if run.scored else sections.folds(run),
        sections.boxes(run.rows),
        sections.cases(run.rows, seen),
        sections.extremes(run, seen),
        sections.viewer(run, seen),
        sections.severity(run),
        sections.flags(run),
        probabilities(run),
        None if run.scored else sections.training(run),
        sections.what_was_scored(run) if run.scored else sections.what_was_run(run),
    ]
    kind = "Leave-one-patient-out" if run.ensemble else "Label maps" if run.scored else "Cross-validation"
    return document(
        title=f"{kind} of {run.network}",
        subtitle=f"Chest CT segmentation, {cases} cases" + ("" if run.scored else f", {folds} folds, preset {preset}"),
        remarks=[*([f"Data: {about}"] if about else []), *missing_folds(run)],
        key_numbers=sections.key_numbers(run.rows, interval),
        sections=[section for section in every if section],
        footer=f"Written by {program()} on {date.today().isoformat()}. {USE}",
    )


def missing_folds(run: Run) -> list[str]:
    """A sentence on the folds of which there are no scores, where there are any of others."""
    missing = sorted(set(range(len(run.folds.get("folds", ())))) - {int(row["fold"]) for row in run.rows})
    if not missing or not run.rows:
        return []
    return [f"Not all folds: these numbers are without fold {', '.join(map(str, missing))}."]


def interval_of_patients(values: Sequence[float], patients: Sequence[str]) -> tuple[float, float] | None:
    """95 % interval of the mean over patients, each of whom counts once; None where there is none."""
    found = estimate(patient_means(zip(patients, values, strict=True)).values())
    return None if found.low is None or found.high is None else (found.low, found.high)


@working("writing the report")
def write_report(folder: Path, data: Path | None = None, shown: int = SHOWN, file: Path | None = None) -> str:
    """Write the report of a run's folder, `report.html` in it unless `file` is given; its path and size in words."""
    target = file or folder / REPORT
    page = report(read_run(folder, data), shown, interval_of_patients, interval_note())
    with replacing(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return f"{target} ({len(page.encode()) / 1e6:.1f} MB)"
