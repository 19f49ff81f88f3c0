"""The augmentation of train.yaml on small patches, and how exactly two ways of it agree."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.bundle import ConfigParser
from scipy.ndimage import gaussian_filter

from pipeline.core.configuration import COMMON, load
from transforms.batchgenerators_list import BatchgeneratorsListd

# Of an image with a deviation of 1, contrast and brightness up to six times as much; interpolation in float32
TOLERANCE = 3e-4
# Of labels: places within 1e-5 voxels of the middle between two
OTHER_LABELS = 2e-4
NOISE = "augmentations::4::p_per_sample"


def case(dims: int, size: tuple[int, ...] = (60, 52, 44)) -> dict[str, np.ndarray]:
    """An image with a deviation of about 1 as the cache holds it, and a label map of three codes."""
    image = gaussian_filter(np.random.default_rng(0).normal(size=size[:dims]), 1.5)
    image = (image / image.std()).astype(np.float16)[None]
    return {"image": image, "label": np.digitize(image, (-0.5, 0.5)).astype(np.uint8)}


def augment(where: str, dims: int = 3, probability: float = 0.0, **changes: Any) -> BatchgeneratorsListd:
    """The whole list of train.yaml, for small patches."""
    parser = ConfigParser(load([COMMON / "train.yaml"]))
    small = {"patch_size": [32, 28, 24], "slice_size": [32, 28], "spatial_dims": dims, "mirror_axes": [*range(dims)]}
    parser.update({**small, "augmentation_probability": probability, "augment_on": where, **changes})
    return parser.get_parsed_content("augment")
