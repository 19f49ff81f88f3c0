"""Mirroring that knows left from right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from batchgenerators.transforms.abstract_transforms import AbstractTransform

from pipeline.core.labels import LEFT_LUNG, RIGHT_LUNG

LEFT_RIGHT_AXIS = 0


class LungMirror(AbstractTransform):
    """Mirror each axis with probability one half, a batchgenerators transform.

    Args:
        axes: 0 left-right, 1 front-back, 2 feet-head, which a slice does not have.
        swap_lungs: whether codes 1 and 2 change places in a patient mirrored left-right. MIScnn's code does not swap:
            its network must tell a left lung from a mirrored right one by its shape.
    """

    def __init__(self, axes: Sequence[int] = (0, 1, 2), swap_lungs: bool = False) -> None:
        self.axes = tuple(axes)
        self.swap_lungs = swap_lungs

    def draw_axes(self) -> list[int]:
        return [axis for axis in self.axes if np.random.uniform() < 0.5]

    def swaps(self, axes: Sequence[int]) -> bool:
        """Whether the lungs change places in a patient mirrored along these axes."""
        return self.swap_lungs and LEFT_RIGHT_AXIS in axes

    def __call__(self, **batch: Any) -> dict[str, Any]:
        for sample in range(len(batch["data"])):
            mirrored = self.draw_axes()
            image, label = mirror(batch["data"][sample], batch["seg"][sample], mirrored)
            if self.swaps(mirrored):
                label = swap_codes(label)
            batch["data"][sample], batch["seg"][sample] = image, label
        return batch


class LungMirrorOnce(LungMirror):
    """As it is, or mirrored along one of the axes, each with equal probability: Anam-Net's threefold training set."""

    def draw_axes(self) -> list[int]:
        choice = np.random.randint(len(self.axes) + 1)
        return [self.axes[choice - 1]] if choice else []


def mirror(image: np.ndarray, label: np.ndarray, axes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Copies of image and label (C, H, W, D) or (C, H, W), flipped along the given spatial axes."""
    channel_first = tuple(axis + 1 for axis in axes)
    return np.flip(image, channel_first).copy(), np.flip(label, channel_first).copy()


def swap_codes(label: np.ndarray) -> np.ndarray:
    """A copy in which left lung is right lung and the other way round."""
    swapped = label.copy()
    swapped[label == LEFT_LUNG] = RIGHT_LUNG
    swapped[label == RIGHT_LUNG] = LEFT_LUNG
    return swapped
