"""Jet colours of infection probabilities: blue little, yellow more, red most (Fig. 7 of the EAMC paper)."""

from __future__ import annotations

import numpy as np


def jet(shares: np.ndarray) -> np.ndarray:
    """Red, green and blue in [0, 1], float32 (..., 3), of values in [0, 1]; others are clipped to it."""
    places = 4 * np.clip(shares, 0, 1)[..., np.newaxis].astype(np.float32)
    # Red has its middle at 3/4, green at 2/4, blue at 1/4
    return np.clip(1.5 - np.abs(places - np.array([3, 2, 1], np.float32)), 0, 1)


def jet_overlay(
    grey: np.ndarray, probabilities: np.ndarray, threshold: float = 0.5, opacity: float = 0.5
) -> np.ndarray:
    """A slice in grey with jet colours where the probability is above the threshold, uint8 (H, W, 3).

    Both arrays are (H, W) in [0, 1]. Opacity 1 hides the grey below the colours. Raises ValueError where the shapes
    differ.
    """
    if grey.shape != probabilities.shape:
        raise ValueError(f"grey has shape {grey.shape}, probabilities {probabilities.shape}; expected one shape")
    colours = np.repeat(np.clip(grey, 0, 1)[..., np.newaxis], 3, axis=-1)
    coloured = probabilities > threshold
    colours[coloured] = (1 - opacity) * colours[coloured] + opacity * jet(probabilities[coloured])
    return np.rint(255 * colours).astype(np.uint8)
