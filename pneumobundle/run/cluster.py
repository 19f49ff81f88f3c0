"""What the jobs of a cluster run: commands that no help lists."""

from __future__ import annotations

from types import SimpleNamespace

from pipeline.core.atomic import read_json
from pipeline.folders.manifest import manifests, read_left_out, write_results
from pipeline.prediction.predict import summarised, told_plainly
from pipeline.runs.launch import finish as finish_run
from pipeline.runs.launch import made
from pipeline.runs.run_unit import run_unit as run_one_unit


def run_unit(given: SimpleNamespace) -> None:
    """One fold of a run that was begun: its folder and its number, from 0 on."""
    folder, fold = given.words
    run_one_unit(folder, int(fold))


def finish(given: SimpleNamespace) -> None:
    """Evaluate and report what a file work.json, which LAUNCH=slurm wrote, describes."""
    (work,) = given.words
    description = read_json(work)
    finish_run(made(description), description["anyway"])


def merge(given: SimpleNamespace) -> None:
    """Write results.csv from what is in an output folder of predict; status 1 where not all of it is segmented."""
    (output_dir,) = given.words
    every = manifests(output_dir)
    with told_plainly(output_dir):
        write_results(output_dir, every)
    if not summarised(every, read_left_out(output_dir)):
        raise SystemExit(1)
