"""Whether a network was given weights: one that was not segments too, at random, and nothing in its output says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


class KnowsItsWeights(nn.Module):
    """Base of every network: `weights_loaded` tells whether `load_state_dict` gave it all of its weights.

    Asked where networks are used without being trained, in `pipeline.inferers.trained`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Of the instance, not the class, for TorchScript to keep it
        self.weights_loaded = False

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        told = super().load_state_dict(state_dict, strict, assign)
        # Programs load what fits and pass over the rest
        self.weights_loaded = not told.missing_keys
        return told
