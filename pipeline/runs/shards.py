"""An archive of scans on a cluster: tasks of a SLURM array that share one output folder, and a job that merges.

    make predict INPUT=archive OUT=labels MODEL=runs/unet_3d/cv LAUNCH=slurm SHARDS=8

Each task is the same `python -m pipeline.prediction.predict`: whichever is free claims the next scan, so none waits for
another's slow ones, and a task that is killed loses the scan that it was on. What is done stays done; the same command
goes on.
"""

from __future__ import annotations

import argparse
import logging.config
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.core.atomic import read_json, write_json
from pipeline.core.configuration import LOGGING, parse_overrides
from pipeline.core.errors import InputError, report_plainly
from pipeline.folders.inputs import find_inputs
from pipeline.folders.manifest import DONE, manifests
from pipeline.inference.chosen_model import open_model
from pipeline.inference.ensemble import VOTE, parse_weights
from pipeline.runs.arguments import LOCAL, SLURM, add_cluster_option
from pipeline.runs.cluster import Cluster
from pipeline.runs.preflight import check_build
from pipeline.runs.slurm import FINISH, array_script, check_queue, emptied, finish_script, hand_over, write_script
from pipeline.runs.slurm_queue import FOLDER, max_array_size

SHARDS = Path(FOLDER, "shards.json")
NAME = "shard"
# With which `pipeline.prediction.predict` ends after SIGTERM
STOPPED = 128 + signal.SIGTERM


def submit_shards(
    models: str,
    source: str,
    output_dir: str,
    shards: int,
    options: Sequence[str],
    cluster: Mapping[str, Any] | str,
    series: str = "",
) -> str:
    """Hand the scans of a folder to as many tasks; what to tell the user.

    `options` are those of `pipeline.prediction.predict` beyond model, input, output and `series`; `cluster` as
    `pipeline.runs.launch.launch` takes it. Raises InputError where there is nothing to segment, or no SLURM.
    """
    folder, given = Path(output_dir), dict(parse_overrides(cluster))
    dry = bool(given.pop("dry", False))
    # The table is merged of what there is, though a task or a scan has failed
    asked = replace(Cluster.read(given), report_anyway=True)
    check_build(asked.gres)
    check_queue(folder, dry)
    if not 1 <= shards <= max_array_size():
        raise InputError(
            f"SHARDS is {shards}, expected 1 to {max_array_size()}, the tasks that an array may have here."
        )
    scans = len(find_inputs(source, output_dir, series))
    tasks = min(shards, scans)
    predict = [sys.executable, "-m", "pipeline.prediction.predict"]
    segment = [*predict, "--model", models, "--input", source, "--output", output_dir, "--shard", *options]
    file = emptied(folder) / f"{NAME}.sbatch"
    lines = [f"{shlex.join(segment)} &"]
    write_script(file, array_script(folder, NAME, tasks, lines, asked, stop="TERM", stopped=STOPPED))
    merge = [*predict, "--merge", "--output", output_dir]
    write_script(file.with_name(f"{FINISH}.sbatch"), finish_script(folder, merge, asked))
    write_json(folder / SHARDS, {"scans": scans, "shards": tasks})
    return hand_over(folder, f"{scans} scans in {tasks} tasks", {file: []}, asked, dry)


def shards_of(folder: Path) -> int:
    """How many tasks were asked for in an output folder; 0 where it is none."""
    return int(read_json(folder / SHARDS)["shards"]) if (folder / SHARDS).is_file() else 0


def scans_done(folder: Path) -> tuple[int, int, int]:
    """Of the scans of an output folder: how many there are, are segmented, and have failed."""
    states = [manifest["status"] for manifest in manifests(folder)]
    return int(read_json(folder / SHARDS)["scans"]), states.count(DONE), len(states) - states.count(DONE)


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    logging.config.fileConfig(LOGGING, disable_existing_loggers=False)
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.runs.shards", description="Segment an archive on a cluster."
    )
    parser.add_argument(
        "--model", required=True, help="as `python -m pipeline.prediction.predict` takes it, as the next eight"
    )
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", default="predictions")
    parser.add_argument("--method", default=VOTE)
    parser.add_argument("--weights", default="")
    parser.add_argument("--mode", default="")
    parser.add_argument("--series", default="")
    parser.add_argument("--no-pages", action="store_true")
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("--anyway", action="store_true")
    parser.add_argument("--shards", type=int, default=1, help="tasks that share the scans (default: %(default)s)")
    add_cluster_option(parser)
    parser.add_argument("--launch", default=SLURM, help=f"{SLURM} (default)")
    given = parser.parse_args(arguments)
    if given.launch != SLURM:
        raise InputError(f"LAUNCH is {given.launch!r}, expected {LOCAL} or {SLURM}.")
    # Told now, not by every task hours later
    weights = parse_weights(given.weights)
    with open_model(given.model, method=given.method, weights=weights, mode=given.mode, trusted=given.trust) as model:
        # Of MODE=auto what it is here, so that no task takes another one
        given.mode = model.facts["mode"]
    told = ("method", "weights", "mode", "series")
    options = [f"--{name}={value}" for name in told if (value := getattr(given, name))]
    options += [f"--{name.replace('_', '-')}" for name in ("no_pages", "trust", "anyway") if getattr(given, name)]
    said = submit_shards(
        given.model, given.input, given.output, given.shards, options, given.cluster, series=given.series
    )
    print(said, flush=True)


if __name__ == "__main__":
    main()
