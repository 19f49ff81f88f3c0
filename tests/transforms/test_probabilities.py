"""Logits become probabilities in their own memory."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import Activationsd

from transforms.probabilities import SoftmaxInPlaced


@pytest.mark.parametrize(
    "layout", [(0, 1, 2, 3), (0, 3, 1, 2), (3, 0, 1, 2)], ids=["plain", "of slices", "channels last"]
)
@pytest.mark.parametrize("classes", [1, 4])
def test_they_are_those_of_monai_in_any_memory_layout(layout, classes):
    torch.manual_seed(0)
    plain = 5 * torch.randn(classes, 6, 7, 8)
    # The same numbers, of which the memory has another order
    inverse = [layout.index(axis) for axis in range(4)]
    logits = plain.permute(layout).contiguous().permute(inverse)
    expected = Activationsd("pred", softmax=True)({"pred": plain})["pred"]
    (found,) = SoftmaxInPlaced("pred")({"pred": logits}).values()
    assert found is logits
    assert torch.allclose(found, expected, atol=1e-6)


def test_nothing_else_changes():
    image = torch.ones(1, 2, 2, 2)
    done = SoftmaxInPlaced("pred")({"pred": torch.zeros(2, 2, 2, 2), "image": image, "case": "a"})
    assert done["image"] is image
    assert done["case"] == "a"
    assert torch.equal(done["pred"], torch.full((2, 2, 2, 2), 0.5))
