"""How sure a network is, by hand."""

from __future__ import annotations

import torch

from pipeline.core.atomic import read_json
from transforms.confidence import SaveConfidenced, slice_confidence

# Two classes, 1 x 2 pixels, two slices: background twice, then background and a structure
PROBABILITIES = torch.tensor([[[[0.9, 0.8], [0.7, 0.25]]], [[[0.1, 0.2], [0.3, 0.75]]]])


def test_the_sums_of_each_slice():
    assert slice_confidence(PROBABILITIES) == {
        "voxels": [2.0, 2.0],
        "probability": [1.6, 1.55],
        "structure_voxels": [0.0, 1.0],
        "structure_probability": [0.0, 0.75],
    }


def test_a_case_leaves_a_file_and_goes_on_unchanged(tmp_path):
    case = {"case": "a", "pred": PROBABILITIES}
    assert SaveConfidenced("pred", tmp_path)(case) == case
    assert read_json(tmp_path / "a.json") == slice_confidence(PROBABILITIES)
