"""Probabilities as a network gave them, kept small, and put on the scanner's grid when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap
from pipeline.core.nearest_name import did_you_mean
from pipeline.core.temperature import tempered
from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.simpleitk import sitk


@dataclass(frozen=True)
class Probabilities:
    """Of a network's classes, of one scan.

    Args:
        prepared: on the prepared grid, float16 (C, H, W, D).
        front: that prepared the scan.
        scanner: the scan's own grid.
        labels: what the channels are.
        temperature: of the infection's, which was fitted on the scanner's grid and is applied there; None for 1.
        calibrated: in place of a temperature, the infection's as it is to be told, on the prepared grid, float16
            (H, W, D).
    """

    prepared: torch.Tensor
    front: Front
    scanner: Geometry
    labels: LabelMap
    temperature: float | None = None
    calibrated: torch.Tensor | None = None

    def of(self, name: str, case: str) -> np.ndarray:
        """Of a class or structure, float32 (W, H, D) in [0, 1] on the scan's own grid; InputError for another name.

        With a temperature infection against all else is calibrated: what classes of either side have among them stays.
        """
        numbers = numbers_of(name, self.labels, case)
        if self._is_calibrated:
            return self._calibrated(numbers).transpose(2, 1, 0)
        return self._on_scanner(numbers).transpose(2, 1, 0)

    def infection(self) -> np.ndarray:
        """Of all that is infection, as `of`."""
        numbers = self.labels.infection_classes
        return (self._told_infection() if self._is_calibrated else self._on_scanner(numbers)).transpose(2, 1, 0)

    @property
    def _is_calibrated(self) -> bool:
        told = self.temperature is not None or self.calibrated is not None
        return told and bool(self.labels.infection_classes)

    def _on_scanner(self, numbers: Sequence[int]) -> np.ndarray:
        """Of classes together as the network gave it, (D, H, W)."""
        return self._interpolated(self.prepared[list(numbers)].float().sum(0))

    def _interpolated(self, share: torch.Tensor) -> np.ndarray:
        found: np.ndarray = sitk.GetArrayFromImage(self.front.to_scanner(share.numpy(), self.scanner))
        # Half precision adds up to 1 but for rounding
        return found.clip(0, 1, out=found)

    def _told_infection(self) -> np.ndarray:
        if self.calibrated is not None:
            return self._interpolated(self.calibrated.float())
        if self.temperature is None:
            raise ValueError("these probabilities have no temperature")
        return tempered(self._on_scanner(self.labels.infection_classes), self.temperature)

    def _calibrated(self, numbers: Sequence[int]) -> np.ndarray:
        likely, infected = self._told_infection(), self.labels.infection_classes
        others = [number for number in range(len(self.labels.classes)) if number not in infected]
        found = np.zeros_like(likely)
        for side, share in ((infected, likely), (others, 1 - likely)):
            asked = [number for number in side if number in numbers]
            if len(asked) == len(side):
                found += share
            elif asked:
                whole = self._on_scanner(side)
                found += share * np.divide(self._on_scanner(asked), whole, out=np.zeros_like(whole), where=whole > 0)
        return found.clip(0, 1, out=found)


def numbers_of(name: str, labels: LabelMap, case: str) -> Sequence[int]:
    """Numbers of the classes that a structure is made of, or of a class; InputError naming the known ones."""
    known: Mapping[str, Sequence[int]] = {
        **{each: (number,) for number, each in enumerate(labels.classes)},
        **labels.structures,
    }
    if name not in known:
        meant = did_you_mean(name, [*known])
        raise InputError(f"{case}: knows no {name!r}{meant}; expected one of {', '.join(known)}.")
    return known[name]
