"""A probability other than one half from which a voxel is infection."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap


class InfectionThresholdd(MapTransform):
    """Multiply the probability of infection by (1 - threshold) / threshold, so that the largest channel decides by it.

    With two classes infection then wins exactly where its probability was above the threshold. With more it wins
    against each other class as if there were these two alone: where its share of what it and the likeliest other class
    have together is above the threshold. 0.5 changes nothing. A factor commutes with the linear interpolation to the
    scanner's grid, which a comparison would not; the channels no longer add up to 1.

    Args:
        keys: of the probabilities, (C, H, W, D).
        classes: of the channels. Infection are those that are made of its codes alone, each kind as if there were no
            other; without one nothing changes.
        threshold: in (0, 1).

    Raises:
        InputError: for another threshold.
    """

    def __init__(self, keys: KeysCollection, classes: LabelMap, threshold: float) -> None:
        super().__init__(keys)
        if not 0 < threshold < 1:
            raise InputError(f"infection_threshold is {threshold}, expected a probability between 0 and 1.")
        self.factor = (1 - threshold) / threshold
        self.channels = classes.infection_classes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        weighted = dict(data)
        for key in self.key_iterator(data):
            weighted[key] = data[key].clone()
            weighted[key][self.channels] *= self.factor
        return weighted


def threshold_factors(classes: LabelMap, threshold: float) -> list[float]:
    """What `InfectionThresholdd` multiplies each class by, for whoever chooses the likeliest class elsewhere."""
    chosen = InfectionThresholdd("pred", classes, threshold)
    return [chosen.factor if number in chosen.channels else 1.0 for number in range(len(classes.classes))]
