"""The front on real scans, where they are present; nothing of them is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from evaluation.measures.metrics import dice
from pipeline.core.labels import STRUCTURES
from pipeline.core.project import ROOT
from pipeline.data.datalist import read_datalist
from pipeline.folders.scan_list import scans
from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.intensity import intensity_domain
from pipeline.scans.lung_box import DoubtfulLungsError, lung_box
from pipeline.scans.scan import read_scan

SHARED = ROOT.parent / "shared" / "data"
COVID5, EXTRA = SHARED / "covid5", SHARED / "extra"
GREY = {"ma20s_02_coronacases_002"}

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not COVID5.is_dir(), reason=f"there are no real scans in {SHARED}"),
]


def real_scans() -> list[Path]:
    return [Path(scan["image"]) for folder in (COVID5, EXTRA) if folder.is_dir() for scan in scans(folder / "images")]


@pytest.mark.parametrize("file", real_scans() if COVID5.is_dir() else [], ids=lambda file: file.name.split(".")[0])
def test_a_real_scan_is_prepared_in_its_right_intensity_domain(file):
    scan = read_scan(file)
    grey = file.parents[1] == COVID5 or file.name.split(".")[0] in GREY
    assert intensity_domain(scan, file.name) == ("grey255" if grey else "hu")
    prepared = Front(normalisation="window").image(scan, file.name)
    assert np.isfinite(prepared).all()
    assert prepared.min() >= -1
    assert prepared.max() <= 1


@pytest.mark.parametrize("case", ["medseg_1", "medseg_7"])
def test_a_real_label_survives_the_way_there_and_back(case):
    label = read_scan(COVID5 / "labels" / f"{case}.nii.gz")
    front = Front()
    prepared = front.label(label)
    shares = np.stack([prepared == code for code in range(4)]).astype(np.float32)
    back = sitk.GetArrayFromImage(front.probabilities_to_label(shares, Geometry.of(label)))
    there = sitk.GetArrayFromImage(label)
    for structure, codes in STRUCTURES.items():
        assert dice(np.isin(there, codes), np.isin(back, codes)) > 0.94, structure


@pytest.mark.parametrize("file", real_scans() if COVID5.is_dir() else [], ids=lambda file: file.name.split(".")[0])
def test_the_lung_box_holds_what_is_labelled_or_is_doubtful(file):
    label = file.parents[1] / "labels" / file.name
    if not label.is_file():
        pytest.skip("it has no labels")
    front, scan = Front(), read_scan(file)
    voxels = torch.from_numpy(front.image(scan, file.name)[0])
    labelled = front.label(read_scan(label)) > 0
    if file.name.startswith("elastix_rightlung"):
        with pytest.raises(DoubtfulLungsError):
            lung_box(voxels, front.grid(Geometry.of(scan)).spacing_mm, 15)
        return
    box = lung_box(voxels, front.grid(Geometry.of(scan)).spacing_mm, 15)
    # medseg_1 has a speck of infection, 15 voxels, in the wall of the chest
    assert labelled.sum() - labelled[box.slices].sum() <= 15


def test_the_five_real_patients_are_five_in_grey():
    cases = read_datalist(COVID5)["training"]
    assert len({case["patient_id"] for case in cases}) == len(cases) == 5
    assert {case["intensity"] for case in cases} == {"grey255"}
