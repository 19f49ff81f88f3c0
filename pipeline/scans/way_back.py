"""From probabilities on the prepared grid to class numbers on the scanner's, without a float volume of that size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.scans.bounding_box import Box, bounding_box
from pipeline.scans.geometry import Geometry


@dataclass(frozen=True)
class AxisTable:
    """Where the scanner's voxels lie along one axis of the prepared grid.

    Args:
        axis: of the prepared grid.
        low, high: the two neighbours of each of the scanner's voxels, int64 (N,).
        share: of the upper one, float32 (N,).
    """

    axis: int
    low: torch.Tensor
    high: torch.Tensor
    share: torch.Tensor


def axis_tables(grid: Geometry, scanner: Geometry) -> list[AxisTable]:
    """For each of the scanner's axes (x, y, z) its place in the prepared grid, whose axes are those turned or flipped.

    Beyond the outermost voxel centres the outermost voxel counts. Raises ValueError for grids that are oblique to each
    other.
    """
    here = np.array(grid.direction).reshape(3, 3) * grid.spacing_mm
    there = np.array(scanner.direction).reshape(3, 3) * scanner.spacing_mm
    steps = np.linalg.solve(here, there)
    start = np.linalg.solve(here, np.array(scanner.origin_mm) - grid.origin_mm)
    tables = []
    for column, size in enumerate(scanner.size):
        axis = int(np.abs(steps[:, column]).argmax())
        if np.abs(np.delete(steps[:, column], axis)).max() * size > 1e-3:
            raise ValueError(f"the grids are oblique to each other: {grid} and {scanner}")
        places = np.clip(start[axis] + steps[axis, column] * np.arange(size), 0, grid.size[axis] - 1)
        low = np.minimum(places.astype(np.int64), max(grid.size[axis] - 2, 0))
        high = np.minimum(low + 1, grid.size[axis] - 1)
        share = torch.from_numpy((places - low).astype(np.float32))
        tables.append(AxisTable(axis, torch.from_numpy(low), torch.from_numpy(high), share))
    return tables


def label_on_scanner(probabilities: torch.Tensor, grid: Geometry, scanner: Geometry) -> np.ndarray:
    """The numbers of the likeliest classes, uint8 (z, y, x) of the scanner, from (C, H, W, D) on the prepared grid.

    Each class is interpolated linearly, then the largest one wins; of equal ones that with the lower number. Only the
    box is computed outside of which class 0 is nowhere exceeded: interpolated between such voxels it is not either. So
    what is not class 0 costs time, and memory beside the result is the box on the prepared grid and a few slices.
    """
    tables = axis_tables(grid, scanner)
    label = np.zeros(scanner.size[::-1], np.uint8)
    box = _box_of_others(probabilities)
    if box is None:
        return label
    ranges = [_touching(table, box[table.axis]) for table in tables]
    used = [slice(int(t.low[r].min()), int(t.high[r].max()) + 1) for t, r in zip(tables, ranges, strict=True)]
    # (C, z, y, x) of the scanner, on the prepared grid's voxels in the box
    order = [table.axis for table in tables]
    turned = probabilities.permute(0, *[axis + 1 for axis in order[::-1]])[(slice(None), *used[::-1])]
    x, y, z = (_within(t, r, u.start) for t, r, u in zip(tables, ranges, used, strict=True))
    found = label[ranges[2], ranges[1], ranges[0]]
    planes: dict[int, torch.Tensor] = {}
    for slices in _between_same_planes(z):
        low, high = int(z.low[slices[0]]), int(z.high[slices[0]])
        # A plane serves all of the scanner's slices beside it
        planes = {at: planes[at] if at in planes else _plane(turned[:, at], x, y) for at in (low, high)}
        share = z.share[slices].reshape(1, -1, 1, 1)
        found[slices] = _winner(torch.lerp(planes[low][:, None], planes[high][:, None], share)).numpy()
    return label


def _plane(voxels: torch.Tensor, x: AxisTable, y: AxisTable) -> torch.Tensor:
    """(C, y, x) of the scanner from (C, y, x) on the prepared grid."""
    # The last axis first, while there are few rows: the other one then moves whole rows
    return _interpolated(_interpolated(voxels.float().contiguous(), x, 2), y, 1)


def _between_same_planes(table: AxisTable) -> list[np.ndarray]:
    """The scanner's voxels along an axis in runs that lie between the same two of the prepared grid."""
    low = table.low.numpy()
    return np.split(np.arange(len(low)), np.flatnonzero(np.diff(low)) + 1)


def _box_of_others(probabilities: torch.Tensor) -> Box | None:
    """The box around the voxels where class 0 is not the largest; None where there is none."""
    if len(probabilities) == 1:
        return None
    return bounding_box((probabilities[0] < probabilities[1:].amax(0)).numpy())


def _touching(table: AxisTable, side: slice) -> slice:
    """The scanner's voxels that have a neighbour in a side of a box; adjacent ones, as both grids are regular."""
    touching = ((table.high >= side.start) & (table.low < side.stop)).nonzero()
    return slice(int(touching[0]), int(touching[-1]) + 1)


def _within(table: AxisTable, part: slice, start: int) -> AxisTable:
    return AxisTable(table.axis, table.low[part] - start, table.high[part] - start, table.share[part])


def _interpolated(values: torch.Tensor, table: AxisTable, axis: int) -> torch.Tensor:
    share = table.share.reshape([-1 if place == axis else 1 for place in range(values.ndim)])
    # numpy copies whole rows where torch goes element by element
    low, high = (torch.from_numpy(values.numpy().take(at.numpy(), axis)) for at in (table.low, table.high))
    return torch.lerp(low, high, share)


def _winner(shares: torch.Tensor) -> torch.Tensor:
    """The number of the largest of (C, ...), uint8; of equal ones the lower number."""
    best = shares[0].clone()
    winner = torch.zeros(best.shape, dtype=torch.uint8)
    for number in range(1, len(shares)):
        # As numbers rise, the largest of those that were once ahead is the last one; branches cost more
        torch.maximum(winner, (shares[number] > best).view(torch.uint8).mul_(number), out=winner)
        torch.maximum(best, shares[number], out=best)
    return winner
