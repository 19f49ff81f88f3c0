"""What each block of a network makes of its input: the mean over the channels of its feature maps.

Figure 4 of the EAMC paper (Pal Das, Mitra, Uma Shankar 2022, arXiv:2212.12264) shows a network this way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

# What a network may have to name its own blocks, names of its submodules
OWN_BLOCKS = "feature_blocks"


def feature_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """Name -> block, of those blocks of a network that make its features.

    They are the submodules that `network.feature_blocks` names. A network without it has its direct children, and in
    place of a ModuleList its members, as far as they have weights: pooling and enlarging alone make no features.
    """
    own = getattr(network, OWN_BLOCKS, None)
    if own is not None:
        return {name: network.get_submodule(name) for name in own}
    return dict(_weighted_children(network))


def _weighted_children(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from _weighted_children(child, f"{prefix}{name}.")
        elif next(child.parameters(), None) is not None:
            yield f"{prefix}{name}", child


class ChannelMean(NamedTuple):
    """Of one feature map of a block: the mean over the channels, (B, 1, h, w[, d]), and the map's (C, h, w[, d])."""

    block: str
    mean: torch.Tensor
    shape: tuple[int, ...]


@contextmanager
def recorded(blocks: Mapping[str, nn.Module]) -> Iterator[list[ChannelMean]]:
    """A list that fills, in the order of the calls, with the maps of the blocks that are called within the context.

    A block that gives several maps has several entries; numbers that are no features, as places of maxima, have none.
    """
    found: list[ChannelMean] = []

    def keep(block: str, module: nn.Module, inputs: Any, output: Any) -> None:
        for features in [output] if isinstance(output, torch.Tensor) else output:
            if isinstance(features, torch.Tensor) and features.is_floating_point() and features.ndim > 3:
                # At once: the next block may change the map in place
                mean = features.float().mean(1, keepdim=True)
                found.append(ChannelMean(block, mean, tuple(features.shape[1:])))

    hooks = [module.register_forward_hook(partial(keep, name)) for name, module in blocks.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


class BlockMaps:
    """A network for an inferer that joins windows: it gives the channel means of its blocks beside the logits.

    Each mean is enlarged to the input's size, nearest, so that the inferer joins it as it joins the logits.

    Args:
        network: whose blocks are those of `feature_blocks`. Where the network does not name them itself, the last one
            that is called makes the logits and is left out.

    Attributes:
        shapes: name of a map -> its (C, h, w[, d]) in the last call, in the order of the calls. A block's second map
            is `<block> map 2`.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.blocks = feature_blocks(network)
        self.shapes: dict[str, tuple[int, ...]] = {}

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with recorded(self.blocks) as found:
            logits = self.network(x)
        if not hasattr(self.network, OWN_BLOCKS) and found:
            found = [each for each in found if each.block != found[-1].block]
        self.shapes = dict(zip(_names(found), (each.shape for each in found), strict=True))
        return (logits, *(F.interpolate(each.mean, size=x.shape[2:], mode="nearest") for each in found))


def _names(found: list[ChannelMean]) -> Iterator[str]:
    counted: dict[str, int] = {}
    for each in found:
        number = counted[each.block] = counted.get(each.block, 0) + 1
        yield each.block if number == 1 else f"{each.block} map {number}"
