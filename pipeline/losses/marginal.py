"""Losses of partial labels: what a label does not tell apart is one class, of their probabilities' sum.

Sources: Shi et al., "Marginal loss and exclusion loss for partially supervised multi-organ segmentation", Medical Image
Analysis 70, 2021; Fang and Yan, "Multi-organ segmentation over partially labeled datasets with multi-scale feature
abstraction" (PIPO-FAN), IEEE TMI 39(11), 2020, whose target-adaptive loss is the same sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from monai.networks import one_hot
from torch import nn

from pipeline.core.annotation import IGNORED, PLACE, host_classes, shown_classes
from pipeline.core.errors import InputError
from pipeline.core.labels import BACKGROUND, LabelMap
from pipeline.losses.inf_net import InfNetLoss, OneHotCrossEntropy
from pipeline.losses.own_loss import OwnLoss

Outputs = TypeVar("Outputs", torch.Tensor, list[torch.Tensor])
# A logit whose probability is 0 in every number type, and finite: 0 times infinity is none
NOWHERE = -1e4
# They ask each class alone, or never see the classes
WITHOUT_SOFTMAX = (InfNetLoss, OneHotCrossEntropy, OwnLoss)


class MarginalLoss(nn.Module):
    """Another loss, of labels that do not annotate all classes and of voxels that nobody knows.

    By logits: at each voxel the class that takes others in gets the logarithm of the sum of their exponentials, so that
    its probability is their sum, and each of the others one of probability 0 and without a gradient. There are as many
    channels as before, so any loss of a softmax (cross-entropy, Dice, Tversky, focal, with class weights) is that of
    the merged classes: cross-entropy is -log of the sum of what the label allows. Voxels to be ignored are background
    that is predicted faultlessly by constants; they have no gradient, though a mean over voxels counts them.

    A batch whose labels annotate everything is passed on as it is.

    Args:
        loss: of logits (B, C, ...), or a list of such by the heads of a network, each of its own size, and class
            numbers (B, 1, ...).
        label_map: the classes.

    Raises InputError at the first partial label where the loss has no softmax over the classes.
    """

    def __init__(self, loss: nn.Module, label_map: LabelMap) -> None:
        super().__init__()
        self.loss = loss
        self.label_map = label_map
        self.host, self.shown = host_classes(label_map), shown_classes(label_map)

    def forward(self, prediction: Outputs, target: torch.Tensor) -> torch.Tensor:
        if not is_partial(target):
            whole: torch.Tensor = self.loss(prediction, target)
            return whole
        self._check_softmax()
        merged = (
            [self.merged(logits, target) for logits in prediction]
            if isinstance(prediction, list | tuple)
            else self.merged(prediction, target)
        )
        shown = torch.as_tensor(self.shown, device=target.device)[target.long()]
        return self.loss(merged, shown)  # type: ignore[no-any-return]

    def merged(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits (B, C, ...), in four bytes or more, with all merged that targets (B, 1, ...) leave open.

        A target of another size is reduced by the nearest voxel, as `DeepSupervisionLoss` does.
        """
        if logits.shape[2:] != target.shape[2:]:
            target = nn.functional.interpolate(target, size=logits.shape[2:], mode="nearest-exact")
        result = logits.to(torch.promote_types(logits.dtype, torch.float32))
        background = int(self.label_map.class_of_code()[BACKGROUND])
        # A few pairs of a class and what is not told; of those that merge alike, once
        alike: dict[bytes, list[int]] = {}
        for number in target.unique().tolist():
            if number % PLACE == IGNORED:
                known = result.new_full((result.shape[1],), NOWHERE)
                known[background] = 0
                result = torch.where(target == number, known.reshape(-1, *(1,) * (result.ndim - 2)), result)
            elif (self.host[number] != np.arange(len(self.host[number]))).any():
                alike.setdefault(self.host[number].tobytes(), []).append(number)
        for host, numbers in alike.items():
            here = torch.isin(target, torch.tensor(numbers, device=target.device, dtype=target.dtype))
            result = torch.where(here, _counted_as(result, list(host)), result)
        return result

    def _check_softmax(self) -> None:
        for part in self.loss.modules():
            sigmoid = getattr(part, "sigmoid", False) or not getattr(part, "use_softmax", True)
            if isinstance(part, WITHOUT_SOFTMAX) or sigmoid:
                raise InputError(
                    f"{type(part).__name__} has no softmax over the classes, which labels that do not annotate all of "
                    "them, or with voxels to be ignored, need; choose another network or loss, such as "
                    "@dice_cross_entropy, or leave these cases out."
                )


def is_partial(target: torch.Tensor) -> bool:
    """Whether a target tells less than the class of every voxel."""
    return bool((target >= IGNORED).any())


def _counted_as(logits: torch.Tensor, host: Sequence[int]) -> torch.Tensor:
    """Logits (B, C, ...) with each class counted as that of its number in `host`."""
    channels = []
    for number in range(logits.shape[1]):
        members = [other for other, place in enumerate(host) if place == number]
        if not members:
            channels.append(torch.full_like(logits[:, number], NOWHERE))
        elif len(members) == 1:
            channels.append(logits[:, members[0]])
        else:
            channels.append(logits[:, members].logsumexp(1))
    return torch.stack(channels, 1)


def one_hot_pair(
    prediction: torch.Tensor, target: torch.Tensor, label_map: LabelMap
) -> tuple[torch.Tensor, torch.Tensor]:
    """For metrics: the likeliest class of logits (B, C, ...) and that of a target (B, 1, ...), one-hot.

    Predicted classes are counted as what the label allows; what is to be ignored is background in both.
    """
    found, count = prediction.argmax(1, keepdim=True), len(label_map.classes)
    if is_partial(target):
        numbers = target.long()
        host = torch.as_tensor(host_classes(label_map), device=target.device).long()
        shown = torch.as_tensor(shown_classes(label_map), device=target.device).long()
        found = torch.where(numbers % PLACE == IGNORED, shown[numbers], host[numbers, found])
        target = shown[numbers]
    return one_hot(found, count), one_hot(target, count)
