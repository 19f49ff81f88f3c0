"""How a node is: for a supervisor, and for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.core.machine import memory_mib
from pipeline.folders.manifest import manifest_file, read_manifest, row_of
from pipeline.node.series import Series
from pipeline.node.spool import Spool

USE = (
    "For research only. Not a medical device: nothing on this page, and nothing that this node sends, is for the care "
    "of a patient."
)
SHOWN = 100


@dataclass(frozen=True)
class Result:
    """A line of the page, in which nobody's name is."""

    case: str
    at: str
    state: str
    percent: str
    grade: str
    flags: str
    seconds: str
    targets: str
    message: str


@dataclass(frozen=True)
class Status:
    """Args:
    problems: sentences on what is not well.
    states: how many series are in each.
    counts: of this process: images, duplicates, refused, done, failed.
    waiting_for: peers that are away.
    at: case that is being segmented; empty for none.
    """

    problems: Sequence[str]
    states: dict[str, int]
    counts: dict[str, int]
    waiting_for: Sequence[str]
    at: str
    model: str
    program: str
    aet: str
    up_s: float
    free_disk_mb: float
    memory_mb: float | None
    results: Sequence[Result]
    use: str = USE

    @property
    def is_well(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """For a supervisor, without the results."""
        content = {key: value for key, value in asdict(self).items() if key not in ("results", "aet")}
        return {"status": "ok" if self.is_well else "failing", **content}


def results_of(spool: Spool, results: Path, shown: int = SHOWN) -> list[Result]:
    """Of the last series, the newest first."""
    return [_result(state, series, results) for state, series in spool.last(shown)]


def _result(state: str, series: Series, results: Path) -> Result:
    manifest = read_manifest(manifest_file(results, series.case)) or {"status": "", "severity": None}
    row = row_of(manifest)
    share, seconds = row["lungs_percent"], row["seconds"]
    return Result(
        series.case,
        datetime.fromtimestamp(series.settled).strftime("%Y-%m-%d %H:%M:%S"),
        state,
        "" if share is None else f"{share:.1f}",
        str(row["grade"] or ""),
        row["flags"].replace("_", " ") if row["flags"] else "",
        f"{seconds:.1f}" if seconds else "",
        ", ".join(series.targets),
        series.message,
    )


def memory() -> float | None:
    """Of this process, MiB."""
    found = memory_mib()
    return None if found is None else round(found)
