"""The first stage of a cascade as a dictionary transform, for the inference of the second one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.inference.cascade import LungFinder
from pipeline.inference.ensemble import MEAN
from pipeline.scans.scan import read_scan


class FindLungsd(MapTransform):
    """Add `found`, uint8 (D, H, W) on the scanner's grid: the lungs, or the infection, by a model of its own.

    Args:
        keys: of the paths.
        model_file: of the first stage, or several, see `pipeline.inference.cascade.LungFinder`.
        method, weights: of several. Those that the case names as `voters` are asked, all where it names none.
        configuration_file: of the first stage's inference, where it is not beside the fold.
        settings: that take the place of that configuration's own.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model_file: str | Path | Sequence[str | Path],
        method: str = MEAN,
        weights: Sequence[float] | None = None,
        configuration_file: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(keys)
        files = [model_file] if isinstance(model_file, (str, Path)) else model_file
        self.find = LungFinder(files, method, weights, configuration_file, settings)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        found = dict(data)
        for key in self.key_iterator(data):
            file = str(data[key])
            self.find.network.voters = data.get("voters", range(len(self.find.model_files)))
            found["found"] = torch.from_numpy(sitk.GetArrayFromImage(self.find(read_scan(file), file)))
        return found
