"""The first stage of a cascade as a dictionary transform, for the inference of the second one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.scans.simpleitk import sitk
from transforms.loaded_scan import name_of, scan_of


class RunFirstStaged(MapTransform):
    """Add `found`, uint8 (D, H, W) on the scanner's grid: the lungs, or the infection, by a model of its own.

    Args:
        keys: of the loaded scans.
        first_stage: gives the label image of a scan, its name, and those members of an ensemble that are asked: the
            numbers that the case names as `voters`, None where it names none. See
            `pipeline.inference.first_stage.FirstStage`.
    """

    def __init__(
        self, keys: KeysCollection, first_stage: Callable[[sitk.Image, str, Sequence[int] | None], sitk.Image]
    ) -> None:
        super().__init__(keys)
        self.first_stage = first_stage

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        found = dict(data)
        for key in self.key_iterator(data):
            label = self.first_stage(scan_of(data, key), name_of(data, key), data.get("voters"))
            # No tensor: MONAI Deploy gives the network every tensor of a case
            found["found"] = sitk.GetArrayFromImage(label)
        return found
