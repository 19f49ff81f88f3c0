"""Networks see the box around the lungs alone: cut it out before them, put the rest back behind them."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.scans.front import Front
from pipeline.scans.lung_box import Box, DoubtfulLungsError, content_box, fitted, lung_box, whole
from transforms.loaded_scan import case_of, plain, scanner

logger = logging.getLogger(__name__)
BOX, SIZE = "lung_box", "prepared_size"
# Far below any network's logits: the softmax of the rest is exactly 1 for the background
NEVER = -10_000.0


class CropToLungsd(MapTransform):
    """Cut a prepared scan (1, H, W, D) to the box around the lungs; `lung_box`, (2, 3), and `prepared_size` tell where.

    Where the box is doubtful the scan stays whole, and the log says why. A front that made all but the lungs air has
    its box around what is left.

    Args:
        keys: of the prepared scan.
        front: that prepared it.
        margin_mm: around the lungs.
        multiple: of voxels that the box is widened to, as far as the volume reaches.
        smallest: voxels of the box along each axis at least, likewise.
        spatial_dims: of the network. For slices (2) only those without lungs go: in-plane they stay what they were
            trained on.
        enabled: false leaves every scan whole.
    """

    def __init__(
        self,
        keys: KeysCollection,
        front: Front,
        margin_mm: float,
        multiple: int = 1,
        smallest: Sequence[int] = (1, 1, 1),
        spatial_dims: int = 3,
        enabled: bool = True,
    ) -> None:
        super().__init__(keys)
        self.front = front
        self.margin_mm = margin_mm
        self.multiple = multiple
        self.smallest = smallest
        self.spatial_dims = spatial_dims
        self.enabled = enabled

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        cropped = dict(data)
        for key in self.key_iterator(data) if self.enabled else ():
            grid = self.front.grid(scanner(data, key))
            box = self.box(plain(data[key])[0], grid.spacing_mm, case_of(data, key))
            cropped[SIZE] = torch.tensor(data[key].shape[1:])
            cropped[BOX] = torch.tensor([box.start, box.stop])
            cropped[key] = data[key][(slice(None), *box.slices)].contiguous()
        return cropped

    def box(self, voxels: torch.Tensor, spacing_mm: Sequence[float], name: str) -> Box:
        """Of (H, W, D); `name` is said in the log."""
        find = content_box if self.front.within_lungs else lung_box
        everything = whole(voxels.shape)
        if not self.enabled:
            return everything
        try:
            found = find(voxels, spacing_mm, self.margin_mm)
        except DoubtfulLungsError as doubt:
            logger.warning("%s: the network sees the whole scan, since %s", name, doubt)
            return everything
        if self.spatial_dims == 2:
            return Box((0, 0, found.start[2]), (*everything.stop[:2], found.stop[2]))
        return fitted(found, voxels.shape, [self.multiple] * 3, self.smallest)


class RestoreVolumed(MapTransform):
    """Put logits of a box, (C, h, w, d), back into the whole volume, (C, H, W, D), which is background elsewhere.

    Args:
        keys: of the logits.
        classes: how many of the channels, the first ones, are classes; 0 elsewhere in others, such as disagreement.
    """

    def __init__(self, keys: KeysCollection, classes: int) -> None:
        super().__init__(keys)
        self.classes = classes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        restored = dict(data)
        for key in self.key_iterator(data):
            start, stop = data[BOX].tolist()
            restored[key] = self.restore(data[key], Box(tuple(start), tuple(stop)), data[SIZE].tolist())
        return restored

    def restore(self, logits: torch.Tensor, box: Box, size: Sequence[int]) -> torch.Tensor:
        if list(box.size) == list(size):
            return logits
        volume = torch.zeros(len(logits), *size, dtype=logits.dtype, device=logits.device)
        volume[1 : self.classes] = NEVER
        volume[(slice(None), *box.slices)] = logits
        return volume
