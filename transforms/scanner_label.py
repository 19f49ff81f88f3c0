"""From probabilities on the prepared grid to a label file on the scanner's grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import SimpleITK as sitk

from pipeline.core.stages import joined
from transforms.on_scanner_grid import SaveOnScannerGridd


class SaveScannerLabeld(SaveOnScannerGridd):
    """Write `<output_dir>/<folder>/<case>.nii.gz`, class numbers on exactly the scan's grid, and keep only its path.

    The keys are of the probabilities, (C, H, W, D). Where a cascade's first stage left the lungs in `found`, the
    file holds both stages' findings.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        written = dict(data)
        scanner = self.scanner(data)
        for key in self.key_iterator(data):
            label = self.front.probabilities_to_label(data[key].cpu(), scanner)
            if self.front.within_lungs:
                both = sitk.GetImageFromArray(joined(data["found"].cpu().numpy(), sitk.GetArrayViewFromImage(label)))
                both.CopyInformation(label)
                label = both
            written[key] = self.write(label, data)
        return written
