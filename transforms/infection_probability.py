"""The infection's probability on the scanner's grid, as a file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection

from pipeline.core.labels import LabelMap
from pipeline.core.temperature import STEPS
from pipeline.scans.front import Front
from pipeline.scans.simpleitk import sitk
from transforms.on_scanner_grid import SaveImageOnScannerGridd


class SaveImageOfInfectiond(SaveImageOnScannerGridd):
    """Write `<output_dir>/<case>.nii.gz`, the infection's probability in 255ths on the scan's own grid; kinds of it
    are added up.

    Nothing is written for a network that does not know the infection. Stands before what turns probabilities into
    labels, and leaves them as they are.

    Args:
        keys: of the probabilities, (C, H, W, D).
        classes: of the network; the others as for every `SaveImageOnScannerGridd`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        front: Front,
        classes: LabelMap,
        output_dir: str | Path,
        scan_key: str = "image",
    ) -> None:
        super().__init__(keys, front, output_dir, scan_key)
        self.numbers = classes.infection_classes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        for key in self.key_iterator(data):
            if not self.numbers:
                continue
            share = self.front.to_scanner(data[key][self.numbers].sum(0).cpu().numpy(), self.scanner(data))
            # Kinds of infection add up to 1 but for rounding
            levels = np.rint(sitk.GetArrayViewFromImage(share) * STEPS).clip(0, STEPS).astype(np.uint8)
            image = sitk.GetImageFromArray(levels)
            image.CopyInformation(share)
            self.write(image, data)
        return dict(data)
