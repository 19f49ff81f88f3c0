"""The grey levels of another window: scans come in Hounsfield units, and as grey of windows that nobody wrote down."""

from __future__ import annotations

from typing import Any

import numpy as np
from batchgenerators.transforms.abstract_transforms import AbstractTransform

# Of a scan prepared with the normalisation `window`
LOW, HIGH = -1.0, 1.0


class RandomWindow(AbstractTransform):
    """What is left of a scan when it is seen through a slightly different window, a batchgenerators transform.

    The window's ends are drawn, values between them are spread over -1..1 and those beyond are clipped, as whoever
    saved 8-bit grey did. A function of the voxel's value alone: unlike contrast and brightness about a mean it does not
    depend on how much air the field of view holds. For scans prepared with `normalisation: window`.

    Args:
        low: limits of the lower end, in the scan's own -1..1; with a window of 1500 HU 0.1 is 75 HU.
        high: limits of the upper end.
        p_per_sample: probability.
    """

    def __init__(
        self, low: tuple[float, float] = (-1.2, -0.7), high: tuple[float, float] = (0.6, 1.3), p_per_sample: float = 0.5
    ) -> None:
        (self.low, self.high) = (low[0], low[1]), (high[0], high[1])
        self.p_per_sample = p_per_sample

    def __call__(self, **batch: Any) -> dict[str, Any]:
        data = batch["data"]
        for sample, image in enumerate(data):
            if np.random.uniform() < self.p_per_sample:
                low, high = np.random.uniform(*self.low), np.random.uniform(*self.high)
                data[sample] = np.clip((image - low) * ((HIGH - LOW) / (high - low)) + LOW, LOW, HIGH)
        return batch
