"""What is expected of every network: a new one is a new row of NETWORKS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pipeline.networks.amc_net import AMCNet
from pipeline.networks.anam_net import AnamNet
from pipeline.networks.attention_unet import AttentionUNet
from pipeline.networks.covid_segnet import CovidSegNet
from pipeline.networks.deeplab_v3_plus import DeepLabV3Plus
from pipeline.networks.dense_unet import DenseUNet
from pipeline.networks.enet import ENet
from pipeline.networks.inception_unet import InceptionUNet
from pipeline.networks.inf_net import InfNet
from pipeline.networks.inf_net_multiclass import InfNetMultiClass
from pipeline.networks.lednet import LEDNet
from pipeline.networks.mini_seg import MiniSeg
from pipeline.networks.miscnn_unet import MIScnnUNet
from pipeline.networks.pneumo_net import PneumoNet
from pipeline.networks.r2unet import R2UNet
from pipeline.networks.raiu_net import RAIUNet
from pipeline.networks.segnet import SegNet
from pipeline.networks.small_covid_net import SmallCovidNet
from pipeline.networks.unet_2d import UNet2D
from pipeline.networks.unet_plus_plus import UNetPlusPlus
from pipeline.networks.xception_unet import XceptionUNet


@dataclass(frozen=True)
class Network:
    """What is expected of a network.

    Args:
        bundle: folder of `bundles/`.
        make: its class or function; takes in_channels and out_channels.
        parameters: with the bundle's own arguments.
        golden_mean: of the tiny network's output for `ramp`, all its parameters being 0.1.
        counts: parameters for other (in_channels, out_channels), those of the papers.
        arguments: that tell it from another network of the same class.
        tiny: arguments that make it small.
        size: of an input that the tiny network takes, batch and channels left out.
        wrong_size: of an input that it refuses, None where it takes any.
        smallest_batch: that it can be trained with.
        coarser: sizes of the outputs of auxiliary heads that are not the input's.
    """

    bundle: str
    make: Callable[..., nn.Module]
    parameters: int
    golden_mean: float
    counts: Mapping[tuple[int, int], int] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    tiny: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, ...] = (16, 12, 8)
    wrong_size: tuple[int, ...] | None = None
    smallest_batch: int = 1
    coarser: tuple[tuple[int, ...], ...] = ()

    def small(self, in_channels: int = 1, out_channels: int = 4) -> nn.Module:
        torch.manual_seed(0)
        return self.make(in_channels=in_channels, out_channels=out_channels, **{**self.arguments, **self.tiny})

    def ramp(self, in_channels: int = 1, batch: int = 1) -> torch.Tensor:
        """An input whose voxels rise from -1 to 1."""
        shape = (batch, in_channels, *self.size)
        return torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)


def outputs(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """All outputs of a network in training, the prediction first."""
    found = network(x)
    return [found] if isinstance(found, torch.Tensor) else found


THREE_LEVELS = {"tiny": {"features": (2, 4, 6)}, "wrong_size": (16, 12, 6)}
TINY_DEEPLAB = {"width": 1 / 16, "middle_blocks": 1}
FIVE_WIDTHS = {"features": (2, 3, 4, 5, 6)}
TWO_LEVELS = {"size": (16, 12), "wrong_size": (16, 11)}
SMALL_COVID = {"tiny": {"filters": 3, "levels": 2}, "size": (16, 12), "wrong_size": (16, 10)}
# Its coarsest map has 4 x 4 x 2 voxels: on one of 2 x 2 x 1 torch 2.13's gradient of a 3D convolution's weights is at
# random 1e33, on a CPU in bfloat16
TINY_COVID_SEGNET = {"tiny": {"base": 2}, "size": (32, 32, 16), "wrong_size": (32, 28, 16)}
BASIC_UNET = {
    "spatial_dims": 2,
    "features": (64, 128, 256, 512, 1024, 64),
    "norm": "batch",
    "act": ["relu", {"inplace": True}],
}

NETWORKS = (
    Network("unet_3d", MIScnnUNet, 22_581_316, 0.1534936, **THREE_LEVELS),
    Network("residual_unet_3d", MIScnnUNet, 22_930_980, 0.2262888, arguments={"residual": True}, **THREE_LEVELS),
    Network(
        "pneumo_net", PneumoNet, 948_652, 0.12499773502349854, {(1, 3): 948_537}, arguments={"heads": 2},
        tiny={"features": (2, 4, 6, 8)}, size=(16, 24), wrong_size=(16, 20), coarser=((8, 12), (4, 6)),
    ),
    Network(
        "anam_net", AnamNet, 4_631_620, 1.881373, {(1, 3): 4_631_555, (3, 3): 4_632_707},
        tiny={"features": (8, 8, 12, 16)}, size=(32, 48), wrong_size=(32, 40),
    ),
    Network(
        "unet_2d", UNet2D, 31_112_260, 0.1273471, {(1, 3): 31_112_195, (3, 3): 31_113_347},
        arguments=BASIC_UNET, tiny={"features": (2, 2, 4, 4, 6, 2)}, size=(32, 32),
    ),
    Network(
        "enet", ENet, 349_284, 0.4442099, {(1, 3): 349_140, (3, 3): 349_356},
        tiny={"features": (8, 16, 32)}, size=(64, 48), wrong_size=(64, 44),
    ),
    Network(
        "unet_plus_plus", UNetPlusPlus, 9_162_852, 0.1310281, {(1, 3): 9_162_819, (3, 3): 9_163_395},
        tiny=FIVE_WIDTHS, size=(32, 48), wrong_size=(32, 40),
    ),
    Network(
        "segnet", SegNet, 29_444_164, 0.3020371, {(1, 3): 29_443_587, (3, 3): 29_444_739},
        tiny=FIVE_WIDTHS, size=(33, 46),
    ),
    Network(
        "attention_unet", AttentionUNet, 34_877_616, 0.1718109, {(1, 3): 34_877_551, (3, 3): 34_878_703},
        tiny={"features": (4, 6, 8)}, size=(16, 12), wrong_size=(16, 10),
    ),
    Network(
        "lednet", LEDNet, 918_389, 1328.852, {(1, 3): 918_127, (3, 3): 918_629},
        tiny={"features": (8, 16, 32), "dilations": (1, 2)}, size=(128, 96), wrong_size=(128, 92), smallest_batch=2,
    ),
    Network(
        "deeplab_v3_plus", DeepLabV3Plus, 54_700_372, 1.533266, {(1, 3): 54_700_115, (3, 3): 54_700_691},
        tiny=TINY_DEEPLAB, size=(36, 28), smallest_batch=2,
    ),
    Network(
        "inf_net", InfNet, 31_076_678, 1.167539, {(3, 1): 31_072_721, (1, 1): 31_072_145},
        tiny={"width": 1 / 16, "blocks": (1, 2, 1, 2)}, size=(256, 64), wrong_size=(256, 48),
    ),
    Network(
        "mini_seg", MiniSeg, 83_016, 0.2076395, {(1, 3): 82_884, (3, 2): 82_912},
        tiny={"features": (4, 8, 12, 16), "repeats": (2, 3, 2, 2)}, size=(37, 26),
    ),
    Network(
        "unet_amc", AMCNet, 1_962_388, 189.5225, {(1, 1): 1_962_337},
        arguments={"multi_scale": False, "attention": False}, tiny={"features": (4, 8)}, **TWO_LEVELS,
    ),
    Network(
        "attention_unet_amc", AMCNet, 1_995_392, 189.4364, {(1, 1): 1_995_341},
        arguments={"multi_scale": False}, tiny={"features": (4, 8)}, **TWO_LEVELS,
    ),
    Network(
        "msu_net", AMCNet, 3_313_428, 355.3774, {(1, 1): 3_313_377},
        arguments={"attention": False}, tiny={"features": (4, 8)}, **TWO_LEVELS,
    ),
    Network("amc_net", AMCNet, 3_346_432, 355.2473, {(1, 1): 3_346_381}, tiny={"features": (4, 8)}, **TWO_LEVELS),
    Network("r2unet", R2UNet, 6_003_060, 53873.58, {(1, 1): 6_003_009}, tiny={"features": (2, 4)}, **TWO_LEVELS),
    Network(
        "inception_unet", InceptionUNet, 11_986_036, 60.37130, {(1, 1): 11_985_937, (3, 1): 11_987_921},
        tiny={"features": (2, 4, 6)}, size=(16, 12), wrong_size=(16, 10),
    ),
    Network(
        "xception_unet", XceptionUNet, 2_054_916, 3.148860, {(1, 1): 2_054_049, (3, 3): 2_055_203},
        tiny={"features": (4, 6, 8)}, size=(16, 24), wrong_size=(16, 20),
    ),
    Network(
        "dense_unet", DenseUNet, 4_259_924, 0.3323238, {(1, 1): 4_259_873},
        tiny={"features": (8, 12, 16)}, size=(16, 12), wrong_size=(16, 10),
    ),
    Network("small_covid_net", SmallCovidNet, 119_788, 0.1462943, {(1, 1): 119_713}, **SMALL_COVID),
    Network("covid_segnet", CovidSegNet, 3_919_799, 0.3983183, {(1, 3): 3_919_782}, **TINY_COVID_SEGNET),
    Network(
        "raiu_net", RAIUNet, 4_189_723, 0.3667417, {(1, 1): 4_189_666},
        tiny={"base_filters": 6, "levels": 2}, size=(16, 12), wrong_size=(16, 10),
    ),
)  # fmt: skip


# Variants without a bundle of their own; an override of `network_def` chooses them
VARIANTS = (
    Network(
        "anam_net, squeeze 8", AnamNet, 4_474_212, 1522.63, {(1, 3): 4_474_147},
        arguments={"squeeze": 8}, tiny={"features": (16, 16, 24, 32)}, size=(32, 48), wrong_size=(32, 40),
    ),
    Network(
        "unet_plus_plus, deep supervision", UNetPlusPlus, 9_163_248, 0.1310281, {(1, 3): 9_163_116},
        arguments={"deep_supervision": True}, tiny=FIVE_WIDTHS, size=(32, 48), wrong_size=(32, 40),
    ),
    Network(
        "deeplab_v3_plus, resnet101", DeepLabV3Plus, 59_333_668, 3.885365, {(1, 3): 59_333_411, (3, 3): 59_339_683},
        arguments={"backbone": "resnet101"}, tiny=TINY_DEEPLAB, size=(36, 28), smallest_batch=2,
    ),
    Network(
        "inf_net, second stage", InfNetMultiClass, 17_266_436, 0.1275148, {(2, 3): 17_266_947, (6, 3): 17_269_251},
        tiny={"features": (2, 4, 6)}, size=(16, 24), wrong_size=(16, 20),
    ),
    Network(
        "amc_net, released weights", AMCNet, 4_457_152, 51664.55, {(1, 1): 4_457_101},
        arguments={"ms_mode": "cascade", "upsample": "deconv_double"}, tiny={"features": (4, 8)}, **TWO_LEVELS,
    ),
    Network(
        "small_covid_net, nothing joined", SmallCovidNet, 99_052, 0.1437030, {(1, 1): 98_977},
        arguments={"skip": "none"}, **SMALL_COVID,
    ),
    Network(
        "small_covid_net, unpooling", SmallCovidNet, 79_228, 0.1417659, {(1, 1): 79_153},
        arguments={"skip": "unpool"}, **SMALL_COVID,
    ),
    Network(
        "small_covid_net, no batch norm", SmallCovidNet, 118_924, 38.04558, {(1, 1): 118_849},
        arguments={"batch_norm": False}, **SMALL_COVID,
    ),
    Network(
        "covid_segnet, channel gate", CovidSegNet, 3_930_660, 0.3983183, {(1, 3): 3_930_643},
        arguments={"channel_gate": True}, **TINY_COVID_SEGNET,
    ),
    Network(
        "covid_segnet, max pooling", CovidSegNet, 3_919_799, 0.3995698, {(1, 3): 3_919_782},
        arguments={"max_pool": True}, **TINY_COVID_SEGNET,
    ),
    Network(
        "raiu_net, plain blocks", RAIUNet, 3_475_390, 1680.099, {(1, 1): 3_475_333},
        arguments={"block": "plain", "hybrid_pool": False, "attention": False},
        tiny={"base_filters": 2, "levels": 2}, size=(16, 12), wrong_size=(16, 10),
    ),
    Network(
        "raiu_net, max pooling", RAIUNet, 3_440_802, 0.361861, {(1, 1): 3_440_745},
        arguments={"hybrid_pool": False, "attention": False},
        tiny={"base_filters": 6, "levels": 2}, size=(16, 12), wrong_size=(16, 10),
    ),
    Network(
        "raiu_net, plain skips", RAIUNet, 3_771_894, 0.3733959, {(1, 1): 3_771_837},
        arguments={"attention": False}, tiny={"base_filters": 6, "levels": 2}, size=(16, 12), wrong_size=(16, 10),
    ),
)  # fmt: skip

BY_BUNDLE = {network.bundle: network for network in NETWORKS}
ALL = (*NETWORKS, *VARIANTS)
