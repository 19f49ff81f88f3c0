"""The focal Tversky loss, which gives small structures that are found badly more weight."""

from __future__ import annotations

import torch
from monai.losses import TverskyLoss
from torch import nn

# Below it the loss is constant: the slope of a root grows without limit towards 0, and rounding may go below
SMALLEST = 1e-6


class FocalTverskyLoss(nn.Module):
    """TL ** (1 / gamma), of the Tversky loss TL of each class but the background; mean over the classes.

    TL = 1 - (TP + smooth) / (TP + alpha * FN + beta * FP + smooth), each a sum of probabilities over the whole batch.
    Logits are (B, C, ...), class numbers (B, 1, ...).

    Source: Abraham and Khan, "A novel focal Tversky loss function", ISBI 2019. Pal Das et al. 2022 (arXiv:2212.12264)
    print (1 - TL) ** (1 / gamma), with a TL that is already 1 minus the index: that would fall as the errors grow.
    (Likewise their IoU loss has the product of label and prediction added in its denominator, where the union
    subtracts it.) They name no alpha and beta; these are those of the source.

    Args:
        alpha: weight of false negatives, MONAI's `beta`.
        beta: weight of false positives, MONAI's `alpha`.
        gamma: above 1, well-found classes matter less.
        smooth: added above and below, so that an empty class that is found empty costs nothing.
    """

    def __init__(self, alpha: float = 0.7, beta: float = 0.3, gamma: float = 2.0, smooth: float = 1.0) -> None:
        super().__init__()
        self.exponent = 1 / gamma
        self.tversky = TverskyLoss(
            include_background=False,
            to_onehot_y=True,
            softmax=True,
            alpha=beta,
            beta=alpha,
            smooth_nr=smooth,
            smooth_dr=smooth,
            batch=True,
            reduction="none",
        )

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.tversky(input, target).clamp(min=SMALLEST).pow(self.exponent).mean()
