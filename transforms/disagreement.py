"""How far the members of an ensemble disagree, as a map on the scanner's grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.atomic import replacing
from pipeline.front import Front, from_array, resample
from pipeline.scan import read_geometry

UNCERTAINTY = "uncertainty"


class SplitDisagreementd(MapTransform):
    """Take the last channel of an `EnsembleWithDisagreement`'s output, (C + 1, H, W, D), off as `uncertainty`."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        split = dict(data)
        for key in self.key_iterator(data):
            split[key], split[UNCERTAINTY] = data[key][:-1], data[key][-1]
        return split


class SaveUncertaintyd(MapTransform):
    """Write `<output_dir>/<folder>/uncertainty/<case>.nii.gz` and keep only its path.

    A voxel holds the share of the voters that chose another class than the ensemble, float32 in [0, 1], interpolated
    linearly to exactly the scan's own grid. Nothing is written where a case has a single voter, who disagrees with
    nobody.

    Args:
        keys: of the disagreement, (H, W, D) on the prepared grid.
        front: that prepared the scan.
        output_dir: made when missing; `folder` is the case's, none where it has none.
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
        for key in self.key_iterator(data):
            if len(data.get("voters", (0, 1))) == 1:
                written[key] = None
                continue
            scanner = read_geometry(data[self.scan_key])
            prepared = from_array(data[key].cpu().numpy(), self.front.grid(scanner))
            target = self.output_dir / data.get("folder", "") / UNCERTAINTY / f"{data['case']}.nii.gz"
            with replacing(target) as temporary:
                sitk.WriteImage(resample(prepared, scanner, sitk.sitkLinear), str(temporary), useCompression=True)
            written[key] = str(target)
        return written
