"""Cross-entropy with weights from how often the classes occur."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pipeline.core.labels import label_map
from pipeline.losses.cross_entropy import CrossEntropy, inverse_frequency, inverse_log_frequency

# Background, left lung, right lung, infection, ground glass, consolidation
COUNTS = np.array([600, 200, 150, 30, 15, 5])


def test_inverse_frequency_is_all_voxels_over_those_of_the_class():
    assert inverse_frequency(COUNTS, label_map("lungs_infection")).tolist() == pytest.approx([10 / 6, 5, 20 / 3, 20])


def test_classes_of_several_codes_are_counted_together():
    assert inverse_frequency(COUNTS, label_map("abnormal_normal")).tolist() == pytest.approx([10 / 6, 20, 1 / 0.35])


def test_a_class_that_does_not_occur_weighs_nothing():
    assert inverse_frequency(np.array([900, 60, 40, 0, 0, 0]), label_map("infection")).tolist() == [1, 0]


def test_inverse_log_frequency_is_enets_formula():
    weights = inverse_log_frequency(COUNTS, label_map("infection"))
    assert weights.tolist() == pytest.approx([1 / math.log(1.10 + 0.95), 1 / math.log(1.10 + 0.05)])


def test_cross_entropy_takes_monais_shapes():
    logits, target = torch.tensor([[[[0.0, 2.0]], [[0.0, 0.0]]]]), torch.tensor([[[[0, 1]]]], dtype=torch.uint8)
    expected = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert CrossEntropy()(logits, target).item() == pytest.approx(expected)


def test_cross_entropy_is_divided_by_the_weights_of_all_voxels():
    logits, target = torch.tensor([[[[0.0, 2.0]], [[0.0, 0.0]]]]), torch.tensor([[[[0, 1]]]])
    expected = (1 * math.log(2) + 3 * math.log(1 + math.exp(2))) / (1 + 3)
    assert CrossEntropy(weight=torch.tensor([1.0, 3.0]))(logits, target).item() == pytest.approx(expected)
