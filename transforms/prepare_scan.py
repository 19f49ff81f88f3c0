"""The front as a dictionary transform, for inference."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import SimpleITK as sitk
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.scans.front import Front
from pipeline.scans.scan import read_scan


class PrepareScand(MapTransform):
    """Replace the path of a scan by its prepared voxels, float32 (C, H, W, D); the path stays as `<key>_file`.

    That of a cascade's second network takes what the first one found from `found`, (D, H, W) on the scanner's grid.
    """

    def __init__(self, keys: KeysCollection, front: Front) -> None:
        super().__init__(keys)
        self.front = front

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        prepared = dict(data)
        for key in self.key_iterator(data):
            file = str(data[key])
            prepared[f"{key}_file"] = file
            scan = read_scan(file)
            prepared[key] = torch.from_numpy(self.front.image(scan, file, self._found(data, scan)))
        return prepared

    @staticmethod
    def _found(data: Mapping[Hashable, Any], scan: sitk.Image) -> sitk.Image | None:
        if "found" not in data:
            return None
        found = sitk.GetImageFromArray(data["found"].numpy())
        found.CopyInformation(scan)
        return found
