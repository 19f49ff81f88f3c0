"""Whether voxels that are given a probability of 0.3 are infected in 3 of 10 cases: counts, and what they give.

Probabilities are kept in 255ths, so how many voxels of each of 256 levels are infected is all that any score of a
voxel's probability needs: negative log-likelihood, Brier score, calibration error, at whatever temperature.
"""

from __future__ import annotations

import numpy as np

from evaluation.measures.roc import LEVELS
from pipeline.core.labels import BACKGROUND, IGNORE, LabelMap, infected
from pipeline.core.temperature import STEPS, tempered

# Of equal width; 255 is 15 times 17, so that each has 17 levels and the last one more
BINS = 15
RELIABILITY_RULE = (
    "voxels within the lungs, infected or not, of the reference or of the prediction, since air around them would hide "
    "all else; each patient counts the same, however large; 15 bins of equal width; of level 0 a probability of a "
    "quarter of a 255th is taken, and of level 255 as much below 1"
)


def level_counts(codes: np.ndarray, prediction: np.ndarray, levels: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """Voxels within the lungs by the level of their probability, int64 (2, 256): not infected, and infected.

    `codes` are the reference's, IGNORE among them, which is not counted; `prediction` numbers of the label map's
    classes; `levels` the infection's probability in 255ths. All are uint8 (D, H, W). The lungs are those of either,
    with their infection. Raises ValueError where shapes or types do not fit.
    """
    if not codes.shape == prediction.shape == levels.shape or levels.dtype != np.uint8:
        raise ValueError(
            f"codes are {codes.shape}, prediction {prediction.shape}, levels {levels.dtype} {levels.shape}; expected "
            "one shape, and levels in uint8"
        )
    outside = [number for number, of_class in enumerate(label_map.classes.values()) if BACKGROUND in of_class]
    counts = np.zeros((2, LEVELS), np.int64)
    # Slice by slice: the masks stay in the processor's cache
    for reference, found, likely in zip(codes, prediction, levels, strict=True):
        within = ((reference != BACKGROUND) | ~np.isin(found, outside)) & (reference != IGNORE)
        inside = infected(reference)
        for side, mask in enumerate((within & ~inside, within & inside)):
            counts[side] += np.bincount(likely[mask], minlength=LEVELS)
    return counts


def level_probabilities(temperature: float | None = None) -> np.ndarray:
    """The probability that each level stands for, (256,), in (0, 1): as the network gave it, or tempered.

    The first and the last level stand for half as wide a range as the others, and for its middle; the first one stays
    what it is, as `tempered` leaves it.
    """
    own = np.arange(LEVELS) / STEPS
    own[0], own[-1] = 0.25 / STEPS, 1 - 0.25 / STEPS
    if temperature is None:
        return own
    changed = tempered(own, temperature)
    changed[0] = own[0]
    return changed


def negative_log_likelihood(shares: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over voxels, in nats; `shares` (2, 256) are those of all voxels and add up to 1, as below."""
    # At a temperature far below 1 a probability is 0 or 1 in double precision
    kept = probabilities.clip(np.finfo(float).tiny, 1 - np.finfo(float).eps)
    return -float((shares[0] * np.log1p(-kept) + shares[1] * np.log(kept)).sum())


def brier_score(shares: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared difference of probability and truth, in [0, 1] (Brier 1950)."""
    return float((shares[0] * probabilities**2 + shares[1] * (1 - probabilities) ** 2).sum())


def binned(shares: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """By bin of the probability, (3, BINS): the share of voxels, and the sums of their probabilities and of truth.

    The expected calibration error is the sum over bins of how far the last two are apart; they may be averaged over
    patients first.
    """
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    voxels = shares.sum(0)
    return np.stack([np.bincount(bins, sums, BINS) for sums in (voxels, voxels * probabilities, shares[1])])


def expected_calibration_error(bins: np.ndarray) -> float:
    """Mean over voxels of how far the infected share of their bin is from its mean probability, in [0, 1].

    Of what `binned` gives (Naeini et al. 2015; Guo et al. 2017).
    """
    return float(np.abs(bins[1] - bins[2]).sum())
