"""The infection's probability comes back on the scanner's grid, beside the label and not in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pipeline.core.labels import INFECTION, label_map
from pipeline.scans.front import Front
from pipeline.scans.scan import read_geometry
from transforms.infection_probability import STEPS, SaveImageOfInfectiond

FRONT = Front(spacing_mm=(0, 0, 0))


@pytest.fixture
def prediction(tmp_path: Path, make_chest: Any) -> dict[str, Any]:
    """Probability 0.4 of infection where the reference has it, on the scan's own grid."""
    scan, label = make_chest(size=(24, 20, 12))
    sitk.WriteImage(scan, str(tmp_path / "scan.nii.gz"))
    infected = torch.from_numpy(FRONT.label(label) == INFECTION).float() * 0.4
    classes = torch.stack([1 - infected, torch.zeros_like(infected), torch.zeros_like(infected), infected])
    return {"pred": classes, "image_file": str(tmp_path / "scan.nii.gz"), "case": "case_1", "label": label}


def saved(prediction: dict[str, Any], folder: Path, classes: str = "lungs_infection") -> sitk.Image:
    SaveImageOfInfectiond("pred", FRONT, label_map(classes), folder)(prediction)
    return sitk.ReadImage(str(folder / "case_1.nii.gz"))


def test_it_holds_the_infections_probability_in_255ths(tmp_path, prediction):
    levels = sitk.GetArrayFromImage(saved(prediction, tmp_path / "out"))
    infected = sitk.GetArrayFromImage(prediction["label"]) == INFECTION
    assert np.array_equal(levels, np.where(infected, 0.4 * STEPS, 0).astype(np.uint8))


def test_it_lies_on_the_scans_grid(tmp_path, prediction):
    saved(prediction, tmp_path / "out")
    assert read_geometry(tmp_path / "out" / "case_1.nii.gz") == read_geometry(prediction["image_file"])


def test_the_probabilities_go_on_as_they_were(tmp_path, prediction):
    after = SaveImageOfInfectiond("pred", FRONT, label_map("lungs_infection"), tmp_path / "out")(prediction)
    assert after["pred"] is prediction["pred"]


def test_the_infection_is_found_by_its_code_in_other_label_maps(tmp_path, prediction):
    swapped = {**prediction, "pred": prediction["pred"][[0, 3, 1]]}
    levels = sitk.GetArrayFromImage(saved(swapped, tmp_path / "out", "abnormal_normal"))
    assert levels.max() == round(0.4 * STEPS)


def test_kinds_of_infection_are_added_up(tmp_path, prediction):
    background, _, _, infected = prediction["pred"]
    kinds = {**prediction, "pred": torch.stack([background, infected / 4, infected * 3 / 4])}
    levels = sitk.GetArrayFromImage(saved(kinds, tmp_path / "out", "infection_kinds"))
    assert levels.max() == round(0.4 * STEPS)


def test_a_network_without_infection_writes_nothing(tmp_path, prediction):
    SaveImageOfInfectiond("pred", FRONT, label_map("lungs"), tmp_path / "out")(prediction)
    assert not (tmp_path / "out").exists()
