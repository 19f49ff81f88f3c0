"""When the system kills a data worker, the case that it was at is told."""

from __future__ import annotations

import os
import signal

import pytest
from ignite.engine import Engine
from monai.transforms import Compose
from torch.utils.data import DataLoader

from pipeline.core.errors import InputError
from pipeline.data.patches import PatchDataset
from pipeline.scans.front import Front
from pipeline.training.dead_worker import NameDeadWorker


def die_at(case: str):
    """A transform that ends its process at a case, as a system does that has no memory left."""

    def transform(sample):
        if sample["case"] == case:
            os.kill(os.getpid(), signal.SIGKILL)
        return sample["case"]

    return transform


@pytest.fixture
def run(make_cases, tmp_path):
    """Goes through a loader with a worker, whose transform is given."""

    def through(transform):
        dataset = PatchDataset(make_cases(tmp_path, 3), Front(), tmp_path / "cache", Compose([transform]))
        engine = Engine(lambda engine, batch: None)
        NameDeadWorker(dataset).attach(engine)
        engine.run(DataLoader(dataset, sampler=[(place, 0) for place in range(3)], num_workers=1))
        return dataset

    return through


def test_the_case_that_a_killed_worker_was_at_is_told(run, make_cases, tmp_path):
    names = [case["case"] for case in make_cases(tmp_path / "names", 3)]
    with pytest.raises(InputError, match=rf"killed while it was at case {names[1]}, most likely because memory"):
        run(die_at(names[1]))


def test_an_error_of_a_worker_stays_what_it_is(run):
    def fail(sample):
        raise ValueError("no such thing")

    with pytest.raises(RuntimeError, match="no such thing"):
        run(fail)
