"""The infection's probability on the scanner's grid, as a file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.atomic import replacing
from pipeline.front import Front
from pipeline.labels import INFECTION, LabelMap
from pipeline.scan import read_geometry

STEPS = 255


class SaveInfectionProbabilityd(MapTransform):
    """Write `<output_dir>/<case>.nii.gz`, the infection's probability in 255ths on the scan's own grid.

    Nothing is written for a network that does not know the infection. Stands before what turns probabilities into
    labels, and leaves them as they are.

    Args:
        keys: of the probabilities, (C, H, W, D).
        front: that prepared the scan.
        classes: of the network.
        output_dir: made when missing; a file is either whole or not there.
    """

    def __init__(
        self,
        keys: KeysCollection,
        front: Front,
        classes: LabelMap,
        output_dir: str | Path,
        scan_key: str = "image_file",
    ) -> None:
        super().__init__(keys)
        self.front = front
        self.numbers = [number for number, codes in enumerate(classes.classes.values()) if tuple(codes) == (INFECTION,)]
        self.output_dir = Path(output_dir)
        self.scan_key = scan_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        for key in self.key_iterator(data):
            for number in self.numbers:
                scanner = read_geometry(data[self.scan_key])
                share = self.front.to_scanner(data[key][number].cpu().numpy(), scanner)
                levels = np.rint(sitk.GetArrayViewFromImage(share) * STEPS).astype(np.uint8)
                image = sitk.GetImageFromArray(levels)
                image.CopyInformation(share)
                with replacing(self.output_dir / f"{data['case']}.nii.gz") as temporary:
                    sitk.WriteImage(image, str(temporary), useCompression=True)
        return dict(data)
