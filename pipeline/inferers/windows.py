"""Sliding windows and whole volumes whose borders go on mirrored, where MONAI's pad them with a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer


class MirroredWindows(SlidingWindowInferer):
    """Sliding windows; a volume that is smaller than one goes on mirrored at its borders, as often as it takes.

    A chest that is cut off goes on, and networks that were trained on whole ones find nothing in a slab between air: of
    42 mm of a real scan a U-Net had a Dice of the lungs of 0 with air above and below, and of .67 to .80 mirrored.
    """

    # MONAI's may also be one number for all axes
    roi_size: Sequence[int]

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        padded, inside = mirrored(inputs, self.roi_size)
        outputs = super().__call__(padded, network, *args, **kwargs)
        return outputs[inside] if isinstance(outputs, torch.Tensor) else [output[inside] for output in outputs]


def mirrored(volume: torch.Tensor, size: Sequence[int]) -> tuple[torch.Tensor, tuple[Any, ...]]:
    """A volume (..., H, W, D) mirrored at both its borders to a size at least, and where in the result it lies."""
    inside = []
    for axis, least in enumerate(size, -len(size)):
        length = volume.shape[axis]
        before = max(0, least - length) // 2
        if length < least:
            index = np.pad(np.arange(length), (before, least - length - before), mode="symmetric")
            volume = volume.index_select(axis, torch.from_numpy(index).to(volume.device))
        inside.append(slice(before, before + length))
    return volume, (..., *inside)


class MirroredPieces(MirroredWindows):
    """A whole volume in one pass, or in as few, and then as short, pieces along its last axis as a limit allows.

    Args:
        voxels: of a piece at most, the limit; `multiple` slices are taken even where they have more.
        multiple: of voxels that a piece has, mirrored where the volume ends.
        smallest: voxels of a piece along each axis at least, mirrored where the volume has fewer, as in windows of that
            size: networks fail on less than they were trained on (a slab of 9 slices gave no lung at all).
        overlap: share of a piece that the next one repeats.
    """

    # MONAI's may also be several, one an axis
    overlap: float

    def __init__(
        self, voxels: int, multiple: int = 16, smallest: Sequence[int] = (1, 1, 1), overlap: float = 0.25
    ) -> None:
        super().__init__(roi_size=(multiple, multiple, multiple), sw_batch_size=1, overlap=overlap)
        self.voxels = voxels
        self.multiple = multiple
        self.smallest = tuple(smallest)

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        wanted = map(max, inputs.shape[2:], self.smallest)
        height, width, depth = (-(-length // self.multiple) * self.multiple for length in wanted)
        allowed = self.voxels // (height * width) // self.multiple * self.multiple
        self.roi_size = (height, width, self._piece(inputs.shape[4], max(self.multiple, min(depth, allowed))))
        return super().__call__(inputs, network, *args, **kwargs)

    def _piece(self, slices: int, most: int) -> int:
        """The least length of pieces that are no more than they would be with the most that they may have.

        Two of `most` could mostly repeat each other: 288 slices for 176, where 224 do.
        """

        def pieces(length: int) -> int:
            # As MONAI lays windows
            return -(-max(0, slices - length) // int(length * (1 - self.overlap))) + 1

        least = min(most, -(-self.smallest[2] // self.multiple) * self.multiple)
        return next(length for length in range(least, most + 1, self.multiple) if pieces(length) == pieces(most))
