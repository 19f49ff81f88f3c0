"""The traits of a fold's training scans and of those that it held out, kept beside its model.

A training scan is seen here as every other scan is: whole and as it is, by the trained network, not in the patches and
with the augmentation that it was learnt from.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import Workflow
from monai.inferers import Inferer

from pipeline.core.device import autocast
from pipeline.core.progress_bar import Progress
from pipeline.core.scan_traits import HELD_OUT, MOST_SCANS, TRAINING, Traits, read_traits, write_traits
from pipeline.data.study import load_study
from pipeline.inferers.traits import KeepsTraits

logger = logging.getLogger(__name__)


def familiar_cases(run: str | Path, fold: int) -> list[dict[str, Any]]:
    """At most MOST_SCANS training scans of a fold, spread evenly over all in their order, for the configuration.

    Single slices, which are no scans, only where there is nothing else.
    """
    training = load_study(run).training(fold)
    scans = [case for case in training if case["size"][2] > 1] or training
    chosen = scans if len(scans) <= MOST_SCANS else [scans[i * len(scans) // MOST_SCANS] for i in range(MOST_SCANS)]
    return [{"case": case["case"], "image": case["image"]} for case in chosen]


def keep_training_traits(
    fold: str | Path,
    cases: Sequence[Mapping[str, str]],
    preprocessing: Any,
    inferer: Inferer,
    network: Any,
    keeper: KeepsTraits,
    device: str | torch.device,
    mixed_precision: bool,
) -> None:
    """Write the traits of a fold's training scans, unless they are there."""
    kept = read_traits(Path(fold))
    if kept[TRAINING]:
        return
    found: dict[str, Traits] = {}
    where = torch.device(device)
    network.eval()
    with Progress("looking at the training scans", len(cases)) as step:
        for case in cases:
            image = preprocessing(dict(case))["image"]
            with torch.inference_mode(), autocast(where, mixed_precision):
                inferer(image[None].to(where), network)
            # One network, whose traits are one, or which has none
            for mine in keeper.traits:
                found[case["case"]] = mine
            step.advance()
    if found:
        write_traits(Path(fold), {**kept, TRAINING: found})


class KeepTraits:
    """Handler for an evaluator with one case a step: adds the traits of each to those of its fold.

    Args:
        fold: folder of the fold.
        keeper: by which the network runs.
    """

    def __init__(self, fold: str | Path, keeper: KeepsTraits) -> None:
        self.fold = Path(fold)
        self.keeper = keeper

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)

    def iteration_completed(self, engine: Workflow) -> None:
        (case,) = (one["case"] for one in engine.state.batch)
        kept = read_traits(self.fold)
        if self.keeper.traits:
            (mine,) = self.keeper.traits
            write_traits(self.fold, {**kept, HELD_OUT: {**kept[HELD_OUT], case: mine}})
