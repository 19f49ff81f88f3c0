"""The report of a cross-validation, as one HTML file.

    python -m evaluation.report runs/unet_3d/cv

writes `report.html` into that folder. It holds pictures of patients: share it as you would share the scans.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evaluation.report import sections
from evaluation.report.facts import data_facts
from evaluation.report.page import document
from evaluation.report.pictures import chosen_cases, pictures
from evaluation.report.run import Run, read_run
from evaluation.report.score_tables import Interval
from pipeline.atomic import replacing
from pipeline.errors import report_plainly

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
    return document(
        title=f"Cross-validation of {run.network}",
        subtitle=f"Chest CT segmentation, {cases} cases, {folds} folds, preset {preset}",
        remarks=[f"Data: {about}"] if about else [],
        key_numbers=sections.key_numbers(run.rows, interval),
        sections=[
            sections.results(run.rows, interval, interval_note),
            sections.folds(run),
            sections.boxes(run.rows),
            sections.cases(run.rows, seen),
            sections.extremes(run, seen),
            sections.viewer(run, seen),
            sections.training(run),
            sections.what_was_run(run),
        ],
        footer=f"Written by {_program()} on {date.today().isoformat()}. {USE}",
    )


def _program() -> str:
    try:
        return f"PneumoBundle {version('pneumobundle')}"
    except PackageNotFoundError:
        return "PneumoBundle"


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    parser = argparse.ArgumentParser(prog="python -m evaluation.report", description="Report of a cross-validation.")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that make cv wrote")
    parser.add_argument("--data", type=Path, help="where the scans lie now, if they were moved")
    parser.add_argument("--cases", type=int, default=SHOWN, help="how many can be looked at, 0 for none (%(default)s)")
    parser.add_argument("--out", type=Path, help=f"file to write (RUN/{REPORT})")
    given = parser.parse_args(arguments)
    file: Path = given.out or given.run / REPORT
    page = report(read_run(given.run, given.data), given.cases)
    with replacing(file) as temporary:
        temporary.write_text(page, encoding="utf-8")
    print(f"{file}: {len(page.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
