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

from pipeline.core.errors import InputError
from transforms.deform_and_crop import DeformAndCrop
from transforms.patch_augmentation import augmented_patch
from transforms.patch_on_device import PLAN, check_transforms, planned

# Where the voxels of a patch are computed
LOADER, DEVICE = "loader", "device"


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
        where: `loader` computes here; `device` gives the voxels that are needed, of the image's own number type, and in
            `plan` what `transforms.patch_on_device.prepare_batch` has to do with them.
    """

    def __init__(self, keys: Sequence[Hashable], transforms: Sequence[AbstractTransform], where: str = LOADER) -> None:
        super().__init__(keys)
        if where not in (LOADER, DEVICE):
            raise InputError(f"augment_on is {where!r}, expected {LOADER} or {DEVICE}.")
        self.image_key, self.label_key = self.keys
        self.transforms = list(transforms)
        self.where = where
        if where == DEVICE:
            check_transforms(self.transforms)
        self.seed = 0

    def randomize(self, data: Any = None) -> None:
        self.seed = int(self.R.randint(2**32, dtype=np.uint64))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        self.randomize()
        image, label = (convert_to_numpy(data[key]) for key in (self.image_key, self.label_key))
        with numpy_seed(self.seed):
            if self.where == DEVICE:
                image, label, plan = planned(image, label, self.transforms)
                return {**data, **self._tensors(image, label), PLAN: plan}
            if self.transforms and isinstance(self.transforms[-1], DeformAndCrop):
                image, label = augmented_patch(image, label, self.transforms[:-1], self.transforms[-1])
            else:
                image, label = augmented_whole(image, label, self.transforms)
        return {**data, **self._tensors(image.astype(np.float32, copy=False), label)}

    def _tensors(self, image: np.ndarray, label: np.ndarray) -> dict[Hashable, torch.Tensor]:
        return {
            self.image_key: torch.from_numpy(np.ascontiguousarray(image)),
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
