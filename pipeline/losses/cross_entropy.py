"""Cross-entropy, and class weights from how often each class occurs."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from pipeline.core.labels import LabelMap


class CrossEntropy(nn.CrossEntropyLoss):
    """torch's cross-entropy for MONAI's shapes: logits (B, C, ...) and class numbers (B, 1, ...), a mean over voxels.

    With class weights the mean is weighted: it is divided by the sum of the weights of all voxels.
    """

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().forward(input, target[:, 0].long())


def class_shares(code_counts: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """Share of each class among all voxels, in [0, 1], from the voxel count of each of the project's codes."""
    counts = np.bincount(label_map.class_of_code(), weights=code_counts, minlength=len(label_map.classes))
    return counts / counts.sum()


def inverse_frequency(code_counts: np.ndarray, label_map: LabelMap) -> torch.Tensor:
    """All voxels over those of the class, float32 (C,); 0 for a class that does not occur.

    Source: the training scripts of Anam-Net (Paluru et al. 2021).
    """
    shares = class_shares(code_counts, label_map)
    weights = np.divide(1, shares, out=np.zeros_like(shares), where=shares > 0)
    return torch.from_numpy(weights).float()


def inverse_log_frequency(code_counts: np.ndarray, label_map: LabelMap, offset: float = 1.10) -> torch.Tensor:
    """1 / ln(offset + share of the class), float32 (C,).

    Source: ENet (Paszke et al. 2016) with 1.02; MiniSeg (Qiu et al. 2021) with 1.10.
    """
    return torch.from_numpy(1 / np.log(offset + class_shares(code_counts, label_map))).float()
