"""Another field of view: the chest wall, or all beside the lungs, may be cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
from batchgenerators.transforms.abstract_transforms import AbstractTransform

from pipeline.core.labels import BACKGROUND, LEFT_LUNG, RIGHT_LUNG
from pipeline.scans.bounding_box import bounding_box


class RandomFieldOfView(AbstractTransform):
    """Makes everything beyond a box around the labelled structures air, a batchgenerators transform.

    Scans that people cropped around the lungs, whole or slice by slice, are filled up with air to the size of a volume.
    Air is the image's smallest value. Nothing changes where no healthy lung is labelled: a box around infection alone
    would cut the lungs.

    Args:
        margin_voxels: limits of the distance between box and structures, drawn for each of its sides.
        by_slice: share of the scans in which every axial slice has a box of its own, with the same margins.
        p_per_sample: probability.
    """

    def __init__(
        self, margin_voxels: tuple[float, float] = (0, 20), by_slice: float = 0.5, p_per_sample: float = 0.25
    ) -> None:
        self.nearest, self.farthest = margin_voxels
        self.by_slice = by_slice
        self.p_per_sample = p_per_sample

    def __call__(self, **batch: Any) -> dict[str, Any]:
        images, labels = batch["data"], batch["seg"]
        for image, label in zip(images, labels, strict=True):
            drawn = np.random.uniform() < self.p_per_sample
            if drawn and np.isin(label[0], (LEFT_LUNG, RIGHT_LUNG)).any():
                self._crop(image, label[0] != BACKGROUND)
        return batch

    def _crop(self, image: np.ndarray, labelled: np.ndarray) -> None:
        margins = np.random.uniform(self.nearest, self.farthest, (labelled.ndim, 2)).astype(int)
        by_slice = np.random.uniform() < self.by_slice
        kept = np.zeros(labelled.shape, bool)
        if by_slice and labelled.ndim == 3:
            for number in range(labelled.shape[2]):
                keep_box(kept[..., number], labelled[..., number], margins[:2])
        else:
            keep_box(kept, labelled, margins)
        if kept.any():
            for channel in image:
                channel[~kept] = channel.min()


def keep_box(kept: np.ndarray, labelled: np.ndarray, margins: np.ndarray) -> None:
    """Set `kept` within the box around what is labelled and (axes, 2) voxels more; all of it where nothing is."""
    box = bounding_box(labelled)
    if box is None:
        kept[:] = True
        return
    kept[
        tuple(
            slice(max(0, side.start - below), side.stop + above)
            for side, (below, above) in zip(box, margins, strict=True)
        )
    ] = True
