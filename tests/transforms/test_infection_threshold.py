"""A threshold on the probability of infection decides as it says, before and after interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose

from pipeline.core.configuration import INFERENCE, merged
from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_MAPS, LabelMap
from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from transforms.infection_threshold import InfectionThresholdd, threshold_factors

TWO, FOUR = LABEL_MAPS["infection"], LABEL_MAPS["lungs_infection"]


def weighted(probabilities: torch.Tensor, threshold: float, classes: LabelMap = TWO) -> torch.Tensor:
    return InfectionThresholdd("pred", classes, threshold)({"pred": probabilities})["pred"]


def two_classes(*size: int) -> torch.Tensor:
    """Probabilities (2, *size) of background and infection."""
    infection = torch.rand(size, generator=torch.Generator().manual_seed(0))
    return torch.stack([1 - infection, infection])


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
def test_infection_wins_where_its_probability_is_above_the_threshold(threshold):
    probabilities = two_classes(10, 10, 10)
    assert torch.equal(weighted(probabilities, threshold).argmax(0) == 1, probabilities[1] > threshold)


def test_infection_wins_against_each_other_class_as_if_it_were_alone_with_it():
    # Of what it and the likeliest other class have together, infection has 0.5 / 0.7 = 0.71, then 0.5 / 0.8 = 0.63
    voxels = torch.tensor([[0.1, 0.2, 0.2, 0.5], [0.3, 0.1, 0.1, 0.5], [0.1, 0.3, 0.1, 0.5]]).T.reshape(4, 3, 1, 1)
    assert weighted(voxels, 0.7, FOUR).argmax(0).flatten().tolist() == [3, 0, 1]


def test_one_half_changes_no_bit():
    probabilities = torch.softmax(torch.randn(4, 5, 6, 7, generator=torch.Generator().manual_seed(0)), 0)
    assert torch.equal(weighted(probabilities, 0.5, FOUR), probabilities)


def test_the_other_classes_keep_their_probabilities():
    probabilities = torch.softmax(torch.randn(4, 5, 6, 7, generator=torch.Generator().manual_seed(0)), 0)
    assert torch.equal(weighted(probabilities, 0.8, FOUR)[:3], probabilities[:3])


def test_the_given_probabilities_stay_as_they_are():
    probabilities = two_classes(4, 4, 4)
    weighted(probabilities, 0.8)
    assert torch.equal(probabilities, two_classes(4, 4, 4))


@pytest.mark.parametrize(
    ("label_map", "infection"),
    [("lungs_infection", [3]), ("abnormal_normal", [1]), ("infection", [1])],
)
def test_infection_is_the_class_of_its_code(label_map, infection):
    assert InfectionThresholdd("pred", LABEL_MAPS[label_map], 0.8).channels == infection


def test_without_a_class_of_infection_alone_nothing_changes():
    whole_lungs = LabelMap({"background": (0,), "lungs": (1, 2, 3)}, {"lungs": (1,)})
    probabilities = two_classes(4, 4, 4)
    assert torch.equal(weighted(probabilities, 0.8, whole_lungs), probabilities)


def test_on_the_scanners_grid_infection_is_where_its_interpolated_probability_is_above_the_threshold():
    front, probabilities = Front(spacing_mm=(2, 2, 2)), two_classes(8, 8, 8)
    scan = sitk.Image(14, 13, 12, sitk.sitkInt16)
    scan.SetSpacing((8 * 2 / 14, 8 * 2 / 13, 8 * 2 / 12))
    scanner = Geometry.of(scan)
    label = front.probabilities_to_label(weighted(probabilities, 0.8).numpy(), scanner)
    # Infection beside a background that is the threshold everywhere
    plain = torch.stack([torch.full((8, 8, 8), 0.8), probabilities[1]])
    expected = front.probabilities_to_label(plain.numpy(), scanner)
    assert np.array_equal(sitk.GetArrayFromImage(label), sitk.GetArrayFromImage(expected))
    assert sitk.GetArrayFromImage(label).any()


@pytest.mark.parametrize("threshold", [0, 1, -0.2, 80])
def test_what_is_no_probability_is_refused(threshold):
    with pytest.raises(InputError, match=f"infection_threshold is {threshold}, expected a probability between 0 and 1"):
        InfectionThresholdd("pred", TWO, threshold)


@pytest.mark.parametrize(
    ("network", "preset", "steps"),
    [("unet_3d", "paper", 0), ("small_covid_net", "paper", 1), ("small_covid_net", "demo", 0)],
)
def test_inference_has_the_threshold_where_it_is_not_one_half(network, preset, steps):
    parser = ConfigParser(merged(INFERENCE, network, preset, {}, {}))
    processing = parser.get_parsed_content("postprocessing")
    assert isinstance(processing, Compose)
    assert sum(isinstance(step, InfectionThresholdd) for step in processing.transforms) == steps


def test_the_factors_are_those_that_the_transform_multiplies_by():
    weighted = InfectionThresholdd("pred", LABEL_MAPS["lungs_infection"], 0.2)({"pred": torch.ones(4, 1, 1, 1)})
    assert threshold_factors(LABEL_MAPS["lungs_infection"], 0.2) == weighted["pred"].flatten().tolist() == [1, 1, 1, 4]
