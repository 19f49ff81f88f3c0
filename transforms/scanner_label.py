"""From probabilities on the prepared grid to a label file on the scanner's grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.atomic import replacing
from pipeline.cascade import joined
from pipeline.front import Front
from pipeline.scan import read_geometry


class SaveScannerLabeld(MapTransform):
    """Write `<output_dir>/<folder>/<case>.nii.gz`, class numbers on exactly the scan's grid, and keep only its path.

    Where a cascade's first stage left `lungs`, the file holds both stages' findings. `folder` is the case's; there is
    none where it has none.

    Args:
        keys: of the probabilities, (C, H, W, D).
        front: that prepared the scan; the grid is computed from the scan's header again.
        output_dir: made when missing; a file is either whole or not there.
    """

    def __init__(
        self, keys: KeysCollection, front: Front, output_dir: str | Path, scan_key: str = "image_file"
    ) -> None:
        super().__init__(keys)
        self.front = front
        self.output_dir = Path(output_dir)
        self.scan_key = scan_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        written = dict(data)
        scanner = read_geometry(data[self.scan_key])
        for key in self.key_iterator(data):
            label = self.front.probabilities_to_label(data[key].cpu().numpy(), scanner)
            if "lungs" in data:
                both = sitk.GetImageFromArray(joined(data["lungs"].cpu().numpy(), sitk.GetArrayViewFromImage(label)))
                both.CopyInformation(label)
                label = both
            target = self.output_dir / data.get("folder", "") / f"{data['case']}.nii.gz"
            with replacing(target) as temporary:
                sitk.WriteImage(label, str(temporary), useCompression=True)
            written[key] = str(target)
        return written
