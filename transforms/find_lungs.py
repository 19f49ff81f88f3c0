"""The first stage of a cascade as a dictionary transform, for the inference of the second one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.cascade import LungFinder
from pipeline.scan import read_scan


class FindLungsd(MapTransform):
    """Add `lungs`, uint8 (D, H, W) on the scanner's grid, found by a model of its own in the scan of a path.

    Args:
        keys: of the paths.
        model_file: of the first stage, see `pipeline.cascade.LungFinder`.
    """

    def __init__(self, keys: KeysCollection, model_file: str | Path) -> None:
        super().__init__(keys)
        self.find = LungFinder(model_file)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        found = dict(data)
        for key in self.key_iterator(data):
            file = str(data[key])
            found["lungs"] = torch.from_numpy(sitk.GetArrayFromImage(self.find(read_scan(file), file)))
        return found
