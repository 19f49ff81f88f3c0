"""Inferers that add the machine's best precision and honest padding to MONAI's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SliceInferer, SlidingWindowInferer

from pipeline.core.machine import computes_bfloat16
from pipeline.inferers.folding import fold_batch_norms

# float32 numbers in the widest register, AVX-512's
REGISTER_CHANNELS = 16


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


class MixedPrecision(Inferer):
    """Run a network in the fastest precision that its device computes natively, and return float32.

    On a CPU with bfloat16 instructions a forward pass takes about a third of the time of float32. On a GPU this does
    nothing: there the trainer's and the evaluator's `amp` does it.

    Args:
        inferer: what calls the network.
        enabled: false computes in float32 everywhere.
    """

    def __init__(self, inferer: Inferer, enabled: bool = True) -> None:
        self.inferer = inferer
        self.enabled = enabled and computes_bfloat16()

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        use = self.enabled and inputs.device.type == "cpu"
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=use):
            outputs = self.inferer(inputs, network, *args, **kwargs)
        # Networks with auxiliary outputs give a list while they are trained
        return outputs.float() if isinstance(outputs, torch.Tensor) else [output.float() for output in outputs]


class FoldedBatchNorms(Inferer):
    """Fold a network's batch norms before its first use; the network stays so, and is good for inference alone.

    Args:
        inferer: what calls the network.
        enabled: false changes nothing.
    """

    def __init__(self, inferer: Inferer, enabled: bool = True) -> None:
        self.inferer = inferer
        self.enabled = enabled

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        # Here, since only now all weights are surely loaded; folding what is folded does nothing. A plain function that
        # calls a network, as `pipeline.inference.features` has it, is no module
        if self.enabled and isinstance(network, torch.nn.Module):
            network = fold_batch_norms(network)
        return self.inferer(inputs, network, *args, **kwargs)


def channels_last(network: torch.nn.Module, spatial_dims: int) -> torch.nn.Module:
    """The network with its weights in the memory layout that convolutions are fastest in; values do not change.

    Networks with layers that torch 2.13 gets wrong in this layout on a CPU stay as they are, all of them, since the
    layout of its input is a layer's too: see `is_dilated_depthwise` and `is_strided_pointwise`. Whatever the
    processor, so that results do not depend on it.
    """
    if any(is_dilated_depthwise(module) or is_strided_pointwise(module) for module in network.modules()):
        return network
    layout = torch.channels_last_3d if spatial_dims == 3 else torch.channels_last
    return network.to(memory_format=layout)  # type: ignore[call-overload]


def is_dilated_depthwise(module: torch.nn.Module) -> bool:
    """Whether torch writes beyond the gradient of its weights in bfloat16 (values of 1e33, crashes).

    In the other layout these are as fast.
    """
    if not isinstance(module, (torch.nn.Conv2d, torch.nn.Conv3d)):
        return False
    return module.groups > 1 and module.groups == module.in_channels and max(module.dilation) > 1


def is_strided_pointwise(module: torch.nn.Module) -> bool:
    """Whether its training may damage memory (crashes): oneDNN 3.12 on a processor with AVX2 alone, measured.

    It is the gradient of the weights of 2D convolutions without groups, from fewer than 8 channels, in float32, where
    the stride divides both sides: 202 of 9,591 tried, all of them such; none from 8 channels or more, in 3D or with
    groups, which are kept out all the same. Taken for the cause: oneDNN copies the inputs of a 1x1 convolution with a
    stride next to one another, in steps of as many channels as its registers hold, 8 with AVX2 and 16 with AVX-512,
    into a place for those that there are (uxlfoundation/oneDNN#6035).
    """
    if not isinstance(module, (torch.nn.Conv2d, torch.nn.Conv3d)):
        return False
    few = module.in_channels // module.groups < REGISTER_CHANNELS
    return few and max(module.kernel_size) == 1 and max(module.stride) > 1
