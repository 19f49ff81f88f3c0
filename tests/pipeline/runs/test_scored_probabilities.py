"""A run with probabilities gets its temperature, its scores and a section of its page; one without is as before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from report_makers import write_run

from pipeline.core.labels import INFECTION, label_map
from pipeline.core.temperature import read_temperature
from pipeline.data.study import load_study
from pipeline.runs.scores import job_of, write_scores

HEADING = '<section id="probabilities"'


def score(run: Path) -> Path:
    study = load_study(run)
    jobs = [job_of(study, case, fold) for fold in (0, 1) for case in study.held_out(fold)]
    write_scores(run, "unet_3d", jobs, label_map("lungs_infection"))
    return run


def write_probabilities(run: Path) -> None:
    """Of 0.9 where infection was predicted, 0.2 elsewhere: too sure where the predictions miss much of it."""
    (run / "probabilities").mkdir()
    for file in (run / "predictions").glob("*.nii.gz"):
        image = sitk.ReadImage(str(file))
        levels = np.where(sitk.GetArrayFromImage(image) == INFECTION, 230, 1).astype(np.uint8)
        written = sitk.GetImageFromArray(levels)
        written.CopyInformation(image)
        sitk.WriteImage(written, str(run / "probabilities" / file.name))


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> Path:
    return score(write_run(tmp_path_factory.mktemp("before")))


@pytest.fixture(scope="module")
def scored(before, tmp_path_factory) -> Path:
    run = Path(shutil.copytree(before, tmp_path_factory.mktemp("scored") / "cv"))
    write_probabilities(run)
    return score(run)


def test_the_temperature_lies_beside_the_models_and_in_the_summary(scored):
    found, told = read_temperature(scored), json.loads((scored / "summary.json").read_text())["probabilities"]
    assert found.patients == told["patients"] == 4
    assert found.temperature == told["temperature"] > 1
    for when in ("before", "after"):
        for name in ("ece", "brier", "nll"):
            assert told[when][name]["low"] <= told[when][name]["value"] <= told[when][name]["high"]
    assert told["after"]["nll"]["value"] < told["before"]["nll"]["value"]


def test_the_page_has_a_diagram_of_both(scored):
    page = (scored / "report.html").read_text()
    assert HEADING in page
    drawing = page[page.index("Reliability of the infection") :]
    assert "as the networks gave them, calibration error 0." in drawing
    assert "after the temperature, calibration error 0." in drawing
    assert "The temperature of 4 held-out patients is" in page


def test_a_run_without_probabilities_has_no_such_thing(before):
    assert not (before / "temperature.json").exists()
    assert not (before / "reliability.csv").exists()
    assert "probabilities" not in json.loads((before / "summary.json").read_text())
    assert HEADING not in (before / "report.html").read_text()


def test_labels_are_scored_as_without_them(before, scored):
    columns = [(run / "severity.csv").read_bytes() for run in (before, scored)]
    assert columns[0] == columns[1]
