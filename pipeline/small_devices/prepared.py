"""What an export needs of its scans beside what `pipeline.inference.fold_scans` has: one size, and the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core.labels import CODES
from pipeline.inference.features import Model
from pipeline.inference.fold_scans import Case
from pipeline.scans.front import Front
from pipeline.scans.scan import read_geometry, read_label, read_scan
from pipeline.small_devices.deployed import changed


def with_fixed_size(model: Model, cases: Sequence[Case]) -> tuple[Model, tuple[int, ...]]:
    """The model with one size for all of its inputs, and this size: pixels of a slice or a tile, voxels of a window.

    Whole slices get the size of the largest of all cases, the training's size at least.
    """
    if model.setting("spatial_dims") == 3:
        return model, tuple(model.setting("patch_size"))
    size = tuple(model.setting("slice_size"))
    if model.parser.get("in_tiles", False):
        return model, size
    front: Front = model.setting("front")
    multiple = model.setting("slice_inferer::multiple")
    sizes = [front.grid(read_geometry(case["image"])).size[:2] for case in cases]
    largest = [max(lengths) for lengths in zip(size, *sizes, strict=True)]
    fixed = tuple(-(-length // multiple) * multiple for length in largest)
    return changed(model, {"slice_inferer::smallest": list(fixed)}), fixed


def reference(model: Model, case: Case) -> np.ndarray | None:
    """The class numbers and IGNORE (H, W, D) of a case's label on the prepared grid, uint8; None where it has none."""
    if "label" not in case:
        return None
    annotation = read_label(case["label"], case.get(CODES))
    # Headers may differ by rounding, which may be a voxel on the prepared grid
    annotation.CopyInformation(read_scan(case["image"]))
    numbers: np.ndarray = model.setting("classes").classes_of(model.setting("front").label(annotation))
    return numbers
