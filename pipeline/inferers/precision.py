"""The fastest precision that a machine computes natively, and what it allows of a trained network."""

from __future__ import annotations

from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer

from pipeline.core.machine import computes_bfloat16
from pipeline.inferers.folding import fold_batch_norms


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
        # What a MetaTensor knows would be asked for in every operation
        inputs = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
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
