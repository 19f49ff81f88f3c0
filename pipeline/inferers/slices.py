"""2D networks over a volume: axial slices, or tiles of them, with honest padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SliceInferer


class AirPaddedSlices(Inferer):
    """Whole axial slices, padded with the volume's minimum to a size that a 2D network takes, and cropped back.

    MONAI's `SliceInferer` weighs and adds windows up, which whole slices do not need, and writes a class of a slice to
    addresses that lie a volume's depth apart: 14 ms a slice of 512 x 512 pixels, where ENet computes for 22. Here the
    slices stay one behind the other, and the result is a view of them.

    Args:
        multiple: of pixels that both sides of a slice are padded to.
        slices_at_once: that the network gets as one batch.
        smallest: pixels of both sides at least, those of the training: a network that has only seen slices framed by
            air may find nothing in one that is not (SegNet on a cropped field of view).
    """

    def __init__(self, multiple: int = 32, slices_at_once: int = 2, smallest: Sequence[int] = (1, 1)) -> None:
        self.multiple = multiple
        self.slices_at_once = slices_at_once
        self.smallest = tuple(smallest)

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        """Logits (batch, classes, height, width, slices) of inputs (batch, channels, height, width, slices), or a list
        of such where the network gives several of its input's size.
        """
        volume = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        minimum = float(volume.min())
        slices = volume.movedim(-1, 1).flatten(0, 1)
        joined: list[torch.Tensor] = []
        for first in range(0, len(slices), self.slices_at_once):
            batch = slices[first : first + self.slices_at_once]
            padded, inside = self._padded(batch, minimum)
            outputs = network(padded, *args, **kwargs)
            several = not isinstance(outputs, torch.Tensor)
            parts = [output[inside] for output in (outputs if several else [outputs])]
            if not joined:
                joined = [volume.new_empty((len(slices), *part.shape[1:])) for part in parts]
            for whole, part in zip(joined, parts, strict=True):
                whole[first : first + len(batch)] = part
        volumes = [_like(whole.unflatten(0, (len(volume), -1)).movedim(1, -1), inputs) for whole in joined]
        return volumes if several else volumes[0]

    def _padded(self, slices: torch.Tensor, value: float) -> tuple[torch.Tensor, tuple[Any, ...]]:
        """Slices (batch, channels, height, width) with the same air on both sides, and where they lie in them."""
        lengths = slices.shape[2:]
        wanted = [-(-length // self.multiple) * self.multiple for length in map(max, lengths, self.smallest)]
        before = [(size - length) // 2 for size, length in zip(wanted, lengths, strict=True)]
        after = [size - length - low for size, length, low in zip(wanted, lengths, before, strict=True)]
        inside = [slice(low, low + length) for low, length in zip(before, lengths, strict=True)]
        padding = (before[1], after[1], before[0], after[0])
        return torch.nn.functional.pad(slices, padding, value=value), (..., *inside)


def _like(volume: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """With the inputs' affine and history, where they have some."""
    if not isinstance(inputs, MetaTensor):
        return volume
    return MetaTensor(volume).copy_meta_from(inputs, copy_attr=False)  # type: ignore[no-any-return]


class AirPaddedTiles(SliceInferer):
    """Axial slices tile by tile, none overlapping another, put together again (section 5.1 of the EAMC paper).

    Where a tile's size does not divide a slice, the last tiles reach back over those before them, and what both say is
    averaged. A slice that is smaller than a tile is padded with the volume's minimum, and cropped back.

    Args:
        size: of a tile, pixels.
        tiles_at_once: that the network gets as one batch; of one slice or of several.
    """

    def __init__(self, size: Sequence[int] = (128, 128), tiles_at_once: int = 16) -> None:
        super().__init__(roi_size=tuple(size), spatial_dim=2, sw_batch_size=tiles_at_once, overlap=0.0)

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        self.cval = float(inputs.min())
        return super().__call__(inputs, network, *args, **kwargs)
