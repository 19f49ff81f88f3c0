"""Runs on a real SLURM: an array and its report, time limits, a failing fold, cancel, a controller that is killed.

They submit jobs, so they run only where PNEUMOBUNDLE_SLURM_UP asks for it: `running` for the SLURM that answers, or a
program that starts one on this machine, as tools/slurm_for_tests.sh does: `program up DIR` (status 77 where it cannot),
then `program env DIR` prints lines of `export NAME=value`, and `program down DIR` ends it. It needs one node that sees
the temporary folder, with a core and 2 GB for a job.
"""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from bundle_runs import run_here

from pipeline.core.errors import InputError
from pipeline.core.project import ROOT
from pipeline.phantom.dataset import write_phantom
from pipeline.runs import cross_validation
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.launch import launch
from pipeline.runs.shards import submit_shards
from pipeline.runs.slurm_queue import active_jobs, is_over, job_ids, jobs_of, known_jobs
from pipeline.runs.status import Line, cancel_run, status_lines

pytestmark = pytest.mark.slurm
STARTER, RUNNING = "PNEUMOBUNDLE_SLURM_UP", "running"
CANNOT_BE_HAD = 77
PATIENCE_S = 1800


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Callable[[], None] | None]:
    """A SLURM that answers; what starts those of its daemons that do not run, where it was started here."""
    starter = os.environ.get(STARTER)
    if starter is None:
        pytest.skip(f"{STARTER} neither is `{RUNNING}` nor names a program that starts a SLURM")
    if starter == RUNNING:
        yield None
        return
    place = tmp_path_factory.mktemp("cluster")
    place.chmod(0o755)
    started = subprocess.run([starter, "up", str(place)], capture_output=True, text=True, check=False)
    if started.returncode == CANNOT_BE_HAD:
        pytest.skip(f"no SLURM can be had here: {started.stderr.strip()}")
    assert started.returncode == 0, started.stderr
    told = subprocess.run([starter, "env", str(place)], capture_output=True, text=True, check=True).stdout
    with pytest.MonkeyPatch.context() as environment:
        for name, value in re.findall(r"export (\w+)=(\S+)", told):
            environment.setenv(name, value)
        yield partial(subprocess.run, [starter, "up", str(place)], check=True)
        subprocess.run([starter, "down", str(place)], check=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("with space") / "phantom"
    write_phantom(folder, patients=5, coarsening=3.0)
    return folder


@pytest.fixture
def make(cluster, tiny_training, data, tmp_path, monkeypatch) -> Iterator[Callable[..., CrossValidation]]:
    """Cross-validations in folders with a space; their jobs are ended after the test."""
    # Where a job finds the project's packages, as `make` does
    monkeypatch.chdir(ROOT)
    made = []

    def training(name: str, folds: int = 2, **overrides) -> CrossValidation:
        tiny = {**tiny_training(features=[4, 8, 8]), "cache_dir": str(data.parent / "cache"), **overrides}
        out = tmp_path / "run of tests" / name
        made.append(CrossValidation("unet_3d", str(data), folds, "demo", str(out), overrides=tiny))
        return made[-1]

    yield training
    for each in made:
        if active_jobs(each.place):
            cancel_run(each.place)


@pytest.fixture
def run_locally(monkeypatch) -> Iterator[Callable[[CrossValidation], None]]:
    """Runs a cross-validation in this process, with as many threads as a job has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(ASKED["cpus"])
    with monkeypatch.context() as patch:
        patch.setattr(cross_validation, "run_bundle", run_here)
        yield launch
    torch.set_num_threads(threads)


ASKED = {"cpus": 1, "mem": "1200M", "time": "30:00", "finish_cpus": 1, "finish_mem": "1200M", "finish_time": "30:00"}
submit = partial(launch, where="slurm", cluster=ASKED)


def wait(place: Path, for_what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not for_what():
        assert time.monotonic() < end, [line for log in place.glob("slurm/*.log") for line in log.open()][-20:]
        time.sleep(0.2)


def wait_for_all(place: Path) -> dict[str, str]:
    """Wait until no job of a run is queued or running; how each ended."""
    wait(place, lambda: not active_jobs(place))
    return {job: state for job, (state, _) in known_jobs(job_ids(place)).items()}


def test_an_array_and_its_report_equal_the_local_run_bit_for_bit(make, run_locally):
    remote, local = make("remote", folds=5), make("local", folds=5)
    submit(remote)
    run_locally(local)
    wait_for_all(remote.place)
    assert {line.state for line in status_lines(remote.place)} == {"done"}
    for name in ("metrics.csv", "severity.csv", "flags.csv", "summary.json", *(f"fold{k}/model.pt" for k in range(5))):
        assert (remote.place / name).read_bytes() == (local.place / name).read_bytes(), name


def test_a_fold_that_is_warned_goes_back_into_the_queue_and_ends_alike(make, run_locally):
    settings = {"max_epochs": 40, "iterations_per_epoch": 3, "val_interval": 0}
    warned, straight = make("warned", **settings), make("straight", **settings)
    warned.only_fold = straight.only_fold = 0
    submit(warned)
    array = jobs_of(warned.place)["arrays"][0]["job"]
    wait(warned.place, (warned.place / "fold0" / "previous.pt").exists)
    # What SLURM itself sends before the time limit
    subprocess.run(["scancel", "--signal=USR1", "--batch", f"{array}_0"], check=True)
    wait(warned.place, lambda: "back into the queue" in (warned.place / "slurm" / "units_0.log").read_text())
    ends = wait_for_all(warned.place)
    assert ends[f"{array}_0"] == "COMPLETED"
    assert "going on after epoch" in (warned.place / "slurm" / "units_0.log").read_text()
    run_locally(straight)
    for name in ("model.pt", "history.csv"):
        assert (warned.place / "fold0" / name).read_bytes() == (straight.place / "fold0" / name).read_bytes(), name


@pytest.mark.slow
def test_a_fold_that_needs_more_than_its_time_limit_is_done_in_several(make, run_locally):
    # Of more seconds than the limit leaves it
    settings = {"max_epochs": 200, "iterations_per_epoch": 50, "val_interval": 0}
    limited, straight = make("limited", **settings), make("straight", **settings)
    limited.only_fold = straight.only_fold = 0
    site = limited.place.parent / "cluster.yaml"
    site.parent.mkdir(parents=True, exist_ok=True)
    site.write_text("warn_s: 30\n")
    launch(limited, "slurm", {**ASKED, "time": "3:00", "file": str(site)})
    run_locally(straight)
    ends = wait_for_all(limited.place)
    assert set(ends.values()) == {"COMPLETED"}
    log = (limited.place / "slurm" / "units_0.log").read_text()
    assert log.count("back into the queue") == log.count("going on after epoch") > 0
    for name in ("model.pt", "history.csv"):
        assert (limited.place / "fold0" / name).read_bytes() == (straight.place / "fold0" / name).read_bytes(), name


@pytest.mark.slow
def test_a_failing_fold_is_told_and_the_report_does_not_wait_for_ever(make):
    training = make("failing")
    training.prepare()
    (training.place / "fold1").write_text("a file where the fold's folder should be")
    submit(training)
    ends = wait_for_all(training.place)
    jobs = jobs_of(training.place)
    assert ends[f"{jobs['arrays'][0]['job']}_1"] == "FAILED"
    assert ends.get(jobs["finish"], "CANCELLED") == "CANCELLED"
    first, second, report = status_lines(training.place)
    assert (first.state, second.state, report.state) == ("done", "failed", "cancelled")
    assert "fold1" in second.why


def test_the_report_is_removed_when_a_task_has_failed(make):
    training = make("removed")
    # Before Python is started: task 0 ends well, task 1 does not
    launch(training, "slurm", {**ASKED, "setup": "exit $SLURM_ARRAY_TASK_ID"})
    ends = wait_for_all(training.place)
    jobs = jobs_of(training.place)
    assert ends[f"{jobs['arrays'][0]['job']}_1"] == "FAILED"
    assert ends.get(jobs["finish"], "CANCELLED") == "CANCELLED"


def test_cancel_ends_all_and_the_same_command_is_taken_again(make):
    training = make("cancelled")
    for _ in range(2):
        launch(training, "slurm", {**ASKED, "setup": "sleep 600"})
        assert cancel_run(training.place).startswith("Ended: job ")
        assert all(is_over(state) for state in wait_for_all(training.place).values())
        assert {line.state for line in status_lines(training.place)} == {"cancelled"}


def test_shards_of_an_archive_segment_each_scan_once_though_a_task_is_killed(make, run_locally, tmp_path):
    training, archive, out = make("model"), tmp_path / "an archive", tmp_path / "labels"
    training.only_fold = 0
    run_locally(training)
    write_phantom(archive, patients=20, coarsening=3.0, first=20)
    model = str(training.place / "fold0")
    submit_shards(model, str(archive), str(out), 2, [], ASKED)
    killed, log = f"{jobs_of(out)['arrays'][0]['job']}_0", out / "slurm" / "shard_0.log"
    wait(out, lambda: log.exists() and "segmented" in log.read_text())
    # The whole of a task at once, as a node does that fails
    subprocess.run(["scancel", "--signal=KILL", "--full", killed], check=True)
    ends = wait_for_all(out)
    assert ends.pop(killed) in ("CANCELLED", "FAILED")
    assert sorted(ends.values()) == ["COMPLETED", "COMPLETED"]
    assert status_lines(out)[0] == Line("scans", "done", "20 of 20 segmented")
    with (out / "results.csv").open() as table:
        assert [row["status"] for row in csv.DictReader(table)] == ["done"] * 20


def test_two_runs_side_by_side_are_told_apart_and_end_alike(make):
    runs = [make("one"), make("other")]
    for run in runs:
        run.only_fold = 0
        submit(run)
    assert not set(job_ids(runs[0].place)) & set(job_ids(runs[1].place))
    for run in runs:
        assert set(wait_for_all(run.place).values()) == {"COMPLETED"}
    one, other = ((run.place / "fold0" / "model.pt").read_bytes() for run in runs)
    assert one == other


def test_a_controller_that_is_killed_loses_no_run(make, cluster):
    if cluster is None:
        pytest.skip(f"{STARTER} is {RUNNING}: a controller that others use is not killed")
    training = make("without controller", max_epochs=20)
    training.only_fold = 0
    submit(training)
    # The controller has written the job down by then: it does so some seconds after sbatch
    wait(training.place, (training.place / "fold0" / "previous.pt").exists)
    told = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=True).stdout
    os.kill(int(Path(re.search(r"SlurmctldPidFile\s*= (\S+)", told)[1]).read_text()), signal.SIGKILL)
    with pytest.raises(InputError, match="squeue does not answer"):
        status_lines(training.place)
    cluster()
    assert set(wait_for_all(training.place).values()) == {"COMPLETED"}
    assert {line.state for line in status_lines(training.place)} == {"done"}
