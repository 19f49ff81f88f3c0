"""DeepLabV3+ and its encoders Xception and ResNet-101 against the tables of their specification."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.deeplab_v3_plus import DeepLabV3Plus
from pipeline.networks.resnet import Bottleneck, ResNet101
from pipeline.networks.xception import Block, Xception

TINY = {"width": 1 / 16, "middle_blocks": 1}
BACKBONES = ("xception", "resnet101")
every_backbone = pytest.mark.parametrize("backbone", BACKBONES)


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.fixture(scope="module")
def papers() -> dict[str, DeepLabV3Plus]:
    """The networks at their full size for 1 channel and 3 classes, without memory behind them."""
    with torch.device("meta"):
        return {backbone: DeepLabV3Plus(1, 3, backbone) for backbone in BACKBONES}


@pytest.mark.parametrize(
    ("backbone", "in_channels", "count"),
    [
        ("xception", 1, 54_700_115),
        ("xception", 3, 54_700_691),
        ("resnet101", 1, 59_333_411),
        ("resnet101", 3, 59_339_683),
    ],
)
def test_three_classes_take_the_published_number_of_parameters(backbone, in_channels, count):
    with torch.device("meta"):
        assert parameters(DeepLabV3Plus(in_channels, 3, backbone)) == count


def test_the_parts_after_the_encoder_have_the_parameters_of_the_table(papers):
    network = papers["xception"]
    pyramid = network.pyramid
    assert [parameters(part) for part in pyramid.convolutions] == [524_800, 4_719_104, 4_719_104, 4_719_104]
    assert [parameters(part) for part in (pyramid.pooled, pyramid.project)] == [524_800, 328_192]
    assert [parameters(part) for part in network.fuse] == [700_928, 0, 590_336, 0]
    assert [parameters(part) for part in (network.low_level, network.output)] == [6_240, 771]
    assert parameters(papers["resnet101"].low_level) == 12_384


def test_resnets_stages_have_the_parameters_of_the_table(papers):
    encoder = papers["resnet101"].encoder
    stages = [parameters(part) for part in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)]
    assert stages == [215_808, 1_219_584, 26_090_496, 14_964_736]
    assert parameters(encoder) == 42_493_888


def test_xceptions_parts_have_the_parameters_of_the_table(papers):
    encoder = papers["xception"].encoder
    assert [parameters(part) for part in encoder.stem] == [352, 18_560]
    entry = (encoder.low_level_block, *encoder.entry_blocks)
    assert [parameters(part) for part in entry] == [53_696, 205_696, 1_457_360]
    assert [parameters(part) for part in encoder.middle_blocks] == [1_618_344] * 16
    assert [parameters(part) for part in (encoder.exit_block, encoder.exit_separables)] == [3_104_384, 7_133_184]
    assert parameters(encoder) == 37_866_736


@every_backbone
def test_the_encoder_returns_a_quarter_and_a_sixteenth_of_the_size(papers, backbone):
    low_level, deep = papers[backbone].encoder(torch.zeros(2, 1, 96, 64, device="meta"))
    assert low_level.shape == (2, 128 if backbone == "xception" else 256, 24, 16)
    assert deep.shape == (2, 2048, 6, 4)


def dilations(module: nn.Module) -> list[int]:
    """Of the 3x3 convolutions, in order."""
    return [m.dilation[0] for m in module.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]


def test_the_pyramid_has_dilations_6_12_18(papers):
    assert dilations(papers["xception"].pyramid) == [6, 12, 18]


def test_resnet_dilates_its_last_stage_in_a_multi_grid():
    encoder = ResNet101(**TINY)
    assert dilations(encoder.layer4) == [2, 4, 8]
    assert set(dilations(nn.Sequential(encoder.layer1, encoder.layer2, encoder.layer3))) == {1}


def test_xception_dilates_its_last_three_convolutions():
    assert dilations(Xception(**TINY))[-4:] == [1, 2, 2, 2]


def test_xceptions_shortcut_sees_the_rectified_input():
    block = Block(4, 4, 4).eval()
    x = torch.randn(1, 4, 6, 6)
    assert torch.equal(block(x), block.separables(F.relu(x)) + F.relu(x))


def test_xceptions_low_level_features_are_rectified():
    low_level, _ = Xception(**TINY)(torch.randn(2, 1, 32, 32))
    assert low_level.min() == 0


def test_a_bottleneck_strides_in_its_3x3_convolution():
    block = Bottleneck(4, 4, stride=2, dilation=1)
    assert [block.conv1.stride, block.conv2.stride, block.conv3.stride] == [(1, 1), (2, 2), (1, 1)]


def test_resnet_has_the_parameter_names_of_torchvision():
    names = ResNet101(width=1 / 16).state_dict().keys()
    first = {f"layer1.0.{name}.weight" for name in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")}
    assert first | {"conv1.weight", "bn1.running_var", "layer1.0.downsample.0.weight", "layer4.2.bn3.bias"} <= names
    assert {name.split(".")[1] for name in names if name.startswith("layer3")} == {str(block) for block in range(23)}
    # 104 convolutions, 104 batch norms of five entries each: torchvision's 626 less the classifier's two
    assert len(names) == 624


@every_backbone
def test_any_size_will_do(backbone):
    logits = DeepLabV3Plus(1, 4, backbone, **TINY)(torch.randn(2, 1, 37, 50))
    assert logits.shape == (2, 4, 37, 50)


@every_backbone
def test_a_single_image_is_refused_in_training(backbone):
    with pytest.raises(ValueError, match="DeepLabV3Plus needs a batch of at least 2 in training"):
        DeepLabV3Plus(1, 4, backbone, **TINY)(torch.randn(1, 1, 32, 32))


def test_a_single_image_is_segmented_in_evaluation():
    assert DeepLabV3Plus(**TINY).eval()(torch.randn(1, 1, 32, 32)).shape == (1, 4, 32, 32)


def test_another_backbone_is_refused():
    with pytest.raises(ValueError, match="backbone 'vgg' is unknown; choose one of xception, resnet101"):
        DeepLabV3Plus(backbone="vgg")


def test_only_the_output_has_a_bias(papers):
    biased = [name for name, m in papers["xception"].named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    assert biased == ["output"]


def test_the_dropouts_are_those_of_the_table(papers):
    assert [m.p for m in papers["xception"].modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5, 0.1]
