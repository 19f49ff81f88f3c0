"""An archive of scans on a cluster: tasks of a SLURM array that share one output folder, and a job that merges.

    make predict INPUT=archive OUT=labels MODEL=runs/unet_3d/cv LAUNCH=slurm SHARDS=8

Each task is the same `pneumobundle predict`: whichever is free claims the next scan, so none waits for
another's slow ones, and a task that is killed loses the scan that it was on. What is done stays done; the same command
goes on.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.core.atomic import read_json, write_json
from pipeline.core.configuration import parse_overrides
from pipeline.core.errors import InputError
from pipeline.folders.inputs import find_inputs
from pipeline.folders.manifest import DONE, manifests
from pipeline.runs.cluster import Cluster
from pipeline.runs.preflight import check_build
from pipeline.runs.slurm import FINISH, array_script, check_queue, emptied, finish_script, hand_over, write_script
from pipeline.runs.slurm_queue import FOLDER, max_array_size

SHARDS = Path(FOLDER, "shards.json")
NAME = "shard"
# With which `pneumobundle predict` ends after SIGTERM
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

    `options` are those of `pneumobundle predict` beyond model, input, output and `series`; `cluster` as
    `pipeline.runs.launch.launch` takes it. Raises InputError where there is nothing to segment, or no SLURM.
    """
    folder, given = Path(output_dir), dict(parse_overrides(cluster))
    dry = bool(given.pop("dry", False))
    # The table is merged of what there is, though a task or a scan has failed
    asked = replace(Cluster.read(given), report_anyway=True)
    check_build(asked.gres, asked.container)
    check_queue(folder, dry)
    if not 1 <= shards <= max_array_size():
        raise InputError(
            f"SHARDS is {shards}, expected 1 to {max_array_size()}, the tasks that an array may have here."
        )
    scans = len(find_inputs(source, output_dir, series))
    tasks = min(shards, scans)
    asked = asked.with_folders([output_dir, source, *folders_of(models)])
    segment = asked.task("predict", "--model", models, "--input", source, "--out", output_dir, "--shard", *options)
    file = emptied(folder) / f"{NAME}.sbatch"
    lines = [f"{shlex.join(segment)} &"]
    write_script(file, array_script(folder, NAME, tasks, lines, asked, stop="TERM", stopped=STOPPED))
    merge = asked.report("merge", output_dir)
    write_script(file.with_name(f"{FINISH}.sbatch"), finish_script(folder, merge, asked))
    write_json(folder / SHARDS, {"scans": scans, "shards": tasks})
    return hand_over(folder, f"{scans} scans in {tasks} tasks", {file: []}, asked, dry)


def folders_of(models: str) -> list[str]:
    """What of MODEL a container has to see: one name, or several as `find_members` reads them."""
    return [models] if Path(models).exists() else shlex.split(models)


def shards_of(folder: Path) -> int:
    """How many tasks were asked for in an output folder; 0 where it is none."""
    return int(read_json(folder / SHARDS)["shards"]) if (folder / SHARDS).is_file() else 0


def scans_done(folder: Path) -> tuple[int, int, int]:
    """Of the scans of an output folder: how many there are, are segmented, and have failed."""
    states = [manifest["status"] for manifest in manifests(folder)]
    return int(read_json(folder / SHARDS)["scans"]), states.count(DONE), len(states) - states.count(DONE)
