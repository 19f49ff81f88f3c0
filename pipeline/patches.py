"""Random patches from the cache: which case, and with which random numbers, is decided before any worker starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.transforms import Compose
from torch.utils.data import Dataset, Sampler

from pipeline.cache import CaseCache
from pipeline.errors import InputError
from pipeline.front import Front

Draw = tuple[int, int]


class DrawSampler(Sampler[Draw]):
    """Endless shuffled rounds over the cases, cut into epochs: draw n is (index of the case, its random seed).

    Both depend on `seed` and n alone: not on the number of workers or processes, and not on where an interrupted
    training went on. A round visits every case once, as MIScnn's shuffled and cycled case list.

    Args:
        cases: how many cases there are.
        draws: in an epoch, over all processes.
        rank, world_size: this process takes every world_size-th draw, beginning with the rank-th.
    """

    def __init__(self, cases: int, draws: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.cases, self.draws, self.seed = cases, draws, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def __len__(self) -> int:
        return len(range(self.rank, self.draws, self.world_size))

    def __iter__(self) -> Iterator[Draw]:
        for place in range(self.rank, self.draws, self.world_size):
            yield self.draw(self.epoch * self.draws + place)

    def draw(self, number: int) -> Draw:
        """Draw `number` of the whole training, counted from 0."""
        turn, place = divmod(number, self.cases)
        order = np.random.default_rng([self.seed, 0, turn]).permutation(self.cases)
        return int(order[place]), int(np.random.default_rng([self.seed, 1, number]).integers(2**32))

    def attach(self, engine: Engine) -> None:
        """Follow a trainer's epochs; a sampler that is not attached repeats the first epoch."""

        def follow(engine: Engine) -> None:
            self.epoch = engine.state.epoch - 1

        engine.add_event_handler(Events.EPOCH_STARTED, follow)


class PatchDataset(Dataset):
    """Prepared cases by draw: item (index, seed) is the transformed case, the same wherever it is computed.

    Args:
        data: entries of the datalist.
        front: how a case is prepared.
        cache_dir: where prepared cases lie; missing ones are made here, before the first draw.
        transform: turns `image` and `label`, (1, H, W, D) arrays on disk, into a patch. All its random numbers come
            from the draw's seed.
    """

    def __init__(self, data: Sequence[dict[str, Any]], front: Front, cache_dir: str | Path, transform: Compose) -> None:
        if not data:
            raise InputError("there is no case to draw patches from; check the folds and the data folder.")
        self.data = list(data)
        self.cache = CaseCache(cache_dir, front)
        self.transform = transform
        self.cache.fill(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        index, seed = draw
        case = self.data[index]
        try:
            self.transform.set_random_state(seed=seed)
            return self.transform({**self.cache.load(case), "case": case["case"]})
        except Exception as error:
            # Without the name, a worker's traceback does not tell which of the scans it was.
            raise RuntimeError(f"case {case['case']} (draw seed {seed}): {error}") from error
