"""Nested regions: infection is a part of the lungs, for every network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.core.configuration import merged
from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_MAPS, LabelMap
from pipeline.networks.nested_regions import NestedRegions, check_regions

KINDS = LabelMap({"background": (0,), "lungs": (1, 2), "glass": (3, 4), "consolidation": (5,)}, {})
MAPS = {name: LABEL_MAPS[name] for name in ("lungs_infection", "abnormal_normal", "lungs_and_infection")} | {"k": KINDS}


@pytest.mark.parametrize("name", MAPS)
def test_probabilities_add_up_and_infection_is_never_likelier_than_lung(name):
    classes = MAPS[name]
    logits = 8 * torch.randn(2, len(classes.classes), 5, 4, 3, generator=torch.Generator().manual_seed(0))
    nested = NestedRegions(nn.Identity(), classes)
    found = nested(logits)
    torch.testing.assert_close(found.logsumexp(1), torch.zeros(2, 5, 4, 3))
    probabilities = found.exp()
    lung = logits[:, [0, *nested.lungs]].softmax(1)[:, 1:].sum(1)
    inside = probabilities[:, nested.lungs].sum(1) + probabilities[:, nested.infection].sum(1)
    torch.testing.assert_close(inside, lung)


def test_infection_is_the_share_of_lung_that_its_own_logit_says():
    logits = torch.tensor([0.3, -1.0, 2.0, 0.7]).reshape(1, 4, 1)
    found = NestedRegions(nn.Identity(), LABEL_MAPS["lungs_infection"])(logits).exp().ravel()
    background, left, right = logits.ravel()[:3].softmax(0)
    share = torch.sigmoid(torch.tensor(0.7))
    expected = torch.stack([background, left * (1 - share), right * (1 - share), (left + right) * share])
    torch.testing.assert_close(found, expected)


def test_what_is_surely_no_lung_is_never_infected():
    logits = torch.tensor([20.0, -20.0, -20.0, 50.0]).reshape(1, 4, 1)
    assert NestedRegions(nn.Identity(), LABEL_MAPS["lungs_infection"])(logits).argmax(1).item() == 0


def test_outputs_of_auxiliary_heads_are_nested_one_by_one():
    class Heads(nn.Module):
        def forward(self, x):
            return [x, x[..., ::2]]

    x = torch.randn(1, 4, 6)
    nested = NestedRegions(Heads(), LABEL_MAPS["lungs_infection"])
    whole, half = nested(x)
    torch.testing.assert_close(whole[..., ::2], half)
    torch.testing.assert_close(whole, nested.nested(x))


def test_a_label_map_without_lungs_is_refused():
    with pytest.raises(InputError, match="the classes background, infection have no lungs with infection in them"):
        NestedRegions(nn.Identity(), LABEL_MAPS["infection"])


def test_regions_that_a_configuration_asks_for_and_does_not_have_are_refused():
    check_regions(nn.Identity(), False)
    check_regions(NestedRegions(nn.Identity(), LABEL_MAPS["lungs_infection"]), True)
    with pytest.raises(InputError, match="network_def is not within NestedRegions"):
        check_regions(nn.Identity(), True)


def test_every_network_gets_regions_by_one_key():
    plain, nested = (merged("train", "unet_3d", "quick", {"regions": regions}, {}) for regions in (False, True))
    assert nested["network_def"] == {
        "_target_": f"pneumobundle.{NestedRegions.__module__}.NestedRegions",
        "network": plain["network_def"],
        "classes": "@classes",
    }
    assert {**nested, "network_def": 0, "regions": 0} == {**plain, "network_def": 0, "regions": 0}
