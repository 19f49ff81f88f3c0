"""A mask of one slice as polygons, whose inside has the centres of its voxels and of no others; holes are keyholes.

Lines run halfway between voxel centres, by scikit-image's marching squares: half a voxel from either at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress, pairwise
from operator import not_

import numpy as np
from skimage.measure import find_contours

# How far a channel lies from the centres in its row, in voxels: on them rounding would decide whether they are inside
CHANNEL_OFFSET = 0.25


def keyhole_polygons(mask: np.ndarray) -> list[np.ndarray]:
    """A polygon for each part of a mask, bool (rows, columns); its points (points, 2) are (column, row) in voxels.

    The first point is not repeated as the last; voxel centres are whole numbers. Parts that touch at a corner alone are
    two. A hole is joined to the line around it by a channel without width, DICOM's "keyhole" (PS3.3, C.8.8.6.3): read
    as one polygon it is right by the even-odd rule and by the winding number, and to programs that fill each contour.
    """
    if not mask.any():
        return []
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    # With air around it, so that lines close at the border too
    box = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1).astype(np.uint8)
    rings = [ring[:-1] for ring in find_contours(box, 0.5)]
    offset = (columns[0] - 1, rows[0] - 1)
    return [_corners(ring)[:, ::-1] + offset for ring in _with_keyholes(rings, box)]


def enclosed_area(polygon: np.ndarray) -> float:
    """Of (points, 2), negative for the other direction."""
    across, along = polygon.T
    return float(across @ np.roll(along, -1) - along @ np.roll(across, -1)) / 2


def _with_keyholes(rings: Sequence[np.ndarray], box: np.ndarray) -> Iterator[np.ndarray]:
    """The outer rings of a mask (rows, columns), points (row, column), each with the holes inside it.

    From a hole's rightmost point in a row of voxels, the next line to the right is that of a hole further right, or
    that around all of them: so channels lead outwards, whatever the order, and none crosses another.
    """
    # scikit-image leads rings around holes the other way
    is_hole = [enclosed_area(ring[:, ::-1]) < 0 for ring in rings]
    if not any(is_hole):
        yield from rings
        return
    starts = np.cumsum([0, *map(len, rings)])
    points = np.concatenate([*rings, np.zeros((4 * sum(is_hole), 2))])
    following = list(range(1, len(points) + 1))
    for first, last in pairwise(starts.tolist()):
        following[last - 1] = first
    # Points lie on half voxels
    number_at = np.full(2 * np.array(box.shape), -1)
    number_at[tuple((2 * points[: starts[-1]]).astype(int).T)] = np.arange(starts[-1])
    new = int(starts[-1])
    for first, last in compress(pairwise(starts.tolist()), is_hole):
        in_rows = first + np.flatnonzero(points[first:last, 0] % 1 == 0)
        inner = int(in_rows[np.argmax(points[in_rows, 1])])
        row, column = int(points[inner, 0]), int(points[inner, 1] + 0.5)
        outer = int(number_at[2 * row, 2 * (column + np.argmin(box[row, column:])) - 1])
        before, after = inner - 1 if inner > first else last - 1, following[outer]
        ends = [_beside(points[outer], points[after]), _beside(points[inner], points[before])]
        points[new : new + 4] = [*ends, *ends[::-1]]
        # Out there, around the hole, and back
        following[outer], following[new], following[new + 1] = new, new + 1, inner
        following[before], following[new + 2], following[new + 3] = new + 2, new + 3, after
        new += 4
    for start in compress(starts.tolist(), map(not_, is_hole)):
        yield points[_round(start, following)]


def _beside(crossing: np.ndarray, neighbour: np.ndarray) -> np.ndarray:
    """The point on the line from one in a row of voxels to its neighbour that is CHANNEL_OFFSET from the row."""
    step = neighbour - crossing
    return crossing + step * (CHANNEL_OFFSET / abs(step[0]))


def _round(start: int, following: Sequence[int]) -> list[int]:
    """The numbers of a ring's points, in order."""
    way = [start]
    while (number := following[way[-1]]) != start:
        way.append(number)
    return way


def _corners(ring: np.ndarray) -> np.ndarray:
    """A ring (points, 2) without the points in which it goes straight on."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    # A channel's end turns back
    return ring[(turn != 0) | ((before * after).sum(axis=1) < 0)]
