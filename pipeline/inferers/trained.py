"""What keeps a network without weights from segmenting."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer

from pipeline.core.errors import InputError


class OfTrained(Inferer):
    """Run a network that has its weights; raise InputError for one that knows that it has none.

    See `pipeline.networks.weights_loaded`; what does not know, as a function or TorchScript, runs.

    Args:
        inferer: what calls the network.
    """

    def __init__(self, inferer: Inferer) -> None:
        self.inferer = inferer

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        if not getattr(network, "weights_loaded", True):
            raise InputError(
                f"this {type(network).__name__} has no weights, or not all of its own, and would segment at random; "
                "load the model.pt that was trained with this configuration."
            )
        return self.inferer(inputs, network, *args, **kwargs)
