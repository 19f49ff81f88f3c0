"""Networks in OpenVINO: sizes, batches, threads, what is missing, and that nothing is reported to anyone."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from pipeline.core.errors import InputError
from pipeline.inferers import openvino_network
from pipeline.inferers.openvino_network import KEPT_SIZES, OpenVinoNetwork, package

WHY = "the extra `openvino` is not installed: pip install -e '.[openvino]'"


@pytest.fixture
def network(tmp_path) -> tuple[nn.Module, OpenVinoNetwork]:
    """A convolution in torch and in OpenVINO."""
    pytest.importorskip("openvino", reason=WHY)
    openvino = package("openvino")
    torch.manual_seed(0)
    module = nn.Conv3d(1, 2, 3, padding=1).eval()
    converted = openvino.convert_model(module, example_input=torch.zeros(1, 1, 4, 4, 4), input=[[-1, 1, -1, -1, -1]])
    openvino.save_model(converted, tmp_path / "network.xml", compress_to_fp16=False)
    return module, OpenVinoNetwork(*((tmp_path / f"network.{end}").read_bytes() for end in ("xml", "bin")))


@pytest.mark.parametrize("size", [(1, 1, 8, 6, 4), (3, 1, 5, 5, 5)])
def test_it_gives_what_torch_gives_for_any_batch_and_size(network, size):
    module, own = network
    image = torch.randn(size)
    with torch.inference_mode():
        found = own(image)
        assert torch.allclose(found, module(image), atol=1e-5)
    assert (found.dtype, own(image).shape) == (torch.float32, (size[0], 2, *size[2:]))


def test_a_later_image_leaves_earlier_logits_as_they_are(network):
    _, own = network
    first = own(torch.ones(1, 1, 4, 4, 4))
    kept = first.clone()
    own(torch.zeros(1, 1, 4, 4, 4))
    assert torch.equal(first, kept)


def test_it_takes_a_scan_with_its_affine_and_strides_of_any_order(network):
    module, own = network
    image = torch.randn(1, 1, 4, 5, 6)
    turned = image.permute(0, 1, 4, 3, 2)
    with torch.inference_mode():
        assert torch.allclose(own(MetaTensor(image)), module(image), atol=1e-5)
        assert torch.allclose(own(turned), module(turned), atol=1e-5)


def test_it_keeps_the_last_sizes_alone(network):
    _, own = network
    for length in range(4, 4 + KEPT_SIZES + 2):
        own(torch.zeros(1, 1, length, 4, 4))
    assert [size[2] for size in own.requests] == [4 + KEPT_SIZES, 5 + KEPT_SIZES]


def test_it_computes_with_the_threads_of_torch(network):
    _, own = network
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        request = own.request((1, 1, 4, 4, 4))
    finally:
        torch.set_num_threads(before)
    assert request.get_compiled_model().get_property("INFERENCE_NUM_THREADS") == 2


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"^MODE: 8 bits need the package openvino.*-e '\.\[openvino\]'$"):
        OpenVinoNetwork(b"", b"")


def test_nothing_is_reported_to_the_makers():
    pytest.importorskip("nncf", reason=WHY)
    # In a process of its own: NNCF reports nothing where pytest is
    code = REPORTS.format(module=openvino_network.__name__)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


REPORTS = """
import sys
from {module} import package
package("openvino"), package("nncf")
print([name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module])
"""
