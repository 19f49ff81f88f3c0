"""Batches at several sizes in turn, as Inf-Net and MiniSeg are trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from monai.engines.utils import default_prepare_batch


class MultiScale:
    """A trainer's `prepare_batch`, and a handler of it: step n has its batch resized by the n-th of the rates, in turn.

    The papers show a batch at every size one after the other; here each batch is drawn anew, which is the same number
    of steps at each size. The step's number decides, so that a resumed training goes on alike.

    Args:
        rates: factors of the size; (1.0,) leaves every batch as it is.
        multiple: sizes are rounded to a multiple of this many pixels.
        prepare_batch: gives image and label of a batch.
    """

    def __init__(
        self,
        rates: Sequence[float] = (1.0,),
        multiple: int = 32,
        prepare_batch: Callable[..., Any] = default_prepare_batch,
    ) -> None:
        self.rates = tuple(rates)
        self.multiple = multiple
        self.prepare_batch = prepare_batch
        self.step = 0

    def attach(self, engine: Engine) -> None:
        def follow(engine: Engine) -> None:
            self.step = engine.state.iteration - 1

        engine.add_event_handler(Events.ITERATION_STARTED, follow)

    def __call__(self, batch: dict[str, Any], *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        image, label = self.prepare_batch(batch, *args, **kwargs)
        rate = self.rates[self.step % len(self.rates)]
        if rate == 1:
            return image, label
        size = [max(1, round(length * rate / self.multiple)) * self.multiple for length in image.shape[2:]]
        mode = "bilinear" if image.ndim == 4 else "trilinear"
        resized = F.interpolate(image, size=size, mode=mode, align_corners=True)
        # Nearest: a class number between two others would be a third class
        return resized, F.interpolate(label.float(), size=size, mode="nearest-exact").to(label.dtype)
