"""CONTAINER: the jobs of a cluster run in an image; a script that logs and runs its words stands for apptainer."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from pipeline.core.errors import InputError
from pipeline.core.stop_signal import STOPPED_STATUS
from pipeline.runs.cluster import Cluster
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.launch import launch
from pipeline.runs.preflight import check_build
from pipeline.runs.shards import submit_shards
from pipeline.runs.slurm import units_script
from pipeline.runs.units import Unit

# As `apptainer exec` does: options, the image, and then what runs there
APPTAINER = """#!/bin/bash
printf '%s\\n' "$@" > {log}
[ "$1" = exec ] && shift
while [[ $1 = --* ]]; do shift; done
shift
exec "$@"
"""
# In place of the image's program: says that it runs, and stops as a training does
PROGRAM = """#!{python}
import os, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: sys.exit({stopped}))
print("runs", *sys.argv[1:], os.environ["PNEUMOBUNDLE_STOP_WITHIN_S"], flush=True)
time.sleep(30)
"""


@pytest.fixture(autouse=True)
def image(monkeypatch, tmp_path) -> Path:
    """An image in the current folder; neither a SLURM nor a cluster.yaml of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None)
    file = tmp_path / "an image.sif"
    file.touch()
    return file


@pytest.fixture
def programs(tmp_path) -> dict[str, str]:
    """The environment of a node that has stand-ins for apptainer, the image's program and scontrol."""
    place = tmp_path / "bin"
    place.mkdir()
    texts = {
        "apptainer": APPTAINER.format(log=tmp_path / "words"),
        "pneumobundle": PROGRAM.format(python=sys.executable, stopped=STOPPED_STATUS),
        "scontrol": f'#!/bin/bash\necho "$@" > {tmp_path}/requeued\nexit 1\n',
    }
    for name, text in texts.items():
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    return {**os.environ, "PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "0"}


def script_of(*folders: Path | str, **settings: str) -> str:
    cluster = Cluster.read({"container": "an image.sif", **settings}).with_folders(folders)
    return units_script(Path("runs/cv"), "units", [Unit("runs/cv", 0)], cluster)


def words_of(script: str, program: str) -> list[str]:
    """The words of the line of a script that runs a program."""
    (line,) = [line for line in script.splitlines() if program in line and not line.startswith("#")]
    return shlex.split(line.removesuffix(" &"))


def test_a_task_runs_the_images_program_in_the_image(image, tmp_path):
    assert words_of(script_of(), "run-unit") == [
        "apptainer", "exec", f"--bind={tmp_path}", str(image), "pneumobundle", "run-unit", "${unit[@]}",
    ]  # fmt: skip


def test_without_a_container_this_python_runs():
    assert words_of(script_of(container=""), "run-unit")[:3] == [sys.executable, "-m", "pneumobundle"]


def test_a_task_that_asks_for_a_gpu_sees_it_in_the_container_and_the_report_does_not():
    cluster = Cluster.read({"container": "an image.sif", "gres": "gpu:1"})
    assert "--nv" in cluster.task("run-unit")
    assert "--nv" not in cluster.report("finish")


def test_gpus_of_amd_are_what_the_site_says():
    cluster = Cluster.read({"container": "an image.sif", "gres": "gpu:1", "container_run": "apptainer exec --rocm"})
    assert cluster.task("run-unit")[2] == "--rocm"
    assert "--nv" not in cluster.task("run-unit")


def test_options_of_a_site_stand_before_the_image(image):
    words = words_of(script_of(container_run="singularity exec --bind '/a b'"), "run-unit")
    assert words[:4] == ["singularity", "exec", "--bind", "/a b"]
    assert words.index(str(image)) > 4


def test_folders_are_bound_by_their_names_and_where_links_lead_to(tmp_path):
    elsewhere = tmp_path.parent / f"{tmp_path.name} elsewhere"
    elsewhere.mkdir()
    (tmp_path / "data").symlink_to(elsewhere)
    bound = [word for word in words_of(script_of("data", "runs/cv"), "run-unit") if word.startswith("--bind=")]
    assert bound == [f"--bind={tmp_path}", f"--bind={elsewhere}"]


def test_an_address_of_an_image_is_taken_as_it_is():
    assert "docker://a/b:1" in words_of(script_of(container="docker://a/b:1"), "run-unit")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"container": "no.sif"}, "CONTAINER is no.sif: there is no such image"),
        ({"container_run": "apptainer exec 'a"}, "CONTAINER_RUN is apptainer exec 'a, in which a quote has no end"),
        ({"container": "a\nb"}, "CONTAINER is .*, expected text of one line"),
    ],
)
def test_what_cannot_run_is_refused(settings, said):
    with pytest.raises(InputError, match=said):
        script_of(**settings)


def test_a_folder_that_a_container_cannot_be_told_is_refused():
    with pytest.raises(InputError, match=r"CONTAINER cannot be shown .*/a:b: a name with : or , is none of --bind"):
        script_of("/a:b")


def test_the_torch_of_a_container_is_not_asked_here_and_that_is_said(monkeypatch, caplog):
    monkeypatch.setattr("torch.version.cuda", None)
    with caplog.at_level("INFO"):
        check_build("gpu:1", "image.sif")
    assert "Whether the torch of image.sif can use GPUs is not checked here" in caplog.text


def test_gpus_of_a_container_are_asked_for_whatever_torch_is_here(monkeypatch):
    monkeypatch.setattr("torch.version.cuda", None)
    assert Cluster.read({"container": "an image.sif"}).with_gpus(2).gres == "gpu:2"


def test_a_cross_validation_and_its_report_run_in_the_image_that_sees_data_and_results(
    write_dataset, bundles, image, tmp_path_factory
):
    data = write_dataset(tmp_path_factory.mktemp("far") / "my scans", ["a", "b", "c", "d"])
    out = tmp_path_factory.mktemp("away") / "cv"
    training = CrossValidation("unet_3d", str(data), 2, "demo", str(out))
    launch(training, "slurm", {"dry": "1", "container": image.name})
    for name, command in (("units", "run-unit"), ("finish", "finish")):
        words = words_of((out / "slurm" / f"{name}.sbatch").read_text(), f"pneumobundle {command}")
        assert {f"--bind={place}" for place in (Path.cwd(), data, out)} == {
            word for word in words if word.startswith("--bind=")
        }
        assert str(image) in words


def test_an_archive_is_segmented_in_the_image_that_sees_model_and_scans(image, tmp_path, tmp_path_factory):
    archive, model = tmp_path_factory.mktemp("an archive"), tmp_path_factory.mktemp("a model")
    (archive / "a.nii.gz").write_bytes(b"")
    submit_shards(str(model), str(archive), "out", 1, [], {"dry": "1", "container": image.name})
    words = words_of((tmp_path / "out" / "slurm" / "shard.sbatch").read_text(), "pneumobundle predict")
    assert {f"--bind={place}" for place in (tmp_path, archive, model)} < {*words}
    assert words_of((tmp_path / "out" / "slurm" / "finish.sbatch").read_text(), " merge ")[-2:] == ["merge", "out"]


def test_the_warning_before_the_time_limit_reaches_the_program_in_the_container(programs, image, tmp_path):
    start = partial(subprocess.Popen, env=programs, stdout=subprocess.PIPE, text=True)
    with start(["bash", "-c", script_of()]) as task:
        assert task.stdout is not None
        assert task.stdout.readline() == "runs run-unit runs/cv 0 270\n"
        task.send_signal(signal.SIGUSR1)
        assert "back into the queue" in task.stdout.read()
    assert task.returncode == STOPPED_STATUS
    assert (tmp_path / "requeued").read_text().startswith("requeue")
    assert str(image) in (tmp_path / "words").read_text().splitlines()
