"""A scan as MONAI has it in memory, read by this project's own reader."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from monai.config import KeysCollection
from monai.data import ImageReader
from monai.transforms import LoadImaged, MapTransform

from pipeline.scans.in_memory import as_tensor
from pipeline.scans.scan import case_name, read_scan


class LoadScanImaged(LoadImaged):
    """Replace the path of a scan by its voxels, a MetaTensor (W, H, D) on the scanner's grid; `<key>_file` keeps it.

    Other programs know by the name, and by what it is derived from, that this reads, and leave it out where they have
    the voxels already. A tensor passes. A case without a name gets that of its file.
    """

    def __init__(self, keys: KeysCollection) -> None:
        # None of MONAI's readers, which `LoadImaged` would all look for, and one of which warns
        MapTransform.__init__(self, keys)
        # MONAI Label sets that of every `LoadImaged`; here it changes nothing
        self._loader = cast(Any, SimpleNamespace(image_only=True))

    def __call__(self, data: Mapping[Hashable, Any], reader: ImageReader | None = None) -> dict[Hashable, Any]:
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            if isinstance(data[key], str | os.PathLike):
                file = str(data[key])
                loaded[key], loaded[f"{key}_file"] = as_tensor(read_scan(file)), file
                loaded.setdefault("case", case_name(file))
        return loaded
