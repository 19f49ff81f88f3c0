"""Severity of several runs in one table: whether its intervals held, and how many grades were right.

    pneumobundle statistics runs/a/cv runs/b/cv --metric severity

Nothing is compared here, so that the runs may be of different data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluation.measures.cases import read_metrics_csv
from evaluation.statistics.comparison import run_names
from evaluation.statistics.findings import SEVERITY_FILE, read_findings, severity_worth
from evaluation.statistics.severity_worth import COLUMNS, NOTES
from pipeline.core.errors import InputError
from pipeline.core.run_files import METRICS_FILE
from pipeline.core.text_table import aligned, listed

# As METRIC names it
SEVERITY = "severity"


def severity_coverage(folders: Sequence[str | Path]) -> str:
    """A line a run; InputError where one has no severity."""
    places = [Path(folder) for folder in folders]
    files = [place / METRICS_FILE if place.is_dir() else place for place in places]
    lines = [["run", *COLUMNS]]
    for name, file in zip(run_names(files), files, strict=True):
        rows = read_metrics_csv(file) if file.is_file() else []
        found = severity_worth(read_findings(file.parent), rows)
        if found is None:
            raise InputError(
                f"{file.parent}: has no {SEVERITY_FILE} with a case in it; expected the folder of a run that looks for "
                "infection and was evaluated; leave it out."
            )
        lines.append([name, *found.cells])
    return "\n".join(("Severity in held-out patients", aligned(lines), *listed(NOTES)))
