"""A random part of a scan, more often one with infection in it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.transforms import MapTransform, Randomizable, SpatialCrop

from pipeline.core.labels import infected


class RandCropOverInfectiond(Randomizable, MapTransform):
    """The same box of an image and its label map, (C, H, W, D) arrays, at random.

    With probability `share` its centre is a random infected voxel, moved so that the box lies within the scan;
    otherwise, and where nothing is infected, every place is as likely. Along axes where the scan is smaller the box is
    as large as it.

    Args:
        keys: of the arrays to be cut.
        roi_size: voxels of the box along each axis; -1 for all of them.
        share: of the boxes that are about infection.
        label_key: of the label map, in the project's codes.
    """

    def __init__(
        self, keys: Sequence[Hashable], roi_size: Sequence[int], share: float, label_key: Hashable = "label"
    ) -> None:
        super().__init__(keys)
        self.roi_size = tuple(roi_size)
        self.share = share
        self.label_key = label_key
        self.box: tuple[slice, ...] = ()

    def randomize(self, data: Any) -> None:
        """Draw the box in a label map (1, H, W, D)."""
        shape = data.shape[1:]
        sizes = [n if size < 0 else min(size, n) for size, n in zip(self.roi_size, shape, strict=True)]
        about = self.R.uniform() < self.share
        places = np.flatnonzero(infected(np.asarray(data[0]))) if about else np.empty(0)
        if len(places):
            centre = np.unravel_index(places[self.R.randint(len(places))], shape)
            starts = [
                min(max(int(at) - size // 2, 0), n - size) for at, size, n in zip(centre, sizes, shape, strict=True)
            ]
        else:
            starts = [int(self.R.randint(n - size + 1)) for size, n in zip(sizes, shape, strict=True)]
        self.box = tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        self.randomize(data[self.label_key])
        crop = SpatialCrop(roi_slices=self.box)
        return {**data, **{key: crop(data[key]) for key in self.key_iterator(data)}}
