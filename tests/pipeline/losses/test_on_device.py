"""The weights of classes lie where the network's outputs do: a loss on a GPU would refuse those of the CPU."""

from __future__ import annotations

import pytest
from monai.bundle import ConfigParser

from pipeline.core.configuration import TRAIN, merged


@pytest.mark.parametrize(("network", "preset"), [("unet_3d", "demo"), ("pneumo_net", "quick")])
def test_the_weights_of_classes_go_to_the_device(network, preset):
    parser = ConfigParser(merged(TRAIN, network, preset, {"device": "meta"}, {}))
    loss = parser.get_parsed_content("loss_on_device")
    weights = [values for name, values in loss.named_buffers() if name.endswith("weight")]
    assert weights
    assert {values.device.type for values in weights} == {"meta"}
    assert parser["train::trainer::loss_function"] == "@loss_on_device"
