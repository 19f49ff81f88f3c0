"""How far the members of an ensemble disagree, as a map on the scanner's grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import MapTransform

from transforms.on_scanner_grid import SaveImageOnScannerGridd

UNCERTAINTY, CALIBRATED = "uncertainty", "calibrated"


class SplitDisagreementd(MapTransform):
    """Take the last channel of an `EnsembleWithDisagreement`'s output, (C + 1, H, W, D), off as `uncertainty`."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        split = dict(data)
        for key in self.key_iterator(data):
            split[key], split[UNCERTAINTY] = data[key][:-1], data[key][-1]
        return split


class SplitCalibratedd(SplitDisagreementd):
    """Of an ensemble with temperatures, (C + 2, H, W, D): take the channel before that off too, as `calibrated`."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        split = super().__call__(data)
        for key in self.key_iterator(data):
            split[key], split[CALIBRATED] = split[key][:-1], split[key][-1]
        return split


class SaveImageOfUncertaintyd(SaveImageOnScannerGridd):
    """Write `<output_dir>/<folder>/uncertainty/<case>.nii.gz` and keep its path too.

    A voxel holds the share of the voters that chose another class than the ensemble, float32 in [0, 1], interpolated
    linearly to exactly the scan's own grid. Nothing is written where a case has a single voter, who disagrees with
    nobody. The keys are of the disagreement, (H, W, D) on the prepared grid.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        written = dict(data)
        for key in self.key_iterator(data):
            if len(data.get("voters", (0, 1))) == 1:
                continue
            share = self.front.to_scanner(data[key].cpu().numpy(), self.scanner(data))
            written[f"{key}_file"] = self.write(share, data, UNCERTAINTY)
        return written
