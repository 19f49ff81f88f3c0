"""The same augmentation in two halves: a data loader's process draws and cuts out, torch computes on the device.

The random numbers are those of `transforms.patch_augmentation`, drawn in the same order: from the same seed both give
the same patch, but for Gaussian noise, which is as strong and comes from torch's generator, with a seed that is drawn
too. So a patch depends on its draw alone, wherever a training was interrupted and on however many devices it runs.

The first half does what needs few voxels or decides which are needed: mirrored views, the curves of contrast,
brightness and gamma, and an elastic deformation on its coarse grid, a hundredth of its work.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from batchgenerators.transforms.abstract_transforms import AbstractTransform
from batchgenerators.transforms.noise_transforms import GaussianNoiseTransform
from monai.data import list_data_collate
from monai.engines.utils import default_prepare_batch

from pipeline.core.errors import InputError
from pipeline.scans.resampling import cubic_weights
from pipeline.scans.sampling import along, interpolated, nearest
from transforms.deform_and_crop import DeformAndCrop, Move
from transforms.lung_mirror import LungMirror, swap_codes
from transforms.patch_augmentation import BY_LABEL, POINTWISE, drawn_cut

IMAGE, LABEL, PLAN = "image", "label", "plan"


@dataclass(frozen=True)
class Plan:
    """What is left to be done with the voxels of a patch.

    Args:
        move: where the patch comes from in them, an elastic deformation as a field.
        size: of the patch, voxels along each axis.
        order, border, outside: of the image's interpolation; labels are interpolated by the nearest voxel.
        label_border: beyond it a label is 0.
        curves: what the image's values become, (2, C, values), ascending and changed; None where they stay.
        noise: its standard deviation in each channel; None for none.
        seed: of the noise.
    """

    move: Move
    size: tuple[int, ...]
    order: int
    border: str
    outside: float
    label_border: str
    curves: torch.Tensor | None
    noise: tuple[float, ...] | None
    seed: int


def check_transforms(transforms: Sequence[AbstractTransform]) -> None:
    """Raise InputError for transforms that `planned` does not know."""
    before = transforms[:-1] if transforms and isinstance(transforms[-1], DeformAndCrop) else transforms
    known = (LungMirror, *BY_LABEL, *POINTWISE, GaussianNoiseTransform)
    unknown = [type(transform).__name__ for transform in before if not isinstance(transform, known)]
    if unknown:
        raise InputError(
            f"augment_on is device, where {unknown[0]}, one of this recipe's augmentations, is not computed; leave "
            "augment_on at loader."
        )
    if len(before) < len(transforms) and getattr(transforms[-1], "border_cval_seg", 0) != 0:
        raise InputError(
            f"augment_on is device, where a label is 0 beyond its volume, but border_cval_seg is "
            f"{transforms[-1].border_cval_seg}; leave augment_on at loader."
        )


def planned(
    image: np.ndarray, label: np.ndarray, transforms: Sequence[AbstractTransform]
) -> tuple[np.ndarray, np.ndarray, Plan]:
    """The voxels of an image and a label map, both (C, H, W, D) or (C, H, W), that a patch needs, and what to do.

    Draws from the global states of numpy and Python. Without a `DeformAndCrop` at the end all voxels are the patch.
    """
    last = transforms[-1] if transforms and isinstance(transforms[-1], DeformAndCrop) else None
    before = transforms[:-1] if last else transforms
    cut = drawn_cut(image, label, before, last.draw_coarsely if last else _all_of)
    noise = drawn_noise(cut.left, len(image))
    plan = Plan(
        move=cut.move,
        size=tuple(last.patch_size if last else image.shape[1:]),
        order=last.order_data if last else 0,
        border=last.border_mode_data if last else "constant",
        outside=float(last.border_cval_data if last else 0),
        label_border=last.border_mode_seg if last else "constant",
        curves=None if cut.curves is None else torch.from_numpy(cut.curves),
        noise=noise,
        seed=int(np.random.randint(2**63 - 1, dtype=np.int64)),
    )
    return cut.image, swap_codes(cut.label) if cut.swapped else cut.label, plan


def _all_of(shape: Sequence[int]) -> Move:
    nothing = (0,) * len(shape)
    return Move(tuple(slice(0, size) for size in shape), nothing, nothing)


def drawn_noise(transforms: Sequence[Any], channels: int) -> tuple[float, ...] | None:
    """The standard deviation of each channel's noise, all transforms together, drawn as batchgenerators draws it."""
    variances = np.zeros(channels)
    for transform in transforms:
        if not np.random.uniform() < transform.p_per_sample:
            continue
        # Called a variance there, and used as a deviation
        shared = None if transform.per_channel else _between(*transform.noise_variance)
        for channel in range(channels):
            if np.random.uniform() < transform.p_per_channel:
                deviation = _between(*transform.noise_variance) if shared is None else shared
                variances[channel] += deviation**2
    return tuple(np.sqrt(variances).tolist()) if variances.any() else None


def _between(low: float, high: float) -> float:
    return low if low == high else random.uniform(low, high)


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of samples; of those with a plan, whose voxels are of many sizes, each entry is a list."""
    if PLAN not in samples[0]:
        whole: dict[str, Any] = list_data_collate(samples)
        return whole
    return {key: [sample[key] for sample in samples] for key in samples[0]}


def prepare_batch(
    batch: dict[str, Any], device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> Any:
    """A trainer's `prepare_batch`: image and label of a batch of `collate` on the device, augmented where that is left.

    Image and label are (B, C, H, W, D) or (B, C, H, W).
    """
    if PLAN not in batch:
        return default_prepare_batch(batch, device, non_blocking, **kwargs)
    there = [
        [voxels.to(device, non_blocking=non_blocking, **kwargs) for voxels in batch[key]] for key in (IMAGE, LABEL)
    ]
    patches = [finished(image, label, plan) for image, label, plan in zip(*there, batch[PLAN], strict=True)]
    images, labels = zip(*patches, strict=True)
    return torch.stack(images), torch.stack(labels)


def finished(image: torch.Tensor, label: torch.Tensor, plan: Plan) -> tuple[torch.Tensor, torch.Tensor]:
    """The patches of an image, float32, and its label map, from the voxels of `planned`, on their device."""
    voxels = image.float() if plan.curves is None else changed_tensor(image, plan.curves.to(image.device))
    if plan.noise is not None:
        voxels = voxels + _noise(voxels, plan.noise, plan.seed)
    if plan.move.matrix is None:
        ends = [length for pair in zip(plan.move.before[::-1], plan.move.after[::-1], strict=True) for length in pair]
        return F.pad(voxels, ends), F.pad(label, ends)
    places = places_of(plan.move, plan.size, image.device)
    return (
        interpolated(voxels, places, plan.order, plan.border, plan.outside),
        nearest(label, places, plan.label_border),
    )


def _noise(voxels: torch.Tensor, deviations: Sequence[float], seed: int) -> torch.Tensor:
    generator = torch.Generator(voxels.device).manual_seed(seed)
    noise = torch.randn(voxels.shape, generator=generator, device=voxels.device)
    return noise * torch.tensor(deviations, device=voxels.device).reshape(-1, *(1,) * (voxels.ndim - 1))


def changed_tensor(box: torch.Tensor, curves: torch.Tensor) -> torch.Tensor:
    """What value curves (2, C, values) make of a box (C, ...), float32; as `changed_values` of `patch_augmentation`."""
    channels = zip(box, *curves, strict=True)
    if box.dtype == torch.float16:
        # The cache's: 65,536 values at most
        every = torch.arange(-(2**15), 2**15, device=box.device).to(torch.int16).view(torch.float16).float()
        return torch.stack(
            [_on_curve(every, *pair)[channel.view(torch.int16).long() + 2**15] for channel, *pair in channels]
        )
    return torch.stack([_on_curve(channel.float(), *pair) for channel, *pair in channels])


def _on_curve(values: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Linear interpolation as numpy's `interp`, which goes on level at both ends."""
    above = torch.searchsorted(before, values.contiguous(), right=True).clamp_(1, len(before) - 1)
    low, high = before[above - 1], before[above]
    share = ((values - low) / (high - low).clamp_min(torch.finfo(before.dtype).tiny)).clamp_(0, 1)
    return after[above - 1] + share * (after[above] - after[above - 1])


def places_of(move: Move, size: Sequence[int], device: torch.device) -> torch.Tensor:
    """Where in its box each voxel of a moved patch comes from, float32 (axes, *size)."""
    if move.matrix is None or move.offset is None:
        raise ValueError("a patch that is cut out as it is has no places")
    axes = [torch.arange(length, dtype=torch.float32, device=device) for length in size]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    if move.field is not None:
        field = torch.tensor(move.field, device=device)
        for axis, (coarse, fine) in enumerate(zip(field.shape[1:], size, strict=True), 1):
            field = along(field, fine_weights(coarse, fine, device), axis)
        places += field
    matrix, offset = (torch.tensor(part, dtype=torch.float32, device=device) for part in (move.matrix, move.offset))
    return (matrix @ places.flatten(1)).add_(offset[:, None]).reshape(places.shape)


@lru_cache(maxsize=16)
def fine_weights(coarse: int, fine: int, device: torch.device) -> torch.Tensor:
    """Of `cubic_weights`, dense: an elastic deformation's field has few samples."""
    return torch.tensor(cubic_weights(coarse, fine).toarray(), device=device)
