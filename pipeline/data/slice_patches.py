"""Which patches of axial slices a 2D network is trained on, drawn once: those of the EAMC paper.

Pal Das, Mitra, Uma Shankar 2022 (arXiv:2212.12264), section 5.1: of a slice of 512 x 512 pixels with infection twenty
boxes of 128 x 128 over it and the twelve tiles at the border, of any other slice one box anywhere. This gives the
number of patches of each of its ten patients (Table 10).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from pipeline.core.labels import infected


@dataclass(frozen=True)
class SlicePatches:
    """How many patches a slice gives, and where.

    Args:
        size: of a patch, pixels along both axes. A slice that is smaller gives patches as large as it is.
        over_infection: boxes of a slice with infection that hold a pixel of it, beside the tiles at its border.
        elsewhere: boxes of a slice without.
        seed: equal seeds give a case the same patches, in whichever fold it is.
    """

    size: tuple[int, int] = (128, 128)
    over_infection: int = 20
    elsewhere: int = 1
    seed: int = 0

    def corners(self, label: np.ndarray, case: str) -> np.ndarray:
        """Slice, first row and first column of each patch of a case, int32 (patches, 3), slice after slice.

        `label` holds the project's codes, (H, W, D).
        """
        places = np.argwhere(infected(label))
        places = places[np.argsort(places[:, 2], kind="stable")]
        ends = np.searchsorted(places[:, 2], np.arange(label.shape[2] + 1))
        # Of the name: a case has the same patches whichever others are with it
        name = zlib.crc32(case.encode())
        found = []
        for number in range(label.shape[2]):
            random = np.random.default_rng([self.seed, name, number])
            mine = self._of_slice(places[ends[number] : ends[number + 1], :2], label.shape[:2], random)
            found.append(np.insert(mine, 0, number, axis=1))
        return np.concatenate(found).astype(np.int32)

    def _of_slice(self, infected: np.ndarray, shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
        """First row and column of the patches of a slice with these infected pixels, (patches, 2)."""
        last = np.maximum(np.subtract(shape, self.size), 0)
        if not len(infected):
            return random.integers(0, last + 1, (self.elsewhere, 2))
        pixels = infected[random.integers(len(infected), size=self.over_infection)]
        # The pixel may be anywhere in its box; moved into the slice, the box still holds it
        boxes = np.clip(pixels - random.integers(0, self.size, pixels.shape), 0, last)
        return np.concatenate([boxes, border_tiles(shape, self.size)])


def border_tiles(shape: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """First row and column of the outer tiles of the grid that covers a slice, (tiles, 2).

    Where the size does not divide the slice, the last tiles of a row or column reach back over those before them.
    """
    rows, columns = (-(-length // side) for length, side in zip(shape, size, strict=True))
    grid = np.indices((rows, columns)).reshape(2, -1).T
    outer = ((grid == 0) | (grid == (rows - 1, columns - 1))).any(axis=1)
    return np.minimum(grid[outer] * size, np.maximum(np.subtract(shape, size), 0))
