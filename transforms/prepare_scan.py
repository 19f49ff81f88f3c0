"""The front as a dictionary transform, for inference."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.in_memory import affine_of, on_grid
from pipeline.scans.simpleitk import sitk
from transforms.loaded_scan import name_of, scan_of


class PrepareScand(MapTransform):
    """Replace a loaded scan by its prepared voxels, a MetaTensor, float32 (C, H, W, D), that knows the scanner's grid.

    That of a cascade's second network takes what the first one found from `found`, (D, H, W) on the scanner's grid.
    """

    def __init__(self, keys: KeysCollection, front: Front) -> None:
        super().__init__(keys)
        self.front = front

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        prepared = dict(data)
        for key in self.key_iterator(data):
            scan = scan_of(data, key)
            scanner = Geometry.of(scan)
            voxels = torch.from_numpy(self.front.image(scan, name_of(data, key), self._found(data, scan)))
            prepared[key] = on_grid(voxels, affine_of(self.front.grid(scanner)), scanner)
        return prepared

    @staticmethod
    def _found(data: Mapping[Hashable, Any], scan: sitk.Image) -> sitk.Image | None:
        if "found" not in data:
            return None
        found = sitk.GetImageFromArray(data["found"])
        found.CopyInformation(scan)
        return found
