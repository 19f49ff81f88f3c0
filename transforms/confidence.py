"""How sure a network is of what it finds, slice by slice."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.core.atomic import write_json
from transforms.loaded_scan import case_of


def slice_confidence(probabilities: torch.Tensor) -> dict[str, list[float]]:
    """Of the probabilities of the classes, (C, H, W, D), by axial slice, three lists of length D.

    `voxels`: how many a slice has; `structure_voxels`: those where the likeliest class is not the first, background;
    `probability` and `structure_probability`: sums over either of the likeliest class' probability. Sums, so that
    those of several slices add up.
    """
    highest, likeliest = probabilities.float().max(0)
    structure = likeliest > 0
    sums = {
        "voxels": torch.ones_like(highest),
        "probability": highest,
        "structure_voxels": structure.float(),
        "structure_probability": highest * structure,
    }
    return {name: [round(value, 4) for value in voxels.sum((0, 1)).tolist()] for name, voxels in sums.items()}


class SaveConfidenced(MapTransform):
    """Write `<output_dir>/<case>.json`, what `slice_confidence` gives; the data go on unchanged.

    Args:
        keys: of the probabilities, (C, H, W, D) on the prepared grid.
        output_dir: made when missing.
    """

    def __init__(self, keys: KeysCollection, output_dir: str | Path) -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        for key in self.key_iterator(dict(data)):
            write_json(self.output_dir / f"{case_of(data)}.json", slice_confidence(torch.as_tensor(data[key])))
        return dict(data)
