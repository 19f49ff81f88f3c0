"""Nested regions for every network: infection is a part of the lungs, whatever the network says.

A softmax over background, lungs and infection lets infection be anywhere. Here a network's logits are read as two
questions: which lung a voxel is in, if any (softmax over background and the lungs, infected or not), and whether lung
is infected (sigmoid; where kinds of infection are told apart, softmax over healthy and the kinds). The answer is given
as logits again, log-probabilities of the same classes: losses, ensembles, thresholds and exports stay as they are.

The scheme is the region-based training of brain tumours (Isensee et al., "nnU-Net for Brain Tumor Segmentation",
BrainLes 2020), where sigmoids of nested regions are independent and may contradict each other; as conditional
probabilities they cannot.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap
from pipeline.networks.weights_loaded import KnowsItsWeights


class NestedRegions(KnowsItsWeights):
    """A network whose infection lies within its lungs: (B, C, ...) logits of a LabelMap's classes, float32.

    The probability of infection is never larger than that of lung, and the classes' probabilities add up to 1. In
    training the outputs of auxiliary heads, a list, are nested one by one.

    Args:
        network: gives logits (B, C, ...), or a list of such, of the classes of `classes`.
        classes: has a background, one or two lungs, and infection.

    Raises InputError for a label map without lungs or without infection.
    """

    def __init__(self, network: nn.Module, classes: LabelMap) -> None:
        super().__init__()
        self.network = network
        self.infection = classes.infection_classes
        self.lungs = classes.healthy_lung_classes
        if not self.lungs or not self.infection:
            raise InputError(
                f"regions is true, but the classes {', '.join(classes.classes)} have no lungs with infection in them; "
                "take label_map lungs_infection, or leave regions at false."
            )
        self.feature_blocks = getattr(network, "feature_blocks", None)
        # What the two questions are asked of, and where the answers stand among the classes
        order = [0, *self.lungs, *self.infection]
        self.outside_and_lungs = order[: 1 + len(self.lungs)]
        self.places = [order.index(number) for number in range(len(order))]

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        out = self.network(x)
        if isinstance(out, torch.Tensor):
            return self.nested(out)
        return [self.nested(each) for each in out]

    def nested(self, logits: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the classes, float32, from a network's logits (B, C, ...)."""
        where = F.log_softmax(chosen(logits, self.outside_and_lungs).float(), 1)
        kinds = chosen(logits, self.infection).float()
        # Healthy has the logit 0
        state = F.log_softmax(torch.cat([torch.zeros_like(kinds[:, :1]), kinds], 1), 1)
        within = torch.logsumexp(where[:, 1:], 1, keepdim=True)
        parts = [where[:, :1], where[:, 1:] + state[:, :1], within + state[:, 1:]]
        return chosen(torch.cat(parts, 1), self.places)


def chosen(channels: torch.Tensor, numbers: list[int]) -> torch.Tensor:
    """Some channels of (B, C, ...), in that order."""
    return channels.index_select(1, torch.tensor(numbers, device=channels.device))


def check_regions(network: nn.Module, regions: bool) -> None:
    """Raise InputError where regions are asked for and the network of a configuration is not within `NestedRegions`."""
    if regions and not isinstance(network, NestedRegions):
        raise InputError(
            "regions is true, but network_def is not within NestedRegions; `make cv` writes it so, and by hand it is "
            "{'_target_': 'pneumobundle.pipeline.networks.nested_regions.NestedRegions', 'network': {...}, 'classes': "
            "'@classes'}."
        )
