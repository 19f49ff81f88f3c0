"""From probabilities on the prepared grid to a label on the scanner's grid, in memory and as a file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.core.stages import joined
from pipeline.scans.front import Front
from pipeline.scans.in_memory import as_scan, as_tensor
from pipeline.scans.simpleitk import sitk
from pipeline.scans.small_parts import without_small_parts
from transforms.loaded_scan import plain, scanner
from transforms.on_scanner_grid import SaveImageOnScannerGridd


class ToScannerLabeld(MapTransform):
    """Replace probabilities, (C, H, W, D), by class numbers on exactly the scan's grid, a MetaTensor (1, W, H, D).

    Where a cascade's first stage left the lungs in `found`, the label holds both stages' findings. Parts of what is
    found that have less than `smallest_part` of the largest one's voxels are left out.
    """

    def __init__(self, keys: KeysCollection, front: Front, scan_key: str = "image", smallest_part: float = 0.0) -> None:
        super().__init__(keys)
        self.front = front
        self.scan_key = scan_key
        self.smallest_part = smallest_part

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        labelled = dict(data)
        for key in self.key_iterator(data):
            probabilities = without_small_parts(plain(data[key]).cpu(), self.smallest_part)
            label = self.front.probabilities_to_label(probabilities, scanner(data, self.scan_key))
            if self.front.within_lungs:
                # An array, or what a data loader made of it
                found = torch.as_tensor(data["found"]).cpu().numpy()
                both = sitk.GetImageFromArray(joined(found, sitk.GetArrayViewFromImage(label)))
                both.CopyInformation(label)
                label = both
            labelled[key] = as_tensor(label)[None]
        return labelled


class SaveImageOfLabeld(SaveImageOnScannerGridd):
    """Write `<output_dir>/<folder>/<case>.nii.gz`, what `ToScannerLabeld` gives, which stays as it is."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        written = dict(data)
        for key in self.key_iterator(data):
            voxels: torch.Tensor = plain(data[key])[0]
            written[f"{key}_file"] = self.write(as_scan(voxels, self.scanner(data)), data)
        return written
