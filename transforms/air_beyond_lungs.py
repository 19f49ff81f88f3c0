"""A prepared scan without what lies beyond the lungs, for networks that have only seen scans cropped around them."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.scans.front import Front
from pipeline.scans.lung_box import DoubtfulLungsError, lung_box
from transforms.loaded_scan import case_of, plain, scanner

logger = logging.getLogger(__name__)


class AirBeyondLungsd(MapTransform):
    """Make all of a prepared scan (C, H, W, D) air that lies beyond the box around the lungs; its size stays.

    Air is each channel's smallest value. A scan stays as it is where the box is doubtful, as in one that is cropped.

    Args:
        keys: of the prepared scan.
        front: that prepared it.
        margin_mm: around the lungs.
    """

    def __init__(self, keys: KeysCollection, front: Front, margin_mm: float) -> None:
        super().__init__(keys)
        self.front = front
        self.margin_mm = margin_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        changed = dict(data)
        for key in self.key_iterator(data):
            scan = plain(data[key])
            spacing_mm = self.front.grid(scanner(data, key)).spacing_mm
            try:
                box = lung_box(scan[0], spacing_mm, self.margin_mm)
            except DoubtfulLungsError as doubt:
                logger.debug("%s: what lies beyond the lungs stays, since %s", case_of(data, key), doubt)
                continue
            beyond = torch.ones(scan.shape[1:], dtype=torch.bool)
            beyond[box.slices] = False
            changed[key] = data[key].clone()
            for channel in range(len(scan)):
                changed[key][channel, beyond] = scan[channel].min()
        return changed
