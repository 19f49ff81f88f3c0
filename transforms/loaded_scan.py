"""What transforms ask of a case whose scan is in memory, from a file or another program: its name, grid and voxels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor

from pipeline.core.errors import InputError
from pipeline.scans.geometry import Geometry
from pipeline.scans.in_memory import as_scan, geometry_of, scanner_of
from pipeline.scans.scan import case_name, read_geometry
from pipeline.scans.simpleitk import sitk

Data = Mapping[Hashable, Any]


def name_of(data: Data, key: Hashable = "image") -> str:
    """What a scan is called in messages: its file, or its case where it is from none."""
    return str(data.get(f"{key}_file") or data.get("case") or "the scan")


def case_of(data: Data, key: Hashable = "image") -> str:
    """The name of a case; that of its scan's file where it was given none."""
    return str(data.get("case") or case_name(name_of(data, key)))


def scan_of(data: Data, key: Hashable = "image") -> sitk.Image:
    """A scan that is loaded and nothing else, a MetaTensor (W, H, D) or (1, W, H, D), for SimpleITK.

    The grid of one that was read from a file is what its header says, to the last digit.
    """
    name, tensor = name_of(data, key), data[key]
    if not isinstance(tensor, MetaTensor):
        raise InputError(
            f"{name}: is of type {type(tensor).__name__}; expected the path of a scan, or a MetaTensor of its voxels "
            "with their affine."
        )
    voxels = tensor.as_tensor()
    voxels = voxels[0] if voxels.ndim == 4 and len(voxels) == 1 else voxels
    if voxels.ndim != 3:
        raise InputError(f"{name}: has shape {tuple(voxels.shape)}; expected one volume (W, H, D), or (1, W, H, D).")
    grid = _header(data, key) or geometry_of(tensor.affine, tuple(voxels.shape), name)
    return as_scan(voxels, grid)


def scanner(data: Data, key: Hashable = "image") -> Geometry:
    """The scanner's grid of a scan that is prepared, whatever became of its voxels since."""
    return _header(data, key) or scanner_of(data[key], name_of(data, key))


def _header(data: Data, key: Hashable) -> Geometry | None:
    file = data.get(f"{key}_file")
    return read_geometry(file) if file else None


def plain(voxels: torch.Tensor) -> torch.Tensor:
    """The same without what a MetaTensor knows, which costs time in every operation."""
    return voxels.as_tensor() if isinstance(voxels, MetaTensor) else voxels
