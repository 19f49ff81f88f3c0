"""What a run writes down of its units, and what `make status` makes of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from pipeline.core.atomic import keep_json, read_json, write_json
from pipeline.core.bundle_process import run_bundle, signals_passed_on
from pipeline.core.errors import CAUSE_FILE, InputError
from pipeline.core.progress import PROGRESS
from pipeline.core.stop_signal import STOPPED_STATUS
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.run_unit import run_unit
from pipeline.runs.status import cancel_run, status_lines, status_text
from pipeline.runs.units import Unit, read_record, record_file, recorded, slurm_job
from pipeline.training.checkpoint import FINISHED


@pytest.fixture
def make(write_dataset, tmp_path):
    """A cross-validation of four patients in two folds."""
    data = write_dataset(tmp_path / "data", ["a", "b", "c", "d"])
    return partial(CrossValidation, "unet_3d", str(data), 2, "demo", str(tmp_path / "cv"))


def states(folder: Path) -> dict[str, tuple[str, str]]:
    return {line.name.rpartition(" ")[2]: (line.state, line.why) for line in status_lines(folder)}


def test_a_unit_runs_in_another_process_by_what_the_run_wrote_down(make, bundles):
    training = make(fold_overrides={1: {"max_epochs": 3}})
    assert training.prepare() == [Unit(training.output_dir, 0), Unit(training.output_dir, 1)]
    run_unit(training.output_dir, 1)
    assert bundles.count("train") == bundles.count("inference") == 1
    assert states(Path(training.output_dir)) == {"0": ("not begun", ""), "1": ("done", "")}


def test_a_folder_without_a_run_is_refused(tmp_path):
    for refused in (partial(run_unit, tmp_path, 0), partial(status_lines, tmp_path)):
        with pytest.raises(InputError, match="no run was begun"):
            refused()


def test_a_fold_that_does_not_exist_leaves_no_record(make, bundles, tmp_path):
    make().prepare()
    with pytest.raises(InputError, match="fold: 7"):
        run_unit(tmp_path / "cv", 7)
    assert not record_file(tmp_path / "cv", "fold7").exists()


def test_why_a_unit_failed_is_told(make, monkeypatch, tmp_path):
    def fail(self, study, fold):
        raise InputError("case_3: the scan is broken.")

    monkeypatch.setattr(CrossValidation, "run_fold", fail)
    with pytest.raises(InputError):
        make().run()
    assert states(tmp_path / "cv")["0"] == ("failed", "case_3: the scan is broken.")


def test_a_unit_that_was_stopped_without_anything_new_fails(make, monkeypatch, tmp_path):
    def stop(self, study, fold):
        raise SystemExit(STOPPED_STATUS)

    make().prepare()
    monkeypatch.setattr(CrossValidation, "run_fold", stop)
    with pytest.raises(InputError, match="give it more TIME"):
        run_unit(tmp_path / "cv", 0)


def test_a_unit_that_got_further_before_it_was_stopped_is_not_failed(make, monkeypatch, tmp_path):
    def save_and_stop(self, study, fold):
        write_json(self.folder(self.stages[0]) / f"fold{fold}" / "last.pt", {})
        raise SystemExit(STOPPED_STATUS)

    make().prepare()
    monkeypatch.setattr(CrossValidation, "run_fold", save_and_stop)
    with pytest.raises(SystemExit):
        run_unit(tmp_path / "cv", 0)
    assert states(tmp_path / "cv")["0"] == ("stopped", "")


def test_a_running_unit_tells_how_far_it_is(make, tmp_path):
    make().prepare()
    at = {"epoch": 3, "max_epochs": 10, "losses": {"train_loss": 1.25}, "seconds_left": 1e6, "at": 4e9}
    write_json(tmp_path / "cv" / "fold1" / PROGRESS, at)
    with recorded(tmp_path / "cv", "fold1"):
        state, why = states(tmp_path / "cv")["1"]
    assert state == "running"
    assert why.startswith(f"process {os.getpid()}; epoch 3/10, train_loss 1.2500, at most")


def test_a_unit_whose_process_is_gone_is_lost(make, tmp_path):
    make().prepare()
    with recorded(tmp_path / "cv", "fold0"):
        record = read_record(tmp_path / "cv", "fold0")
    write_json(record_file(tmp_path / "cv", "fold0"), {**record, "process_began": -1})
    state, why = states(tmp_path / "cv")["0"]
    assert (state, "ended without a word" in why) == ("lost", True)


def test_all_networks_of_a_folder_are_listed(make, tmp_path):
    for network in ("enet", "lednet"):
        training = make()
        training.network, training.output_dir = network, str(tmp_path / "both" / network / "cv")
        training.prepare()
    text = status_text(tmp_path / "both")
    assert text.splitlines()[0] == f"{tmp_path / 'both'}: 4 not begun"


def test_cancel_ends_the_processes_of_this_machine(make, tmp_path):
    make().prepare()
    script = (
        "import time; from pipeline.runs.units import recorded\n"
        f"with recorded({str(tmp_path / 'cv')!r}, 'fold0'): print('begun', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        assert cancel_run(tmp_path / "cv") == f"Ended: process {process.pid}."
    assert process.returncode != 0
    assert "nothing of this run" in cancel_run(tmp_path / "cv")


def test_of_several_processes_that_come_at_once_all_get_the_first_ones_file(tmp_path):
    got, begin = [], threading.Barrier(8)

    def come(number):
        begin.wait()
        got.append(keep_json(tmp_path / "a.json", {"number": number}))

    threads = [threading.Thread(target=come, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [read_json(tmp_path / "a.json")] * 8
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_task_of_an_array_is_named_by_both_numbers(monkeypatch):
    for name, value in (("SLURM_ARRAY_JOB_ID", "12"), ("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_JOB_ID", "15")):
        monkeypatch.setenv(name, value)
    assert slurm_job() == "12_3"


@pytest.fixture
def bundle(monkeypatch, tmp_path):
    """A program in the place of Python, whose lines are given."""

    def write(*lines: str) -> None:
        program = tmp_path / "python"
        program.write_text("\n".join(["#!/bin/bash", *lines, ""]))
        program.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(program))

    return write


def test_the_cause_that_a_bundle_ended_with_is_told(bundle):
    bundle(f'echo "case_2: no label." > "${CAUSE_FILE}"', "exit 2")
    with pytest.raises(InputError, match=r"^training ended with status 2 \(case_2: no label\); run the same"):
        run_bundle("training", {})


def test_a_bundle_that_was_killed_is_told_by_the_signals_name(bundle):
    bundle("kill -KILL $$")
    with pytest.raises(InputError, match="training was killed by SIGKILL"):
        run_bundle("training", {})


def test_of_several_processes_the_one_that_failed_is_told_and_the_others_are_ended(bundle):
    bundle('[ "$RANK" = 1 ] || exec sleep 600', f'echo "out of memory" > "${CAUSE_FILE}"', "exit 3")
    with pytest.raises(InputError, match=r"training ended with status 3 \(out of memory\)"):
        run_bundle("training", {}, processes=2)


def test_several_processes_share_the_threads(bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    bundle(f"echo $OMP_NUM_THREADS $RANK $WORLD_SIZE >> '{tmp_path}/told'")
    run_bundle("training", {}, processes=2)
    assert sorted((tmp_path / "told").read_text().splitlines()) == ["4 0 2", "4 1 2"]


def test_a_signal_goes_to_the_bundle_and_no_other_is_begun(bundle):
    # It tells its parent, this process, and waits for the answer
    bundle(f"trap 'exit {STOPPED_STATUS}' USR1", "kill -USR1 $PPID", "sleep 60 & wait")
    with signals_passed_on():
        for _ in range(2):
            with pytest.raises(SystemExit, match=str(STOPPED_STATUS)):
                run_bundle("training", {})


def test_a_finished_training_that_is_not_segmented_is_not_done(make):
    training = make()
    training.prepare()
    fold = Path(training.output_dir) / "fold0"
    write_json(fold / FINISHED, {})
    assert states(Path(training.output_dir))["0"] == ("not begun", "segmenting")
