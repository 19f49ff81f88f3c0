"""What an archive's scans are handed to a cluster with, and what is told of them; no cluster is needed."""

from __future__ import annotations

import subprocess
from functools import partial

import pytest

from pipeline.core.atomic import write_json
from pipeline.core.errors import InputError
from pipeline.folders.manifest import DONE, FAILED, write_manifest
from pipeline.runs.shards import SHARDS, submit_shards
from pipeline.runs.slurm_queue import FOLDER, JOBS
from pipeline.runs.status import Line, status_lines


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    """Neither a SLURM nor a cluster.yaml of the machine that the tests run on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None)


@pytest.fixture
def submit(tmp_path):
    """Writes the files for an archive of three scans; more shards and options may be given."""
    archive = tmp_path / "an archive"
    archive.mkdir()
    for name in "abc":
        (archive / f"{name}.nii.gz").write_bytes(b"")
    return partial(submit_shards, "runs/my cv", str(archive), str(tmp_path / "out"), cluster={"dry": "1"})


@pytest.fixture
def known(monkeypatch):
    """Sets what SLURM knows of jobs."""

    def given(reason: str = "Resources", **states: str) -> None:
        jobs = {job.lstrip("j"): (state, reason) for job, state in states.items()}
        monkeypatch.setattr("pipeline.runs.status.known_jobs", lambda ids: jobs)

    return given


@pytest.fixture
def out(tmp_path):
    """The folder of a submitted archive of two scans in two tasks."""
    write_json(tmp_path / SHARDS, {"scans": 2, "shards": 2})
    write_json(tmp_path / FOLDER / JOBS, {"arrays": [{"job": "7", "units": []}], "finish": "8"})
    return tmp_path


def test_each_task_is_the_same_plain_command(submit, tmp_path):
    said = submit(2, ["--mode=fast"])
    script = (tmp_path / "out" / "slurm" / "shard.sbatch").read_text()
    assert "-m pneumobundle predict --model 'runs/my cv' --input " in script
    assert "--mode=fast &\n" in script
    assert "#SBATCH --array=0-1%" in script
    assert said.startswith("3 scans in 2 tasks; ")


def test_the_files_are_read_by_bash(submit, tmp_path):
    submit(2, [])
    for name in ("shard", "finish"):
        subprocess.run(["bash", "-n", str(tmp_path / "out" / "slurm" / f"{name}.sbatch")], check=True)


def test_the_table_is_merged_whatever_became_of_the_tasks(submit, tmp_path):
    assert "--dependency=afterany:IDS --kill-on-invalid-dep=yes" in submit(1, [])
    assert " -m pneumobundle merge " in (tmp_path / "out" / "slurm" / "finish.sbatch").read_text()


def test_there_are_no_more_tasks_than_scans(submit):
    assert submit(50, []).startswith("3 scans in 3 tasks; ")


@pytest.mark.parametrize("shards", [0, 1002])
def test_as_many_tasks_as_no_array_has_are_refused(submit, shards):
    with pytest.raises(InputError, match=f"SHARDS is {shards}, expected 1 to 1001"):
        submit(shards, [])


def test_what_is_segmented_is_counted(out, known):
    known(j7_0="RUNNING", j7_1="PENDING", j8="PENDING")
    write_manifest(out, {"case": "a", "status": DONE})
    assert status_lines(out) == [
        Line("scans", "running", "1 of 2 segmented"),
        Line("shard 0", "running", "job 7_0"),
        Line("shard 1", "queued", "job 7_1, Resources"),
        Line("table", "queued", "job 8, Resources"),
    ]


def test_what_no_node_can_give_is_told(out, known):
    known("PartitionConfig", j8="PENDING")
    assert status_lines(out)[-1].why == (
        "job 8 will never run (PartitionConfig): no node has what it asks for; `make cancel`, then ask for less"
    )


def test_scans_that_failed_are_told(out, known):
    known(j7_0="FAILED", j7_1="COMPLETED")
    write_manifest(out, {"case": "a", "status": DONE})
    write_manifest(out, {"case": "b", "status": FAILED})
    scans, first, second, table = status_lines(out)
    assert scans == Line("scans", "failed", "1 of 2 segmented, 1 failed")
    assert (first.state, second.state, table.state) == ("failed", "done", "lost")


def test_scans_that_nobody_is_at_are_told(out, known):
    known(j7_0="CANCELLED", j7_1="CANCELLED", j8="CANCELLED")
    assert status_lines(out)[0] == Line("scans", "stopped", "0 of 2 segmented")
