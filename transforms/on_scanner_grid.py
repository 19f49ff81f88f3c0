"""What transforms that write a volume on the scanner's own grid have in common."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.transforms import SaveImaged

from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.simpleitk import sitk
from pipeline.scans.written_image import write_image
from transforms.loaded_scan import case_of, scanner

SUFFIX = ".nii.gz"


class SaveImageOnScannerGridd(SaveImaged):
    """Base of transforms that write `<output_dir>/<folder>/<case>.nii.gz` and keep its path as `<key>_file`.

    Other programs, which write for themselves, know by the name, or by what it is derived from, that this is to be left
    out.

    Args:
        keys: of arrays on the prepared grid.
        front: that prepared the scan.
        output_dir: made when missing; a file is either whole or not there. `folder` is the case's, none where it has
            none.
        scan_key: of the scan, see `transforms.loaded_scan`.
    """

    def __init__(self, keys: KeysCollection, front: Front, output_dir: str | Path, scan_key: str = "image") -> None:
        super().__init__(keys, output_dir=output_dir, output_ext=SUFFIX, print_log=False)
        self.front = front
        self.output_dir = Path(output_dir)
        self.scan_key = scan_key

    def scanner(self, data: Mapping[Hashable, Any]) -> Geometry:
        return scanner(data, self.scan_key)

    def write(self, image: sitk.Image, data: Mapping[Hashable, Any], below: str = "") -> str:
        """Write a case's image, in the folder `below` the case's own; its path."""
        target = self.output_dir / data.get("folder", "") / below / f"{case_of(data, self.scan_key)}{SUFFIX}"
        write_image(image, target)
        return str(target)
