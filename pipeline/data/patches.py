"""Random patches and slices from the cache: which one, and with which random numbers, is decided before any worker."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose
from torch.utils.data import Dataset, Sampler, get_worker_info

from pipeline.core.annotation import ANNOTATES
from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_CODES
from pipeline.data.cache import CaseCache
from pipeline.data.plain_cases import completed
from pipeline.data.slice_patches import SlicePatches
from pipeline.scans.front import Front

Draw = tuple[int, int]
Sample = tuple[tuple[int, ...], int | None]
# Of a data loader whose cases are told; and no process' number
MOST_WORKERS, NOBODY = 256, -1


class DrawSampler(Sampler[Draw]):
    """Endless shuffled rounds over the samples, cut into epochs: draw n is (index of the sample, its random seed).

    Both depend on `seed` and n alone: not on the number of workers or processes, and not on where an interrupted
    training went on. A round visits every sample once, as MIScnn's shuffled and cycled case list.

    Args:
        samples: how many there are: cases, or slices of all cases.
        draws: in an epoch, over all processes.
        rank, world_size: this process takes every world_size-th draw, beginning with the rank-th.
    """

    def __init__(self, samples: int, draws: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.samples, self.draws, self.seed = samples, draws, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def __len__(self) -> int:
        return len(range(self.rank, self.draws, self.world_size))

    def __iter__(self) -> Iterator[Draw]:
        for place in range(self.rank, self.draws, self.world_size):
            yield self.draw(self.epoch * self.draws + place)

    def draw(self, number: int) -> Draw:
        """Draw `number` of the whole training, counted from 0."""
        turn, place = divmod(number, self.samples)
        order = np.random.default_rng([self.seed, 0, turn]).permutation(self.samples)
        return int(order[place]), int(np.random.default_rng([self.seed, 1, number]).integers(2**32))

    def attach(self, engine: Engine) -> None:
        """Follow a trainer's epochs; a sampler that is not attached repeats the first epoch."""

        def follow(engine: Engine) -> None:
            self.epoch = engine.state.epoch - 1

        engine.add_event_handler(Events.EPOCH_STARTED, follow)


class PatchDataset(Dataset):
    """Samples of prepared cases by draw: item (index, seed) is the transformed sample, alike wherever it is computed.

    Args:
        data: entries of the datalist, or what `pipeline.data.plain_cases` completes to such.
        front: how a case is prepared.
        cache_dir: where prepared cases lie; missing ones are made here, before the first draw.
        transform: turns `image` and `label`, (1, H, W, D) arrays on disk, into a patch. All its random numbers come
            from the draw's seed.
        slice_wise: a sample is an axial slice, (1, H, W, 1), instead of a whole case.
        min_labelled_pixels: leave out slices with fewer pixels of any structure.
        slice_patches: a sample is a patch of a slice, (1, h, w, 1), one of those that this draws of each case.
        slices_as_a_scan: of cases that are a single slice, so many are one sample, drawn as often as a volume; which of
            them it is, the draw's seed tells. 1 draws each as often as a volume. Not for `slice_wise`.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        front: Front,
        cache_dir: str | Path,
        transform: Compose,
        slice_wise: bool = False,
        min_labelled_pixels: int = 0,
        slice_patches: SlicePatches | None = None,
        slices_as_a_scan: int = 1,
    ) -> None:
        if slice_patches is not None and not slice_wise:
            raise InputError("slice_patches is for 2D networks, which see slices; leave it out for a 3D network.")
        if not data:
            raise InputError("there is no case to draw patches from; check the folds and the data folder.")
        self.data = completed(data)
        self.cache = CaseCache(cache_dir, front)
        self.transform = transform
        self.cache.fill(self.data)
        # Of each worker its process, and the case that it is at; they and the one that started them see it
        self.at = torch.full((MOST_WORKERS, 2), NOBODY).share_memory_()
        # Cases, one of which is drawn, and slice of each sample; a whole case has no slice
        self.samples: list[Sample] = self._slices(min_labelled_pixels) if slice_wise else self._cases(slices_as_a_scan)
        # First row and column of each sample, and the size of all; without them a sample is all of a slice or case
        self.corners: np.ndarray | None = None
        self.patch_size: Sequence[int] = ()
        if slice_patches is not None:
            self.patch_size = slice_patches.size
            self.samples, self.corners = self._patches(slice_patches)

    def _cases(self, slices_as_a_scan: int) -> list[Sample]:
        """Volumes one by one, and then single slices by so many."""
        slices = [place for place, case in enumerate(self.data) if len(self.cache.counts(case)) == 1]
        volumes = sorted(set(range(len(self.data))).difference(slices))
        samples = -(-len(slices) // slices_as_a_scan)
        together = [tuple(slices[first::samples]) for first in range(samples)]
        return [((place,), None) for place in volumes] + [(places, None) for places in together]

    def _slices(self, min_labelled_pixels: int) -> list[Sample]:
        labelled = [self.cache.counts(case)[:, 1:].sum(1) for case in self.data]
        samples: list[Sample] = [
            ((place,), int(number))
            for place, pixels in enumerate(labelled)
            for number in np.flatnonzero(pixels >= min_labelled_pixels)
        ]
        if not samples:
            largest = max(int(pixels.max()) for pixels in labelled)
            raise InputError(
                f"min_labelled_pixels is {min_labelled_pixels}, but no slice has more than {largest}; lower it."
            )
        return samples

    def _patches(self, slice_patches: SlicePatches) -> tuple[list[Sample], np.ndarray]:
        """Case and slice, and first row and column, of every patch of the slices that are samples so far."""
        kept = set(self.samples)
        samples: list[Sample] = []
        corners = []
        for place, case in enumerate(self.data):
            for number, row, column in slice_patches.corners(self.cache.load(case)["label"][0], case["case"]).tolist():
                if ((place,), number) in kept:
                    samples.append(((place,), number))
                    corners.append((row, column))
        return samples, np.array(corners, np.int32)

    def __len__(self) -> int:
        return len(self.samples)

    def code_counts(self) -> np.ndarray:
        """Voxels of each label code in all samples, int64 (codes,); what is to be ignored is none."""
        if self.corners is not None:
            labels = (self._arrays(place, index)["label"] for index, ((place,), _) in enumerate(self.samples))
            codes = len(LABEL_CODES)
            return np.sum([np.bincount(label.ravel(), minlength=codes)[:codes] for label in labels], axis=0)
        counts = [self.cache.counts(case) for case in self.data]
        return sum(
            counts[place][number].reshape(-1, len(LABEL_CODES)).sum(0)
            for places, number in self.samples
            for place in places
        )

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        index, seed = draw
        places, number = self.samples[index]
        place = places[seed % len(places)]
        case = self.data[place]
        if (worker := get_worker_info()) is not None and worker.id < MOST_WORKERS:
            self.at[worker.id] = torch.tensor([os.getpid(), place])
        try:
            self.transform.set_random_state(seed=seed)
            told = {name: case[name] for name in ("case", ANNOTATES) if name in case}
            return self.transform({**self._arrays(place, index), **told})
        except Exception as error:
            # Without the name, a worker's traceback does not tell which of the scans it was.
            where = case["case"] if number is None else f"{case['case']}, slice {number}"
            raise RuntimeError(f"case {where} (draw seed {seed}): {error}") from error

    def cases_at(self, processes: Sequence[int]) -> list[str]:
        """Names of the cases that workers with these process numbers were at last."""
        return [self.data[place]["case"] for process, place in self.at.tolist() if process in processes]

    def _arrays(self, place: int, index: int) -> dict[str, np.ndarray]:
        """Memory maps of `image` and `label` of a sample, and of a case of it."""
        _, number = self.samples[index]
        arrays = self.cache.load(self.data[place])
        if number is not None:
            arrays = {name: array[..., number : number + 1] for name, array in arrays.items()}
        if self.corners is not None:
            starts = self.corners[index]
            box = tuple(slice(start, start + size) for start, size in zip(starts, self.patch_size, strict=True))
            arrays = {name: array[(slice(None), *box)] for name, array in arrays.items()}
        return arrays
