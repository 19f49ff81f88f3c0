"""Mask R-CNN on ResNet-50 with a feature pyramid, as a baseline: torchvision's, in the shape of the other networks.

Paper: He et al., "Mask R-CNN", ICCV 2017 (arXiv:1703.06870). The paper of SmallCovid-Net compares itself with a Keras
implementation and names neither backbone nor parameters. Here it is torchvision's `maskrcnn_resnet50_fpn`, at random
weights: 43,986,279 parameters for four classes, 43,975,515 for two. Verified where torchvision can be loaded: both
counts, a training step, and that slices keep their size; elsewhere the rest, on a stand-in for the detector.
How classes become instances and detections classes again: pipeline/networks/instances.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.core.errors import InputError
from pipeline.networks.instances import SCORE_THRESHOLD, class_probabilities, instances
from pipeline.networks.weights_loaded import KnowsItsWeights

CHANNELS = 3  # that the detector takes
# Of probabilities before the logarithm: a class without a detection has 0
LEAST = 1e-6


class MaskRCNN(KnowsItsWeights):
    """Mask R-CNN: (B, 1, H, W) to logits (B, out_channels, H, W); in training, with the label, to its loss.

    The softmax of the logits is highest where `class_probabilities` of the detections is.

    Args:
        in_channels: 1, which the detector sees three times, or 3.
        out_channels: classes, the background one of them.
        score_threshold: of a detection that counts.
        detector: to be used in place of torchvision's; takes a list of images, in training one of targets too, and
            returns what those of torchvision do.

    Raises:
        InputError: where there is no torchvision that can be loaded.
        ValueError: for other channels, and in training without the label.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        score_threshold: float = SCORE_THRESHOLD,
        detector: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if in_channels not in (1, CHANNELS):
            raise ValueError(f"in_channels is {in_channels}, expected 1 or {CHANNELS}")
        self.repeats = CHANNELS // in_channels
        self.out_channels = out_channels
        self.score_threshold = score_threshold
        self.detector = torchvision_detector(out_channels) if detector is None else detector

    def forward(self, x: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        """Logits of x; in training the sum of the detector's losses for the class numbers (B, 1, H, W)."""
        images = list(x.repeat(1, self.repeats, 1, 1))
        keep_size(self.detector, x.shape[2], x.shape[3])
        if not self.training:
            return torch.stack([self.logits(found) for found in self.detector(images)])
        if label is None:
            raise ValueError("a detector needs the label in training: call it as network(image, label)")
        losses = self.detector(images, [target(numbers) for numbers in label[:, 0]])
        return torch.stack(list(losses.values())).sum()

    def logits(self, found: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logarithms of the class probabilities (out_channels, H, W) of one image's detections."""
        classes = found["labels"].cpu().numpy()
        # NumPy has no bfloat16
        scores, masks = (found[name].detach().float().cpu().numpy() for name in ("scores", "masks"))
        probabilities = class_probabilities(classes, scores, masks[:, 0], self.out_channels, self.score_threshold)
        return torch.from_numpy(probabilities).to(found["scores"].device).clamp(min=LEAST).log()


def torchvision_detector(class_count: int) -> nn.Module:
    """torchvision's Mask R-CNN at random weights, for images that are normalised already."""
    try:
        from torchvision.models.detection import maskrcnn_resnet50_fpn
    except (ImportError, RuntimeError) as error:  # RuntimeError where it was built for another torch
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"mask_rcnn needs torchvision, which cannot be loaded here ({reason}); on a machine with CUDA, install the "
            "one that fits the installed torch: pip install .[detection]"
        ) from error
    return maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=class_count,
        image_mean=[0.0] * CHANNELS,
        image_std=[1.0] * CHANNELS,
    )


def keep_size(detector: nn.Module, height: int, width: int) -> None:
    """Make torchvision's transform scale images of this size by 1; by default it enlarges their short side to 800."""
    transform: Any = detector.transform
    transform.min_size, transform.max_size = (min(height, width),), max(height, width)


def target(numbers: torch.Tensor) -> dict[str, torch.Tensor]:
    """What torchvision's detectors learn from, of the class numbers (H, W) of a slice."""
    found = instances(numbers.cpu().numpy())
    arrays = {"boxes": found.boxes, "labels": found.classes, "masks": found.masks.astype(np.uint8)}
    return {name: torch.from_numpy(array).to(numbers.device) for name, array in arrays.items()}
