"""The focal loss of the EAMC recipe is the alpha-balanced one, for every label map."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from pipeline.core.configuration import COMMON, RECIPES, load
from pipeline.core.labels import INFECTED, LABEL_MAPS, label_map
from pipeline.losses.focal import infection_weights


def configured_loss(name: str) -> nn.Module:
    """The recipe's loss, for the classes of a label map."""
    parser = ConfigParser(load([COMMON / "train.yaml", RECIPES / "eamc.yaml"]))
    parser["label_map"] = name
    return parser.get_parsed_content("loss")


def test_two_classes_cost_what_the_sigmoids_formula_says():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 2, 6, 5), torch.randint(0, 2, (2, 1, 6, 5))
    p = torch.sigmoid(logits[:, 1:] - logits[:, :1])
    p_t = torch.where(target == 1, p, 1 - p)
    alpha_t = torch.where(target == 1, 0.8, 0.2)
    expected = (-alpha_t * (1 - p_t) ** 2 * p_t.log()).mean().item()
    assert configured_loss("infection")(logits, target).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_each_voxel_weighs_what_its_class_does(name):
    torch.manual_seed(0)
    alpha = torch.tensor([0.8 if {*codes} & {*INFECTED} else 0.2 for codes in label_map(name).classes.values()])
    logits, target = torch.randn(2, len(alpha), 6, 5), torch.randint(0, len(alpha), (2, 1, 6, 5), dtype=torch.uint8)
    p_t = logits.softmax(1).gather(1, target.long())
    expected = (-alpha[target.long()] * (1 - p_t) ** 2 * p_t.log()).mean().item()
    assert configured_loss(name)(logits, target).item() == pytest.approx(expected, abs=1e-6)


def test_the_infection_has_its_weight_wherever_it_stands():
    assert infection_weights(label_map("abnormal_normal"), alpha=0.7) == pytest.approx([0.9, 2.1, 0.9])
