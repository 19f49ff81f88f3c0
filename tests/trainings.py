"""Tiny trainings in this process, and their states compared."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.bundle import ConfigWorkflow

from pipeline.core.configuration import COMMON, TRAIN, merged
from pipeline.training.checkpoint import (
    LAST,
    MODEL,
    read_state,
)


def workflow(tiny, data, out, **more):
    overrides = {**tiny, "max_epochs": 4, "cache_dir": str(data / "cache"), **more}
    own = {"dataset_dir": str(data / "phantom"), "output_dir": str(out), "folds": 3}
    ready = ConfigWorkflow(
        config_file=str(COMMON / "train.yaml"),
        meta_file=str(COMMON / "metadata.json"),
        logging_file=False,
        **merged(TRAIN, "unet_3d", "demo", overrides, own),
    )
    ready.initialize()
    return ready


def state_of(out: Path) -> dict:
    """All that a training ends with: weights, optimizer, schedule, counters, random state, history, and its files."""
    fold = out / "fold0"
    state = read_state(fold / LAST)
    state.pop("seconds")
    return {**state, "model": read_state(fold / MODEL), "table": (fold / "history.csv").read_text()}


def equal(one, other) -> bool:
    """Bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other
