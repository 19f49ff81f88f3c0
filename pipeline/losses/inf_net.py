"""Inf-Net's loss: weighted cross-entropy and weighted IoU of every map, and cross-entropy of the edge.

Source: Fan et al., "Inf-Net", IEEE TMI 39(8), 2020, equations 3 to 5. The published code averages the cross-entropy
before weighting it, so that its weights do nothing; here the formula is computed. The paper's task is binary; here each
class is a binary task of its own, as in its second stage.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

# Of the neighbourhood in which a pixel's weight grows, in pixels; the paper's
WINDOW = 31
EDGE_WEIGHT = 5.0


class InfNetLoss(nn.Module):
    """Sum over the maps (B, C, H, W) of weighted cross-entropy and weighted IoU, and cross-entropy of the edge logits.

    In training the prediction is the list that `InfNet` returns, the edge last; in validation one map. The target holds
    class numbers, (B, 1, H, W).
    """

    def forward(self, prediction: torch.Tensor | list[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        if isinstance(prediction, torch.Tensor):
            masks = one_hot(target, prediction.shape[1])
            return structure_loss(prediction, masks, border_weight(masks))
        *maps, edge = prediction
        masks = one_hot(target, maps[0].shape[1])
        weight = border_weight(masks)
        total = F.binary_cross_entropy_with_logits(edge, edges(target))
        for logits in maps:
            total = total + structure_loss(logits, masks, weight)
        return total


class OneHotCrossEntropy(nn.Module):
    """Binary cross-entropy of each class, a mean over all: logits (B, C, H, W), class numbers (B, 1, H, W).

    Source: the published training of the second stage. Its one-hot masks are shifted by a channel; these are not.
    """

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(prediction, one_hot(target, prediction.shape[1]))


def one_hot(target: torch.Tensor, channels: int) -> torch.Tensor:
    """Float masks (B, channels, H, W) of the class numbers (B, 1, H, W); with one channel, that of all but 0."""
    if channels == 1:
        return (target > 0).float()
    return F.one_hot(target[:, 0].long(), channels).movedim(-1, 1).float()


def border_weight(masks: torch.Tensor) -> torch.Tensor:
    """1, and up to 6 where a pixel's neighbourhood is unlike it: at borders and in thin structures."""
    # A mean over a square is the mean over rows of the means over columns, at a fifteenth of the work
    columns = F.avg_pool2d(masks, (WINDOW, 1), stride=1, padding=(WINDOW // 2, 0))
    surrounding = F.avg_pool2d(columns, (1, WINDOW), stride=1, padding=(0, WINDOW // 2))
    return 1 + EDGE_WEIGHT * (surrounding - masks).abs()


def structure_loss(logits: torch.Tensor, masks: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted binary cross-entropy, mean over images and classes, and weighted IoU loss; all are (B, C, H, W).

    The IoU loss is a mean over the classes that an image holds: in the paper every slice holds infection, while in a
    volume most do not, and there it would be close to 1 for any probability of it that is not tiny.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    weighted_entropy = (weight * entropy).sum((2, 3)) / weight.sum((2, 3))
    probability = logits.sigmoid()
    common = (weight * probability * masks).sum((2, 3))
    both = (weight * (probability + masks)).sum((2, 3))
    weighted_iou = 1 - (common + 1) / (both - common + 1)
    held = masks.amax((2, 3))
    return weighted_entropy.mean() + (weighted_iou * held).sum() / held.sum().clamp(min=1)


def edges(target: torch.Tensor) -> torch.Tensor:
    """1 where the 3 x 3 neighbourhood of a pixel holds more than one class; float (B, 1, H, W).

    The paper takes Canny's edges of the mask, which for a mask are its border too.
    """
    classes = target.float()
    return (F.max_pool2d(classes, 3, 1, 1) + F.max_pool2d(-classes, 3, 1, 1) > 0).float()
