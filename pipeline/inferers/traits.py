"""What a network makes of a scan, taken while it runs: see `pipeline.core.scan_traits`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from torch import nn

from pipeline.core.scan_traits import QUANTILES, Traits

# Of an ensemble's networks
MEMBERS = "members"


class KeepsTraits(Inferer):
    """Run a network by another inferer, and keep the traits of the scan that it was given.

    The deepest layer is the last one called whose map has the fewest positions, more than one: what global pooling
    leaves is no place of a scan. Hooks are there only while the network runs, so that what folds or compiles it before
    or after sees none.

    Args:
        inferer: what calls the network, window by window or slice by slice.
        classes: of the network's answer, background first; an ensemble answers with more.

    Attributes:
        traits: of the last scan, for each network: one, or each member of an ensemble. Empty where the network has no
            such layer, as a plain function or one that OpenVINO computes, or a member was not asked.
    """

    def __init__(self, inferer: Inferer, classes: int) -> None:
        self.inferer = inferer
        self.classes = classes
        self.traits: list[Traits] = []

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        self.traits = []
        if not isinstance(network, nn.Module):
            return self.inferer(inputs, network, *args, **kwargs)
        members = getattr(network, MEMBERS, None)
        deepest = [_Deepest(member) for member in (members if isinstance(members, nn.ModuleList) else [network])]
        with _watching(deepest):
            outputs = self.inferer(inputs, network, *args, **kwargs)
        if all(each.windows for each in deepest):
            logits = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
            levels = levels_of(inputs[0, 0], logits[0, : self.classes])
            self.traits = [Traits.of((each.total / each.windows).tolist(), levels) for each in deepest]
        return outputs


def levels_of(scan: torch.Tensor, logits: torch.Tensor) -> list[float]:
    """QUANTILES of a scan (...) where logits (C, ...) say anything but the first class; empty if nowhere."""
    found = scan[logits.argmax(0) > 0].float().cpu().numpy()
    return np.quantile(found, QUANTILES).tolist() if found.size else []


class _Deepest:
    """The deepest map of one network, window after window."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.total: torch.Tensor = torch.zeros(())
        self.windows = 0
        # Positions of the smallest map of any window so far, and what this window has of it
        self.positions = 0
        self._map: torch.Tensor | None = None

    def hooks(self) -> Iterator[Any]:
        for name, module in self.network.named_modules():
            if name:
                yield module.register_forward_hook(self._seen)
        yield self.network.register_forward_hook(self._window_over)

    def _seen(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, torch.Tensor) or not output.is_floating_point() or output.ndim < 4:
            return
        positions = output[0, 0].numel()
        if 1 < positions <= (self.positions or positions):
            self.positions = positions
            self._map = output

    def _window_over(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._map is None:
            return
        over = tuple(range(2, self._map.ndim))
        means = self._map.float().mean(over)
        self.total = means.sum(0) + (self.total if self.windows else torch.zeros_like(means[0]))
        self.windows += len(means)
        self._map = None


@contextmanager
def _watching(deepest: Sequence[_Deepest]) -> Iterator[None]:
    handles = [handle for each in deepest for handle in each.hooks()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
