"""A list of batchgenerators transforms as one dictionary transform for MONAI."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from batchgenerators.transforms.abstract_transforms import AbstractTransform
from monai.transforms import MapTransform, Randomizable
from monai.utils import convert_to_numpy

from transforms.deform_and_crop import DeformAndCrop
from transforms.patch_augmentation import augmented_patch


@contextmanager
def numpy_seed(seed: int) -> Iterator[None]:
    """Global random numbers of numpy and Python from `seed` within the block; their states before it are restored.

    batchgenerators draws from both.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


class BatchgeneratorsListd(MapTransform, Randomizable):
    """Apply batchgenerators transforms, in their order, to one image and its label map.

    batchgenerators draws from numpy's global state; here that state is seeded from this transform's own random state
    and restored, so that the result is reproducible and nothing else is disturbed.

    Where the last one is a `DeformAndCrop`, all is computed on the voxels that its patch needs: see
    `transforms.patch_augmentation`.

    Args:
        keys: of the image and the label map, both (C, H, W, D) or (C, H, W) arrays.
        transforms: batchgenerators transforms that read `data` (B, C, H, W[, D]) and `seg`.
    """

    def __init__(self, keys: Sequence[Hashable], transforms: Sequence[AbstractTransform]) -> None:
        super().__init__(keys)
        self.image_key, self.label_key = self.keys
        self.transforms = list(transforms)
        self.seed = 0

    def randomize(self, data: Any = None) -> None:
        self.seed = int(self.R.randint(2**32, dtype=np.uint64))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        self.randomize()
        image, label = (convert_to_numpy(data[key]) for key in (self.image_key, self.label_key))
        with numpy_seed(self.seed):
            if self.transforms and isinstance(self.transforms[-1], DeformAndCrop):
                image, label = augmented_patch(image, label, self.transforms[:-1], self.transforms[-1])
            else:
                image, label = augmented_whole(image, label, self.transforms)
        return {
            **data,
            self.image_key: torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)),
            self.label_key: torch.from_numpy(np.ascontiguousarray(label).astype(np.uint8, copy=False)),
        }


def augmented_whole(
    image: np.ndarray, label: np.ndarray, transforms: Sequence[AbstractTransform]
) -> tuple[np.ndarray, np.ndarray]:
    """Image and label, (C, H, W, D) or (C, H, W), after batchgenerators transforms."""
    batch = {"data": np.array(image, np.float32)[None], "seg": np.array(label, np.float32)[None]}
    for transform in transforms:
        batch = transform(**batch)
    return batch["data"][0], batch["seg"][0]
