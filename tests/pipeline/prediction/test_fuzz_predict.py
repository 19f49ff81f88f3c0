"""`pneumobundle predict` on a folder of damaged files: each has its label or its sentence, nothing is half."""

from __future__ import annotations

import csv
import os
import subprocess

import numpy as np
import pytest
from conftest import tiny_overrides
from exported import small_run
from fuzz.images import damaged_image, sound

from pipeline.core.atomic import read_json
from pipeline.core.project import ROOT, program
from pipeline.folders.inputs import find_inputs
from pipeline.folders.manifest import DONE, FAILED, RESULTS
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import read_geometry, read_scan

DAMAGED = 40
HOSTILE = ("line\nbreak.nii", "escape\x1b[2J.nii", os.fsdecode(b"not utf-8 \xff.nii"))
GOOD = ("good.nii", "with a space.nii", "Thorax 肺.nii", "l" * 190 + ".nii")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sound and damaged files with names of all kinds, and what is no file."""
    place = tmp_path_factory.mktemp("scans")
    for name in (*GOOD, *HOSTILE):
        (place / name).write_bytes(sound("nifti1"))
    for number in range(DAMAGED):
        suffix, content = damaged_image(np.random.default_rng([7, number]))
        # Pictures beside volumes would not be looked at
        if suffix != ".png":
            (place / f"damaged{number}{suffix}").write_bytes(content)
    os.mkfifo(place / "pipe.nii.gz")
    (place / "nowhere.nii.gz").symlink_to(place / "not_there")
    (place / "zeros.nii").symlink_to("/dev/zero")
    (place / "folder.nii.gz").mkdir()
    return place


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """The output folder, and the process that has left it."""
    place = tmp_path_factory.mktemp("results")
    run = small_run("unet_3d", place / "cv", {**tiny_overrides(), "mixed_precision": False})
    words = ["--model", str(run / "fold0"), "--input", str(folder), "--out", str(place / "out")]
    command = program("predict", *words)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    return place / "out", ended


@pytest.fixture(scope="module")
def manifests(finished):
    return [read_json(file) for file in finished[0].glob("*.json")]


def test_damaged_scans_end_in_status_1_without_a_traceback(finished):
    _, ended = finished
    assert ended.returncode == 1, ended.stderr[-2000:]
    assert "Traceback" not in ended.stderr + ended.stdout


def test_every_scan_has_a_result_or_one_sentence(manifests, folder):
    assert len(manifests) == len(list(folder.iterdir()))
    for manifest in manifests:
        said = manifest["message"]
        assert manifest["status"] == DONE or (said.endswith(".") and said.isprintable()), manifest
    assert {manifest["status"] for manifest in manifests} == {DONE, FAILED}


def test_sound_scans_among_them_are_segmented(manifests):
    done = {manifest["case"] for manifest in manifests if manifest["status"] == DONE}
    assert {name.removesuffix(".nii") for name in GOOD} <= done


def test_nothing_is_half_written(finished, manifests, folder):
    out, _ = finished
    done = {manifest["case"] for manifest in manifests if manifest["status"] == DONE}
    labels = {file.name.removesuffix(".nii.gz"): file for file in out.rglob("*.nii.gz")}
    assert labels.keys() == done
    for case, label in labels.items():
        scan = next(file for file in folder.iterdir() if file.name.startswith(f"{case}."))
        assert not Geometry.of(read_scan(label)).differences(read_geometry(scan)), case
    assert {file.suffix for file in out.rglob("*") if file.is_file()} == {".gz", ".json", ".csv", ".html"}
    assert not [file for file in out.rglob(".*") if file.is_file()]


def test_the_table_has_a_line_for_every_scan(finished, manifests):
    out, ended = finished
    with (out / RESULTS).open(newline="", encoding="utf-8") as stream:
        cases = [row["case"] for row in csv.DictReader(stream)]
    assert sorted(cases) == sorted(manifest["case"] for manifest in manifests)
    assert all(case.isprintable() for case in cases)
    assert f"of {len(cases)} scans segmented" in ended.stdout


def test_a_planted_name_breaks_no_terminal(finished):
    _, ended = finished
    assert "\x1b[2J" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("name", [*HOSTILE[:1]])
def test_a_name_with_a_line_break_is_shown_in_one_line(manifests, name):
    (found,) = [
        manifest for manifest in manifests if manifest["case"] == name.removesuffix(".nii").replace("\n", "\\n")
    ]
    assert "line break" in found["message"]


def test_a_pipe_as_input_is_an_input_that_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    assert [item.case for item in find_inputs(tmp_path / "pipe.nii")] == ["pipe"]
