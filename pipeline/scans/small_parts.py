"""Small parts beside the lungs, such as air in the table or in the stomach, that a network took for lung."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

# Voxels that share a corner hang together: with 6 mm between slices an oblique border is a staircase of corners
TOUCHING = np.ones((3, 3, 3), dtype=bool)


def without_small_parts(probabilities: torch.Tensor, least_share: float) -> torch.Tensor:
    """Probabilities in which all that is found apart from the lungs is background.

    What is found are the voxels whose likeliest class is not the background. Of its connected parts those count that
    have at least `least_share` of the largest one's voxels: two lungs of any sizes, and none of what is far smaller.
    MONAI's `KeepLargestConnectedComponent` needs their number, and `RemoveSmallObjects` a volume, which is wrong where
    the voxels' size is.

    Args:
        probabilities: (C, H, W, D), the background first. They stay as they are.
        least_share: in [0, 1]; 0 keeps all.

    Returns:
        The same object where nothing is removed.
    """
    if not least_share:
        return probabilities
    parts, number = ndimage.label(probabilities.argmax(0).cpu().numpy() > 0, TOUCHING)
    if number < 2:
        return probabilities
    voxels = np.bincount(parts.ravel())
    voxels[0] = 0
    small = voxels < least_share * voxels.max()
    small[0] = False
    removed = torch.from_numpy(small[parts]).to(probabilities.device)
    kept = probabilities.clone()
    kept[0][removed] = probabilities.sum(0)[removed]
    kept[1:, removed] = 0
    return kept
