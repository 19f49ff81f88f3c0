"""batchgenerators' spatial augmentation, computed on no more of a scan than its patch needs.

The same parameters, the same distribution and, but for elastic deformation, the same random numbers and results as
`batchgenerators.transforms.spatial_transforms.SpatialTransform`; that one filters whole scans and smooths noise of the
patch's full resolution, which takes most of the time of an augmentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from batchgenerators.augmentations.utils import (
    create_matrix_rotation_2d,
    create_matrix_rotation_x_3d,
    create_matrix_rotation_y_3d,
    create_matrix_rotation_z_3d,
)
from batchgenerators.transforms.spatial_transforms import SpatialTransform
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

from pipeline.scans.resampling import cubic, positions, spline_coefficients

# Voxels between samples of the noise that an elastic deformation smooths with a sigma of 9 voxels or more
NOISE_STRIDE = 4
# Voxels around the deformed patch: a cubic spline's filter falls to 1e-7 over 12
MARGINS = {0: 1, 1: 2, 3: 14}
BORDERS = ("constant", "nearest")


@dataclass(frozen=True)
class Move:
    """Where a patch comes from in a volume.

    Args:
        box: of the volume, slices along each spatial axis, which holds all that the patch needs.
        before, after: voxels along each axis by which the patch reaches beyond the box where it is cut out as it is.
        matrix, offset: voxel of the patch -> place in the box, voxels; None where it is cut out as it is.
        places: (axes, *patch) in the box where the patch is deformed elastically, else None.
        field: of an elastic deformation whose places are still to be computed, (axes, *coarse), float32: how many
            voxels of the patch each place moves before `matrix` and `offset`, on the coarse grid.
    """

    box: tuple[slice, ...]
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    matrix: np.ndarray | None = None
    offset: np.ndarray | None = None
    places: np.ndarray | None = None
    field: np.ndarray | None = None


@dataclass(frozen=True)
class Elastic:
    """Of an elastic deformation: `strength` times the noise of each axis, (axes, *coarse), smooth on a coarse grid."""

    strength: float
    noise: np.ndarray


class DeformAndCrop(SpatialTransform):
    """A patch, rotated, scaled and deformed elastically, each with its own probability: see the module's docstring.

    Takes the arguments of SpatialTransform. Raises ValueError for those that are not computed here: rotating axes
    independently, labels interpolated otherwise than by the nearest voxel, borders other than constant or nearest.
    """

    def __init__(self, patch_size: Sequence[int], **arguments: Any) -> None:
        super().__init__(tuple(patch_size), **arguments)
        for name, known in (
            ("p_rot_per_axis", (1,)),
            ("order_data", tuple(MARGINS)),
            ("order_seg", (0,)),
            ("border_mode_data", BORDERS),
            ("border_mode_seg", BORDERS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected {' or '.join(map(repr, known))}")

    def __call__(self, **batch: Any) -> dict[str, Any]:
        images, labels = [], []
        for image, label in zip(batch["data"], batch["seg"], strict=True):
            move = self.draw(image.shape[1:])
            within = (slice(None), *move.box)
            images.append(self.image(image[within], move))
            labels.append(self.label(label[within], move))
        return {**batch, "data": np.stack(images), "seg": np.stack(labels)}

    def draw(self, shape: Sequence[int]) -> Move:
        """A random patch of a volume; draws from numpy's global state, as batchgenerators."""
        turn = self._draw_turn()
        return self._cut_out(shape) if turn is None else self._deformed(shape, self._draw_centre(shape), *turn)

    def draw_coarsely(self, shape: Sequence[int]) -> Move:
        """What `draw` draws from the same random numbers, an elastic deformation as a `field` in place of `places`.

        Its box may be some voxels larger.
        """
        turn = self._draw_turn()
        return self._cut_out(shape) if turn is None else self._coarsely(shape, self._draw_centre(shape), *turn)

    def _draw_turn(self) -> tuple[np.ndarray, Elastic | None] | None:
        """The matrix and the deformation of a patch; None where it stays as it is."""
        dims = len(self.patch_size)
        bends = self.do_elastic_deform and np.random.uniform() < self.p_el_per_sample
        elastic = self._draw_elastic() if bends else None
        matrix = np.eye(dims)
        turns = self.do_rotation and np.random.uniform() < self.p_rot_per_sample
        if turns:
            matrix = self._rotation(dims).T
        scales = self.do_scale and np.random.uniform() < self.p_scale_per_sample
        if scales:
            matrix = matrix * self._factors()
        return (matrix, elastic) if bends or turns or scales else None

    def _draw_centre(self, shape: Sequence[int]) -> np.ndarray:
        if not self.random_crop:
            return np.array(shape) / 2 - 0.5
        margins = self._margins(len(self.patch_size))
        return np.array([np.random.uniform(margin, n - margin) for n, margin in zip(shape, margins, strict=True)])

    def image(self, box: np.ndarray, move: Move) -> np.ndarray:
        """The patch of an image (C, *box), float32."""
        order, border, outside = self.order_data, self.border_mode_data, self.border_cval_data
        return self._patch(box.astype(np.float32, copy=False), move, order, border, outside)

    def label(self, box: np.ndarray, move: Move) -> np.ndarray:
        """The patch of a label map (C, *box), of its own type."""
        return self._patch(box, move, 0, self.border_mode_seg, self.border_cval_seg)

    def _patch(self, box: np.ndarray, move: Move, order: int, border: str, outside: float) -> np.ndarray:
        if move.matrix is None:
            # batchgenerators pads with 0, whatever the border
            return np.pad(box, ((0, 0), *zip(move.before, move.after, strict=True)))
        patch = np.empty((len(box), *self.patch_size), box.dtype)
        how: dict[str, Any] = {"order": order, "mode": border, "cval": outside, "prefilter": False}
        for channel, there in zip(box, patch, strict=True):
            voxels = channel
            if order > 1:
                # A slice as a volume of one
                voxels = spline_coefficients(channel.reshape((1, *channel.shape)[-3:])).reshape(channel.shape)
            if move.places is None:
                affine_transform(voxels, move.matrix, move.offset, self.patch_size, output=there, **how)
            else:
                map_coordinates(voxels, move.places, output=there, **how)
        return patch

    def _margins(self, dims: int) -> list[float]:
        given: Any = self.patch_center_dist_from_border
        return list(given) if isinstance(given, (list, tuple, np.ndarray)) else dims * [given]

    def _rotation(self, dims: int) -> np.ndarray:
        x = np.random.uniform(*self._with_draw(self.angle_x))
        if dims == 2:
            return create_matrix_rotation_2d(x)
        y = np.random.uniform(*self._with_draw(self.angle_y))
        z = np.random.uniform(*self._with_draw(self.angle_z))
        return create_matrix_rotation_z_3d(z, create_matrix_rotation_y_3d(y, create_matrix_rotation_x_3d(x)))

    @staticmethod
    def _with_draw(limits: tuple[float, float]) -> tuple[float, float]:
        """The limits, after the draw with which batchgenerators decides whether this axis is rotated: always."""
        np.random.uniform()
        return limits

    def _factors(self) -> float | np.ndarray:
        """Of the volume's axes together, or one an axis, (axes, 1); drawn as batchgenerators draws them."""
        if self.independent_scale_for_each_axis and np.random.uniform() < self.p_independent_scale_per_axis:
            return np.array([[self._factor()] for _ in self.patch_size])
        return self._factor()

    def _factor(self) -> float:
        low, high = self.scale
        # As often smaller as larger, whatever the limits
        if np.random.random() < 0.5 and low < 1:
            return np.random.uniform(low, 1)
        return np.random.uniform(max(low, 1), high)

    def _draw_elastic(self) -> Elastic:
        """Smoothed noise as batchgenerators', computed on a coarse grid."""
        strength, sigma = np.random.uniform(*self.alpha), np.random.uniform(*self.sigma)
        return Elastic(strength, np.stack([coarse_noise(self.patch_size, sigma) for _ in self.patch_size]))

    def _cut_out(self, shape: Sequence[int]) -> Move:
        """The patch as it is, at a random place; centred along an axis where the volume is smaller."""
        starts = []
        for n, size, margin in zip(shape, self.patch_size, self._margins(len(shape)), strict=True):
            distance = int(margin) - size // 2
            if self.random_crop and n - size - distance > distance:
                starts.append(int(np.random.randint(distance, n - size - distance)))
            else:
                starts.append((n - size) // 2)
        stops = [start + size for start, size in zip(starts, self.patch_size, strict=True)]
        box = tuple(slice(max(0, start), min(stop, n)) for start, stop, n in zip(starts, stops, shape, strict=True))
        before = tuple(max(0, -start) for start in starts)
        return Move(box, before, tuple(max(0, stop - n) for stop, n in zip(stops, shape, strict=True)))

    def _deformed(self, shape: Sequence[int], centre: np.ndarray, matrix: np.ndarray, elastic: Elastic | None) -> Move:
        middle = (np.array(self.patch_size) - 1) / 2
        if elastic is None:
            reach = np.abs(matrix) @ middle
            starts, box = self._box(shape, centre - reach, centre + reach)
            return Move(box, matrix=matrix, offset=centre - matrix @ middle - starts)
        places = np.stack([elastic.strength * finer(noise, self.patch_size) for noise in elastic.noise])
        places += _mesh(self.patch_size, middle)
        places = np.tensordot(matrix.astype(np.float32), places, axes=1)
        places += _along_first(centre, len(middle))
        flat = places.reshape(len(places), -1)
        starts, box = self._box(shape, flat.min(1), flat.max(1))
        places -= _along_first(starts, len(middle))
        return Move(box, matrix=matrix, offset=centre - matrix @ middle - starts, places=places)

    def _coarsely(self, shape: Sequence[int], centre: np.ndarray, matrix: np.ndarray, elastic: Elastic | None) -> Move:
        if elastic is None:
            return self._deformed(shape, centre, matrix, None)
        middle, field = (np.array(self.patch_size) - 1) / 2, elastic.strength * elastic.noise
        axes = [positions(size, count) for size, count in zip(self.patch_size, field.shape[1:], strict=True)]
        mesh = np.stack(np.meshgrid(*axes, indexing="ij")) - middle.reshape(-1, *(1,) * len(middle))
        flat = np.tensordot(matrix, mesh + field, axes=1).reshape(len(middle), -1) + centre[:, None]
        # Between the coarse samples and beyond the outermost ones the field goes on as it does from sample to sample
        spatial = tuple(range(1, field.ndim))
        steps = sum(np.abs(np.diff(field, axis=axis)).max(spatial, initial=0) for axis in spatial)
        slack = np.abs(matrix) @ (NOISE_STRIDE / 2 + steps)
        starts, box = self._box(shape, flat.min(1) - slack, flat.max(1) + slack)
        offset = centre - matrix @ middle - starts
        return Move(box, matrix=matrix, offset=offset, field=field.astype(np.float32))

    def _box(self, shape: Sequence[int], low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, tuple[slice, ...]]:
        """First voxels, and slices, of what interpolation between these places of a volume needs."""
        margin = MARGINS[self.order_data]
        starts = np.clip(np.floor(low).astype(int) - margin, 0, np.array(shape) - 1)
        stops = np.clip(np.ceil(high).astype(int) + margin + 1, starts + 1, shape)
        return starts, tuple(slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True))


def _along_first(values: np.ndarray, dims: int) -> np.ndarray:
    """One value for each index of the first axis, float32, of arrays with as many axes more."""
    return values.astype(np.float32).reshape(-1, *(1,) * dims)


def _mesh(shape: Sequence[int], middle: np.ndarray) -> np.ndarray:
    """Places of the voxels of a patch from its centre, float32 (axes, *shape)."""
    axes = [np.arange(size, dtype=np.float32) - np.float32(half) for size, half in zip(shape, middle, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def smooth_noise(shape: Sequence[int], sigma: float) -> np.ndarray:
    """Uniform noise in -1..1 smoothed by a Gaussian of `sigma` voxels, 0 beyond the edges; float32.

    Drawn and smoothed on a grid coarser by NOISE_STRIDE, where smoothed noise is larger by the root of the stride along
    each axis, and interpolated: the same moments and correlations in a hundredth of the time.
    """
    return finer(coarse_noise(shape, sigma), shape)


def coarse_noise(shape: Sequence[int], sigma: float) -> np.ndarray:
    """That of `smooth_noise`, before it is interpolated."""
    counts = [-(-size // NOISE_STRIDE) for size in shape]
    strides = np.array(shape) / counts
    noise = np.random.uniform(-1, 1, counts)
    return gaussian_filter(noise, sigma / strides, mode="constant") / np.sqrt(strides.prod())


def finer(noise: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Noise of a coarse grid on the grid of a patch, float32."""
    missing = (1,) * (3 - noise.ndim)
    return cubic(noise.reshape((*missing, *noise.shape)), (*missing, *shape)).reshape(tuple(shape))
