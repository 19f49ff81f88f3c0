"""Logits become probabilities where they are, without a second volume of all classes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import MapTransform


class SoftmaxInPlaced(MapTransform):
    """What MONAI's `Activationsd(softmax=True)` does, plane by plane in the logits' own memory, which they lose.

    Of a 2D network at the scanner's 512 x 512 x 300 voxels, four classes have 1.2 GiB; beside it stands one plane.

    Args:
        keys: of the logits, floating point (C, H, W, D) in any memory layout.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        for key in self.key_iterator(dict(data)):
            logits: torch.Tensor = data[key]
            # Along the axis whose planes lie together
            axis = max(range(1, logits.ndim), key=logits.stride)
            # Whoever computed them in this mode may have left it
            with torch.inference_mode():
                for plane in logits.unbind(axis):
                    plane.copy_(plane.softmax(0))
        return dict(data)
