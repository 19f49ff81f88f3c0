"""What a patch has beyond a scan's borders is what inference puts there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from pipeline.core.configuration import TRAIN, merged
from pipeline.inferers.windows import mirrored


def padding(network: str, **sizes: list[int]) -> ConfigParser:
    return ConfigParser(merged(TRAIN, network, "quick", sizes, {}))


def padded(parser: ConfigParser, image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sample = {"image": image, "label": label}
    for key in ("pad_image", "pad_label"):
        sample = parser.get_parsed_content(key)(sample)
    return np.asarray(sample["image"]), np.asarray(sample["label"])


@pytest.mark.parametrize("shape", [(5, 16, 3), (16, 16, 1), (16, 7, 16)])
def test_a_3d_patch_goes_on_mirrored_with_its_label(shape):
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    label = (image > 0).astype(np.uint8)
    parser = padding("unet_3d", patch_size=[16, 16, 16])
    more_image, more_label = padded(parser, image, label)
    assert more_image.shape == more_label.shape == (1, 16, 16, 16)
    assert np.array_equal(more_image > 0, more_label == 1)
    assert np.array_equal(more_image, mirrored(torch.from_numpy(image), (16, 16, 16))[0].numpy())


def test_a_single_slice_is_in_every_slice_of_a_3d_patch():
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 1)).astype(np.float32)
    more, _ = padded(padding("unet_3d", patch_size=[16, 16, 8]), image, image > 0)
    assert np.array_equal(more, np.repeat(image, 8, 3))


def test_a_slice_of_a_2d_network_goes_on_with_the_least_of_each_column():
    image = np.random.default_rng(0).normal(size=(1, 10, 16, 1)).astype(np.float32)
    more_image, more_label = padded(padding("anam_net", slice_size=[16, 16]), image, np.ones_like(image, np.uint8))
    assert np.array_equal(more_image[0, 0], image[0].min(0))
    assert np.all(more_label[0, :3] == 0)
