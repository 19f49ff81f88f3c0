"""Several processes on one output folder, and processes that are killed: real ones, through the command."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import SimpleITK as sitk
from conftest import chest, tiny_overrides
from exported import small_run

from pipeline.core.project import ROOT
from pipeline.folders.manifest import DONE

pytestmark = pytest.mark.slow
SCANS, KILLS = 80, 20
# What differs between two runs of the same
OF_A_RUN = ("seconds", "peak_memory_mib", "at")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "cv"
    return small_run("unet_3d", folder, {**tiny_overrides(), "mixed_precision": False})


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for number in range(SCANS):
        sitk.WriteImage(chest(size=(48, 40, 24), seed=number)[0], str(folder / f"scan_{number:02}.nii.gz"))
    return folder


@pytest.fixture
def start(run, scans):
    """Start segmenting all scans into a folder, and know the process by its first line."""
    started = []

    def begin(out: Path) -> subprocess.Popen[str]:
        words = [
            "-m",
            "pneumobundle",
            "predict",
            "--model",
            str(run / "fold0"),
            "--input",
            str(scans),
            "--out",
            str(out),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def straight(run, scans, tmp_path_factory) -> Path:
    """The results of one process that nobody disturbed."""
    from pipeline.prediction.predict import predict

    out = tmp_path_factory.mktemp("straight")
    predict(run / "fold0", scans, out)
    return out


def finished(out: Path) -> set[str]:
    # glob finds hidden files too: unfinished ones
    manifests = (file for file in out.glob("*.json") if not file.name.startswith("."))
    return {file.stem for file in manifests if json.loads(file.read_text())["status"] == DONE}


def results(out: Path) -> dict[str, object]:
    """Every file of a folder: its bytes, but for what a manifest or table says of the run itself."""
    found: dict[str, object] = {}
    for file in sorted(file for file in out.rglob("*") if file.is_file()):
        name = file.relative_to(out).as_posix()
        if name.endswith(".json"):
            found[name] = {key: value for key, value in json.loads(file.read_text()).items() if key not in OF_A_RUN}
        elif name.endswith(".csv"):
            rows = csv.DictReader(file.read_text().splitlines())
            found[name] = [{key: value for key, value in row.items() if key not in OF_A_RUN} for row in rows]
        else:
            found[name] = file.read_bytes()
    return found


def test_two_processes_share_the_scans_and_do_each_once(start, straight, tmp_path):
    told = "".join([process.communicate()[0] for process in [start(tmp_path), start(tmp_path)]])
    done = re.findall(r"segmented (scan_\d+),", told)
    assert sorted(done) == sorted({*done})
    assert len(done) == SCANS
    assert results(tmp_path) == results(straight)


def test_killed_at_20_random_moments_nothing_is_lost_and_nothing_differs(start, straight, tmp_path):
    draw = random.Random(0)
    before: set[str] = set()
    for kill in range(KILLS):
        process = start(tmp_path)
        # Every fourth at any moment from its start on, the others while they segment
        if kill % 4:
            while process.poll() is None and len(finished(tmp_path)) == len(before):
                time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.4 if kill % 4 else 6.0))
        assert process.poll() is None, "it was through before it was killed"
        process.kill()
        process.wait()
        assert before <= finished(tmp_path)
        before = finished(tmp_path)
    assert len(before) < SCANS, "all scans were done before the last kill"
    assert start(tmp_path).wait() == 0
    assert results(tmp_path) == results(straight)
