"""batchgenerators transforms before a `DeformAndCrop`, computed on the voxels that the patch needs.

Where the patch comes from is drawn first. Mirroring gives a view. Contrast, brightness and gamma are functions of a
voxel's value that depend on the whole volume's mean, deviation and range: they are applied to a sample of the volume's
values, which tells the function, and then to the patch. Noise is added to the patch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from batchgenerators.transforms.abstract_transforms import AbstractTransform
from batchgenerators.transforms.color_transforms import (
    BrightnessMultiplicativeTransform,
    ContrastAugmentationTransform,
    GammaTransform,
)

from transforms.deform_and_crop import DeformAndCrop, Move
from transforms.lung_mirror import LungMirror, swap_codes
from transforms.random_field_of_view import RandomFieldOfView
from transforms.random_window import RandomWindow

# What a voxel becomes depends on its own value and on statistics of all
POINTWISE = (BrightnessMultiplicativeTransform, ContrastAugmentationTransform, GammaTransform, RandomWindow)
# Change the scan itself by its label, before it is seen through any window
BY_LABEL = (RandomFieldOfView,)
# Of a volume, from which those statistics are taken: a standard error of 0.003 deviations of the mean
SAMPLED_VALUES = 100_000
# None of a scan's is infinite or not a number
EVERY_FLOAT16 = np.nan_to_num(np.arange(2**16).astype(np.uint16).view(np.float16).astype(np.float32))


@dataclass(frozen=True)
class Cut:
    """The voxels that a patch needs, mirrored, and what is drawn of all but the transforms that are `left`.

    Args:
        image, label: (C, *box), views.
        move: where the patch comes from in them.
        swapped: whether left and right lung change places.
        curves: of `value_curves`.
        left: transforms to be applied before the patch is interpolated.
    """

    image: np.ndarray
    label: np.ndarray
    move: Move
    swapped: bool
    curves: np.ndarray | None
    left: Sequence[AbstractTransform]


def augmented_patch(
    image: np.ndarray, label: np.ndarray, transforms: Sequence[AbstractTransform], last: DeformAndCrop
) -> tuple[np.ndarray, np.ndarray]:
    """Patches of an image and its label map, both (C, H, W, D) or (C, H, W), which stay as they are.

    Raises ValueError where a pointwise transform comes after one that is not, whose statistics would be the patch's.
    """
    cut = drawn_cut(image, label, transforms, last.draw)
    batch = {"data": changed_values(cut.image, cut.curves)[None], "seg": cut.label[None]}
    for transform in cut.left:
        batch = transform(**batch)
    codes = last.label(batch["seg"][0], cut.move)
    return last.image(batch["data"][0], cut.move), swap_codes(codes) if cut.swapped else codes


def drawn_cut(
    image: np.ndarray,
    label: np.ndarray,
    transforms: Sequence[AbstractTransform],
    draw: Callable[[Sequence[int]], Move],
) -> Cut:
    """Draw where the patch of an image and its label map comes from, and what becomes of it.

    Raises ValueError as `augmented_patch`.
    """
    mirrors = [transform for transform in transforms if isinstance(transform, LungMirror)]
    by_label = [transform for transform in transforms if isinstance(transform, BY_LABEL)]
    others = [transform for transform in transforms if not isinstance(transform, (LungMirror, *BY_LABEL))]
    pointwise = [transform for transform in others if isinstance(transform, POINTWISE)]
    if others[: len(pointwise)] != pointwise:
        raise ValueError("contrast, brightness and gamma come before other transforms; change their order")
    move = draw(image.shape[1:])
    swapped = False
    for mirror in mirrors:
        axes = mirror.draw_axes()
        image, label = (np.flip(array, tuple(axis + 1 for axis in axes)) for array in (image, label))
        swapped ^= mirror.swaps(axes)
    within = (slice(None), *move.box)
    curves = value_curves(image, pointwise)
    image, label = image[within], label[within]
    if by_label:
        image = np.array(image)
    for transform in by_label:
        image = transform(data=image[None], seg=label[None])["data"][0]
    return Cut(image, label, move, swapped, curves, others[len(pointwise) :])


def value_curves(image: np.ndarray, pointwise: Sequence[AbstractTransform]) -> np.ndarray | None:
    """Values of an image (C, ...), ascending, and what pointwise transforms of all of it make of them.

    Float32 (2, C, values); None where they change nothing.
    """
    step = max(1, int((image[0].size / SAMPLED_VALUES) ** (1 / (image.ndim - 1))))
    sample = image[(slice(None), *(slice(None, None, step),) * (image.ndim - 1))]
    before = np.sort(sample.reshape(len(image), -1).astype(np.float32))
    after = before.copy()[None]
    for transform in pointwise:
        after = transform(data=after)["data"]
    return None if np.array_equal(after[0], before) else np.stack([before, after[0]])


def changed_values(box: np.ndarray, curves: np.ndarray | None) -> np.ndarray:
    """What `value_curves` make of a box (C, ...) of their image, float32."""
    if curves is None:
        return box.astype(np.float32)
    pairs = zip(*curves, strict=True)
    if box.dtype == np.float16:
        # The cache's: 65,536 values at most
        tables = [np.interp(EVERY_FLOAT16, old, new).astype(np.float32) for old, new in pairs]
        return np.stack([table[channel.view(np.uint16)] for table, channel in zip(tables, box, strict=True)])
    return np.stack(
        [np.interp(channel, old, new).astype(np.float32) for channel, (old, new) in zip(box, pairs, strict=True)]
    )
