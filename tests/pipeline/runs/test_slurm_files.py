"""The sbatch files that a run writes, and what it asks a cluster for; no cluster is needed."""

from __future__ import annotations

import json
import math
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
from commands import run_command

from pipeline.core.atomic import read_json, write_json
from pipeline.core.configuration import TRAIN
from pipeline.core.errors import InputError
from pipeline.runs.cluster import Cluster, bytes_of, seconds_of
from pipeline.runs.compare import Networks
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.launch import described, finish, folders_of, launch, made
from pipeline.runs.leave_one_out import LeaveOneOut
from pipeline.runs.slurm import WORK, units_script
from pipeline.runs.slurm_queue import JOBS
from pipeline.runs.status import status_lines
from pipeline.runs.units import REPORT, Unit, read_record


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    """Neither a SLURM nor a cluster.yaml of the machine that the tests run on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None)


@pytest.fixture
def make(write_dataset, tmp_path):
    data = write_dataset(tmp_path / "my scans", ["a", "b", "c", "d"])
    return partial(CrossValidation, "unet_3d", str(data), 2, "demo", str(tmp_path / "my runs" / "cv"))


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """Stand-ins for SLURM's programs: sbatch counts jobs, squeue knows of none; what each was called with."""
    place, calls = tmp_path / "bin", tmp_path / "calls"
    place.mkdir()
    answers = {
        "sbatch": f"wc -l < {calls}",
        "squeue": "cat queue 2>/dev/null; true",
        "scontrol": "echo MaxArraySize = 3",
    }
    for name, answer in answers.items():
        (place / name).write_text(f'#!/bin/bash\necho "{name} $*" >> {calls}\n{answer}\n')
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("shutil.which", lambda name: str(place / name) if name in answers else None)
    return lambda program: [line for line in calls.read_text().splitlines() if line.startswith(program)]


def script_of(**settings) -> str:
    units = [Unit("my runs/cv", 0), Unit("my runs/cv", 3)]
    return units_script(Path("my runs/cv"), "units", units, Cluster.read(settings))


def test_the_file_is_read_by_bash(tmp_path):
    (tmp_path / "units.sbatch").write_text(script_of())
    subprocess.run(["bash", "-n", str(tmp_path / "units.sbatch")], check=True)


def test_what_is_asked_for_stands_at_the_top():
    settings = {"partition": "gpu", "gres": "gpu:1", "time": "12:00:00", "extra": "--qos=high --comment='a b'"}
    script = script_of(**settings, at_once=7)
    for line in ("--partition=gpu", "--gres=gpu:1", "--time=12:00:00", "--qos=high", "--array=0-1%7"):
        assert f"\n#SBATCH {line}\n" in script
    assert "account" not in script


def test_each_task_names_its_fold():
    assert "\n1) unit=('my runs/cv' 3) ;;\n" in script_of()


def test_a_path_with_a_space_or_percent_is_quoted_for_sbatch():
    assert '\n#SBATCH --output="a b%%/slurm/units_%a.log"\n' in units_script(
        Path("a b%"), "units", [Unit("a", 0)], Cluster.read({})
    )


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("O'Brien", """--partition="O'Brien\""""),
        ('a"b', r'--partition="a\"b"'),
        ("a\\b", r'--partition="a\\b"'),
        ("a #1", '--partition="a #1"'),
        ("$x `y`", '--partition="$x `y`"'),
        ("ä", '--partition="ä"'),
    ],
)
def test_settings_are_quoted_as_sbatch_reads_them(value, line):
    assert f"\n#SBATCH {line}\n" in script_of(partition=value)


def test_more_options_keep_their_quotes_and_their_values():
    script = script_of(extra="--comment='a b' -C gpu --qos=high")
    assert '\n#SBATCH --comment="a b"\n#SBATCH -C gpu\n#SBATCH --qos=high\n' in script


@pytest.mark.parametrize("name", ["back\\slash", "line\nbreak"])
def test_a_name_that_slurm_cannot_use_is_refused_before_anything_is_written(make, tmp_path, name):
    training = make()
    training.output_dir = str(tmp_path / name)
    with pytest.raises(InputError, match="LAUNCH=slurm takes no name with a backslash or a line break"):
        launch(training, "slurm", {"dry": "1"})
    assert not (tmp_path / name).exists()


def test_the_sites_file_stands_below_the_command_line_and_above_the_defaults(tmp_path):
    (tmp_path / "cluster.yaml").write_text("partition: site\nmem: 8G\n")
    read = Cluster.read({"mem": "32G", "account": ""})
    assert (read.partition, read.mem, read.account, read.cpus) == ("site", "32G", None, 4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"partitoin": "gpu"}, "command line: 'partitoin' is no setting"),
        ({"file": "no.yaml"}, "CLUSTER is no.yaml: there is no such file"),
        ({"cpus": "many"}, "CPUS is 'many', expected a whole number"),
        ({"time": "6:00"}, "TIME is 6:00, but a training saves and stops 300 s before"),
        ({"time": 86400}, "put it in quotes"),
        ({"extra": "--comment='a b"}, "EXTRA is --comment='a b, in which a quote has no end"),
        ({"partition": "a\n#SBATCH --wrap=b"}, "PARTITION is .*, expected text of one line"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        Cluster.read(given)


def test_the_report_asks_for_no_more_than_a_training_unless_told():
    asked, told = Cluster.read({"cpus": "1", "mem": "2G"}), Cluster.read({"cpus": "1", "finish_cpus": "8"})
    assert (asked.finish_cpus, asked.finish_mem) == (1, "2G")
    assert (told.cpus, told.finish_cpus) == (1, 8)


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [("30", 1800), ("1:30", 90), ("2:00:01", 7201), ("1-0", 86400), ("2-12:30", 217800), ("UNLIMITED", None)],
)
def test_time_limits_are_read_as_slurm_reads_them(limit, seconds):
    assert seconds_of(limit) == seconds


@pytest.mark.parametrize(
    ("build", "gres", "asked"),
    [("12.8", None, "gpu:2"), (None, None, None), ("12.8", "gpu:h100:4", "gpu:h100:4"), ("12.8", "disk:1", "disk:1")],
)
def test_as_many_gpus_are_asked_for_as_train_a_fold_together(build, gres, asked, monkeypatch):
    monkeypatch.setattr("torch.version.cuda", build)
    assert Cluster.read({"gres": gres}).with_gpus(2).gres == asked


def test_fewer_gpus_than_train_a_fold_together_are_refused():
    with pytest.raises(InputError, match="GPUS is 2, but GRES asks for gpu:a100;"):
        Cluster.read({"gres": "gpu:a100"}).with_gpus(2)


@pytest.mark.parametrize(
    ("size", "expected"), [("16G", 16 * 2**30), ("1200M", 1200 * 2**20), ("512", 512 * 2**20), ("0", math.inf)]
)
def test_sizes_are_read_as_slurm_reads_them(size, expected):
    assert bytes_of(size) == expected


def test_less_memory_than_a_step_takes_is_told_before_the_queue(make, bundles):
    with pytest.raises(InputError, match=r"a step of this training takes .* of memory at least, and there are 21 MB"):
        launch(make(), "slurm", {"mem": "20M", "dry": "1"})


def test_dry_writes_everything_and_submits_nothing(make, bundles, commands, tmp_path, capsys):
    launch(make(), "slurm", {"dry": "1"})
    assert "Nothing was submitted" in capsys.readouterr().out
    place = tmp_path / "my runs" / "cv" / "slurm"
    assert sorted(file.name for file in place.iterdir()) == ["finish.sbatch", "units.sbatch", "work.json"]
    assert commands("sbatch") == []


def test_the_report_waits_for_all_and_is_removed_when_one_fails(make, bundles, commands, tmp_path):
    launch(make(), "slurm")
    array, report = commands("sbatch")
    assert "units.sbatch" in array
    assert "--dependency=afterok:" in report
    assert "--kill-on-invalid-dep=yes" in report
    assert list(read_json(tmp_path / "my runs" / "cv" / "slurm" / JOBS)) == ["arrays", "finish"]


def test_only_what_is_left_is_submitted(make, bundles, commands, tmp_path):
    training = make()
    training.run_fold(training.begin(), 0)
    launch(make(), "slurm")
    (array,) = read_json(tmp_path / "my runs" / "cv" / "slurm" / JOBS)["arrays"]
    assert array["units"] == [[training.output_dir, 1]]


def test_more_units_than_an_array_may_have_are_several_arrays(write_dataset, bundles, commands, tmp_path):
    data = write_dataset(tmp_path / "scans", ["a", "b", "c", "d"])
    launch(LeaveOneOut("unet_3d", str(data), "demo", str(tmp_path / "lopo")), "slurm")
    arrays = read_json(tmp_path / "lopo" / "slurm" / JOBS)["arrays"]
    assert [len(array["units"]) for array in arrays] == [3, 1]
    ids = ":".join(array["job"] for array in arrays)
    assert f"--dependency=afterok:{ids} " in commands("sbatch")[-1]


def test_a_run_that_is_in_the_queue_is_not_submitted_again(make, bundles, commands, tmp_path):
    launch(make(), "slurm")
    job = read_json(tmp_path / "my runs" / "cv" / "slurm" / JOBS)["finish"]
    (tmp_path / "queue").write_text(f"{job}|PENDING|Dependency\n")
    with pytest.raises(InputError, match=f"jobs {job} of this run are in the queue"):
        launch(make(), "slurm")
    assert status_lines(tmp_path / "my runs" / "cv")[-1].why == f"job {job}, Dependency"


def test_without_a_cluster_it_says_so_before_anything_is_written(make, bundles, tmp_path):
    with pytest.raises(InputError, match=r"needs SLURM, which this system \(\w+\) does not have"):
        launch(make(), "slurm")
    assert not (tmp_path / "my runs").exists()


def test_another_place_to_run_is_refused(make):
    with pytest.raises(InputError, match="LAUNCH is 'slrum', expected local or slurm"):
        launch(make(), "slrum")


def test_the_report_is_the_same_run_here_once_all_is_done(make, bundles, tmp_path):
    launch(make(), "slurm", {"dry": "1"})
    work = made(read_json(tmp_path / "my runs" / "cv" / WORK))
    with pytest.raises(InputError, match=r"2 of 2 are not done: .* fold 0, .* fold 1;"):
        finish(work)
    assert read_record(work.place, REPORT)["state"] == "failed"
    for fold in range(2):
        work.run_fold(work.begin(), fold)
    finish(work)
    assert (tmp_path / "my runs" / "cv" / "report.html").is_file()


def test_the_report_names_missing_folds_where_that_was_asked_for(make, bundles, commands, tmp_path, caplog):
    training = make()
    launch(training, "slurm", {"report_anyway": "1"})
    assert "--dependency=afterany:" in commands("sbatch")[-1]
    training.run_fold(training.begin(), 1)
    finish(made(read_json(tmp_path / "my runs" / "cv" / WORK)), anyway=True)
    assert "these numbers are without fold 0" in caplog.text
    assert "these numbers are without fold 0." in (tmp_path / "my runs" / "cv" / "report.html").read_text()


def test_a_comparison_of_missing_folds_is_refused():
    with pytest.raises(InputError, match="is for `make cv`"):
        launch(Networks(["enet", "lednet"], data_dir="scans", folds=2, preset="demo"), "slurm", {"report_anyway": "1"})


def test_nothing_is_evaluated_where_no_fold_is_done(make, bundles):
    training = make()
    training.prepare()
    with pytest.raises(InputError, match="no fold is done yet"):
        training.evaluate_finished()


def test_a_comparison_is_written_down_and_made_again(tmp_path, write_dataset, bundles):
    data = write_dataset(tmp_path / "scans", ["a", "b", "c", "d"])
    settings = {"data_dir": str(data), "folds": 2, "preset": "demo", "output_dir": str(tmp_path / "out")}
    networks = Networks(["enet", "lednet"], **settings)
    launch(networks, "slurm", "{'dry': '1'}")
    write_json(tmp_path / "work.json", described(networks))
    again = made(read_json(tmp_path / "work.json"))
    assert [str(unit) for unit in again.units()] == [str(unit) for unit in networks.units()]
    assert len(status_lines(tmp_path / "out")) == 4


def test_jobs_see_every_folder_of_the_data(tmp_path):
    networks = Networks(["enet", "lednet"], data_dir=["b", "a"], folds=2, preset="demo", output_dir=str(tmp_path))
    again = made(json.loads(json.dumps(described(networks))))
    assert folders_of(again, [Unit("run", 0)]) == [tmp_path, "run", "a", "b"]
    (training, _) = again.trainings.values()
    assert training.configuration(TRAIN)["dataset_dir"] == ["a", "b"]


@pytest.mark.parametrize(
    ("module", "chosen"),
    [
        ("pipeline.runs.compare", ("compare", "enet", "lednet")),
        ("pipeline.experiments.ablation", ("ablation", "--paper", "eamc_dilation")),
    ],
)
def test_what_a_command_writes_down_is_made_again_by_another(tmp_path, write_dataset, module, chosen):
    data, out = write_dataset(tmp_path / "scans", ["a", "b", "c", "d"]), tmp_path / "out"
    given = ("--data", data, "--folds", 2, "--preset", "demo", "--out", out, "--launch", "slurm", "--dry")
    run_command(*chosen, *given)
    (work,) = out.rglob("work.json")
    assert read_json(work)["what"].startswith(f"pneumobundle.{module}.")
    again = made(read_json(work))
    assert type(again).__module__ == module
    assert len(again.units()) == len(status_lines(again.place))
