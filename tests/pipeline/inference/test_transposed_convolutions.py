"""Transposed convolutions become convolutions where nothing overlaps, and give what they gave."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.inference.transposed_convolutions import as_convolutions
from pipeline.inferers.openvino_network import package, settings

pytest.importorskip("openvino", reason="the extra `openvino` is not installed: pip install -e '.[openvino]'")
SIZE = (4, 5, 6)
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def rewritten(module: nn.Module, image: torch.Tensor) -> tuple[int, np.ndarray]:
    """How many were rewritten, and what the rewritten model gives."""
    openvino = package("openvino")
    any_size = openvino.PartialShape([-1, image.shape[1], *[-1] * (image.ndim - 2)])
    model = openvino.convert_model(module.eval(), example_input=image, input=[any_size])
    return as_convolutions(model), openvino.compile_model(model, "CPU", settings())(image.numpy())[0]


@pytest.mark.parametrize("dims", TRANSPOSED)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "more", "expected"),
    [
        (2, {"stride": 2}, 1),
        (3, {"stride": 3}, 1),
        (3, {"stride": 2, "padding": 1, "output_padding": 1}, 0),
        (4, {"stride": 4, "padding": 1}, 0),
        (2, {"stride": 2, "groups": 2}, 0),
    ],
)
def test_those_without_overlap_are_rewritten_and_all_give_what_torch_gives(dims, bias, kernel, more, expected):
    torch.manual_seed(0)
    module = nn.Sequential(TRANSPOSED[dims](6, 4, kernel, bias=bias, **more), nn.ReLU())
    image = torch.randn(2, 6, *SIZE[:dims])
    count, found = rewritten(module, image)
    assert count == expected
    with torch.inference_mode():
        np.testing.assert_allclose(found, module(image).numpy(), atol=1e-5)


def test_a_result_that_two_layers_take_is_rewritten_too():
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            large = self.up(image)
            return torch.cat([large + 1, large * 2], dim=1)

    torch.manual_seed(0)
    module, image = Forked(), torch.randn(1, 6, 4, 5)
    count, found = rewritten(module, image)
    assert count == 1
    with torch.inference_mode():
        np.testing.assert_allclose(found, module(image).numpy(), atol=1e-5)
