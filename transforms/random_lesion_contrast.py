"""Fainter and denser lesions: ground glass of one data set may be twice as far from healthy lung as another's."""

from __future__ import annotations

from typing import Any

import numpy as np
from batchgenerators.transforms.abstract_transforms import AbstractTransform

from pipeline.core.labels import LEFT_LUNG, RIGHT_LUNG, infected


class RandomLesionContrast(AbstractTransform):
    """Moves what is labelled as infected towards healthy lung, or away from it, a batchgenerators transform.

    In infected voxels the distance from the median of the healthy lung in view is multiplied by a factor, drawn once a
    sample. Nothing changes where there is no infection, or no healthy lung.

    Args:
        factor: limits; 0.5 halves the contrast.
        p_per_sample: probability.
    """

    def __init__(self, factor: tuple[float, float] = (0.5, 1.2), p_per_sample: float = 0.4) -> None:
        self.low, self.high = factor
        self.p_per_sample = p_per_sample

    def __call__(self, **batch: Any) -> dict[str, Any]:
        for image, label in zip(batch["data"], batch["seg"], strict=True):
            if np.random.uniform() < self.p_per_sample:
                factor = np.random.uniform(self.low, self.high)
                ill, healthy = infected(label[0]), (label[0] == LEFT_LUNG) | (label[0] == RIGHT_LUNG)
                if ill.any() and healthy.any():
                    lung = np.median(image[0][healthy])
                    image[0][ill] = lung + factor * (image[0][ill] - lung)
        return batch
