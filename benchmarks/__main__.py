"""Measure the goals of benchmarks/README.md: `make benchmark`, or `python -m benchmarks --goals "inference growth"`."""

from __future__ import annotations

import argparse
import importlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.machine_name import machine
from benchmarks.readme import README, with_table
from benchmarks.row import Row, table
from benchmarks.settings import Settings
from pipeline.core import logs
from pipeline.core.atomic import replacing, write_json
from pipeline.core.errors import InputError, report_plainly
from pipeline.core.machine import instructions
from pipeline.core.progress_bar import duration
from pipeline.folders.output_folder import claim_output

# In this order; each is a module with `measure(settings) -> list[Row]`
GOALS = ("inference", "preparation", "training", "slices", "growth", "neighbours")
logger = logging.getLogger(__name__)


def benchmark(goals: Sequence[str], settings: Settings, output: Path) -> list[Row]:
    """Measure the goals, and write `results.json` and `table.md` after each; InputError for an unknown goal."""
    unknown = [goal for goal in goals if goal not in GOALS]
    if unknown:
        raise InputError(f"GOALS names {unknown[0]!r}, expected some of: {', '.join(GOALS)}.")
    claim_output(output)
    rows: list[Row] = []
    for goal in goals:
        began = time.monotonic()
        rows += importlib.import_module(f"benchmarks.{goal}").measure(settings)
        logger.info("%s took %.0f s", goal, time.monotonic() - began)
        content = {"machine": machine(), "repeats": settings.repeats, "rows": [asdict(row) for row in rows]}
        write_json(output / "results.json", content)
        with replacing(output / "table.md") as temporary:
            temporary.write_text(table(rows), encoding="utf-8")
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    logs.set_up()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--goals", default=" ".join(GOALS), help=f"some of: {' '.join(GOALS)} (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="of everything; medians are taken (default 3)")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/unet_3d/cv/fold0"), help="a trained fold of a 3D network"
    )
    parser.add_argument("--keep", action="store_true", help="put the table of all goals into benchmarks/README.md")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark"), help="folder (default runs/benchmark)")
    given = parser.parse_args(arguments)
    settings = Settings(given.repeats, Path("data/benchmark"), given.run)
    goals, began = given.goals.split(), time.monotonic()
    if given.keep and sorted(goals) != sorted(GOALS):
        raise InputError("KEEP=1 puts the table of all goals into benchmarks/README.md; give it without GOALS.")
    rows = benchmark(goals, settings, given.output)
    if given.keep:
        page = README.read_text(encoding="utf-8")
        page = with_table(page, instructions(), machine(), duration(time.monotonic() - began), table(rows))
        with replacing(README) as temporary:
            temporary.write_text(page, encoding="utf-8")
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    print(table(rows))
    print(f"{given.output / 'results.json'} and {given.output / 'table.md'} hold this.")


if __name__ == "__main__":
    main()
