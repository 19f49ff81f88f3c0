"""Probabilities as a network gave them, kept small, and put on the scanner's grid when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap
from pipeline.core.nearest_name import did_you_mean
from pipeline.scans.front import Front
from pipeline.scans.scan import Geometry
from pipeline.scans.simpleitk import sitk


@dataclass(frozen=True)
class Probabilities:
    """Of a network's classes, of one scan.

    Args:
        prepared: on the prepared grid, float16 (C, H, W, D).
        front: that prepared the scan.
        scanner: the scan's own grid.
        labels: what the channels are.
    """

    prepared: torch.Tensor
    front: Front
    scanner: Geometry
    labels: LabelMap

    def of(self, name: str, case: str) -> np.ndarray:
        """Of a class or structure, float32 (W, H, D) in [0, 1] on the scan's own grid; InputError for another name."""
        numbers = numbers_of(name, self.labels, case)
        share = self.prepared[list(numbers)].float().sum(0).numpy()
        found = sitk.GetArrayFromImage(self.front.to_scanner(share, self.scanner))
        # Half precision adds up to 1 but for rounding
        return found.clip(0, 1, out=found).transpose(2, 1, 0)


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
