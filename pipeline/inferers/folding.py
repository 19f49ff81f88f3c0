"""Batch norms computed into the convolutions before them, for inference.

In inference a batch norm is a * x + b a channel. After a convolution that is another convolution. After a convolution
and a ReLU (the order of the MIScnn U-Net) it is one too, whose output is cut off at b instead of at 0:
a * max(x, 0) + b = max(a * x + b, b) where a is positive, and min(a * x + b, b) where it is not. Nothing moves into the
next convolution, so its zero padding sees what it saw before and borders stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)
# What does nothing in inference
ABSENT = (nn.Dropout, nn.Dropout2d, nn.Dropout3d, nn.Identity)


class CutOff(nn.Module):
    """Each channel at least `floor`, and at most `ceiling`, as what a ReLU and a batch norm leave; works in place.

    Args:
        floor, ceiling: (C,); -inf and inf where there is none.
        spatial_dims: of the input, (B, C, ...).
    """

    floor: torch.Tensor
    ceiling: torch.Tensor | None

    def __init__(self, floor: torch.Tensor, ceiling: torch.Tensor, spatial_dims: int) -> None:
        super().__init__()
        shape = (1, -1, *[1] * spatial_dims)
        self.register_buffer("floor", floor.reshape(shape))
        # A trained batch norm rarely has a negative factor, and a floor alone takes half the time
        self.register_buffer("ceiling", None if torch.isinf(ceiling).all() else ceiling.reshape(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Limits of another precision would change that of the result
        x = x.clamp_min_(self.floor.to(x.dtype))
        return x if self.ceiling is None else x.clamp_max_(self.ceiling.to(x.dtype))


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """The network itself, ready for inference alone, with what can be folded folded: outputs equal to rounding.

    That is where a `torch.nn.Sequential`, at any depth, has a convolution and a batch norm with nothing or a ReLU
    between them. Batch norms elsewhere stay, as do those of modules that stand in two places or have hooks.
    """
    network.eval()
    places = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    plain = [module for module in network.modules() if _is_plain(module)]
    within = {id(child) for module in plain for child in module.children()}
    for module in plain:
        # The outermost ones go through those within them
        if id(module) not in within:
            _fold_sequence(list(_slots(module)), places)
    return network


def _is_plain(module: nn.Module) -> bool:
    """Whether it calls its children one after the other and does nothing else."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward and not _hooked(module)


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _slots(sequence: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """The places of a sequence's modules in the order of their calls: what holds each, and its name there."""
    for name, child in sequence.named_children():
        if _is_plain(child):
            yield from _slots(child)
        elif not isinstance(child, ABSENT):
            yield sequence, name


def _fold_sequence(slots: Sequence[tuple[nn.Module, str]], places: Counter[int]) -> None:
    modules = [getattr(parent, name) for parent, name in slots]
    for first, convolution in enumerate(modules):
        between = modules[first + 1 : first + 2]
        with_relu = len(between) == 1 and type(between[0]) is nn.ReLU
        last = first + (2 if with_relu else 1)
        if last >= len(modules):
            break
        group = [convolution, *modules[first + 1 : last + 1]]
        if not _folds(convolution, modules[last]) or any(places[id(m)] > 1 or _hooked(m) for m in group):
            continue
        factor, shift = _fold(convolution, modules[last])
        setattr(*slots[last], nn.Identity())
        if with_relu:
            unlimited = torch.full_like(shift, float("inf"))
            floor, ceiling = torch.where(factor > 0, shift, -unlimited), torch.where(factor > 0, unlimited, shift)
            setattr(*slots[first + 1], CutOff(floor, ceiling, convolution.weight.ndim - 2))


def _folds(convolution: Any, norm: Any) -> bool:
    if type(convolution) not in CONVOLUTIONS or type(norm) not in BATCH_NORMS or norm.running_mean is None:
        return False
    # Groups of a transposed convolution share rows of its weights
    return not (isinstance(convolution, TRANSPOSED) and convolution.groups > 1)


@torch.no_grad()
def _fold(convolution: Any, norm: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Fold in place; factor and shift of the batch norm, (C,), computed in float64 on the CPU: Apple's GPU has none."""
    variance, mean = _double(norm.running_var), _double(norm.running_mean)
    ones = torch.ones_like(mean)
    factor = (ones if norm.weight is None else _double(norm.weight)) / torch.sqrt(variance + norm.eps)
    shift = (0 * ones if norm.bias is None else _double(norm.bias)) - mean * factor
    channel = 1 if isinstance(convolution, TRANSPOSED) else 0
    shape = [-1 if axis == channel else 1 for axis in range(convolution.weight.ndim)]
    convolution.weight.copy_(_double(convolution.weight) * factor.reshape(shape))
    bias = 0 * ones if convolution.bias is None else _double(convolution.bias)
    convolution.bias = nn.Parameter((bias * factor + shift).to(convolution.weight), requires_grad=False)
    return factor.to(convolution.weight), shift.to(convolution.weight)


def _double(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.detach().cpu().double()
