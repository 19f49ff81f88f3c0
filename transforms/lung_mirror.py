"""Mirroring that knows left from right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from batchgenerators.transforms.abstract_transforms import AbstractTransform

from pipeline.labels import LEFT_LUNG, RIGHT_LUNG

LEFT_RIGHT_AXIS = 0


class LungMirror(AbstractTransform):
    """Mirror each axis with probability one half, a batchgenerators transform.

    Args:
        axes: of the volume, 0 left-right, 1 front-back, 2 feet-head.
        swap_lungs: whether codes 1 and 2 change places in a patient mirrored left-right. MIScnn's code does not swap:
            its network must tell a left lung from a mirrored right one by its shape.
    """

    def __init__(self, axes: Sequence[int] = (0, 1, 2), swap_lungs: bool = False) -> None:
        self.axes = tuple(axes)
        self.swap_lungs = swap_lungs

    def __call__(self, **batch: Any) -> dict[str, Any]:
        for sample in range(len(batch["data"])):
            mirrored = [axis for axis in self.axes if np.random.uniform() < 0.5]
            image, label = mirror(batch["data"][sample], batch["seg"][sample], mirrored)
            if self.swap_lungs and LEFT_RIGHT_AXIS in mirrored:
                label = swap_codes(label)
            batch["data"][sample], batch["seg"][sample] = image, label
        return batch


def mirror(image: np.ndarray, label: np.ndarray, axes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Copies of image and label (C, H, W, D), flipped along the given axes of the volume."""
    channel_first = tuple(axis + 1 for axis in axes)
    return np.flip(image, channel_first).copy(), np.flip(label, channel_first).copy()


def swap_codes(label: np.ndarray) -> np.ndarray:
    """A copy in which left lung is right lung and the other way round."""
    swapped = label.copy()
    swapped[label == LEFT_LUNG] = RIGHT_LUNG
    swapped[label == RIGHT_LUNG] = LEFT_LUNG
    return swapped
