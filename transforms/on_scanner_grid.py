"""What transforms that write a volume on the scanner's own grid have in common."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.scans.front import Front
from pipeline.scans.scan import Geometry, read_geometry
from pipeline.scans.written_image import write_image


class SaveOnScannerGridd(MapTransform):
    """Base of transforms that write `<output_dir>/<folder>/<case>.nii.gz`.

    Args:
        keys: of arrays on the prepared grid.
        front: that prepared the scan; the grid is computed from the scan's header again.
        output_dir: made when missing; a file is either whole or not there. `folder` is the case's, none where it has
            none.
        scan_key: of the path of the scan.
    """

    def __init__(
        self, keys: KeysCollection, front: Front, output_dir: str | Path, scan_key: str = "image_file"
    ) -> None:
        super().__init__(keys)
        self.front = front
        self.output_dir = Path(output_dir)
        self.scan_key = scan_key

    def scanner(self, data: Mapping[Hashable, Any]) -> Geometry:
        return read_geometry(data[self.scan_key])

    def write(self, image: sitk.Image, data: Mapping[Hashable, Any], below: str = "") -> str:
        """Write a case's image, in the folder `below` the case's own; its path."""
        target = self.output_dir / data.get("folder", "") / below / f"{data['case']}.nii.gz"
        write_image(image, target)
        return str(target)
