"""Keeping every gradient within bounds."""

from __future__ import annotations

import torch
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents


class ClipGradients:
    """Handler for a trainer: before each optimiser step, every element of every gradient is clipped to +-`limit`."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def attach(self, engine: SupervisedTrainer) -> None:
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self.clip)

    def clip(self, engine: SupervisedTrainer) -> None:
        if engine.amp and engine.scaler is not None:
            # Until now they are multiplied by the scale that keeps float16 from underflowing
            engine.scaler.unscale_(engine.optimizer)
        torch.nn.utils.clip_grad_value_(engine.network.parameters(), self.limit)
