"""Several cross-validations one after the other: the rows of a paper's table, or networks to be compared."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.configuration import TRAIN
from pipeline.runs.arguments import Shared
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.units import Unit

logger = logging.getLogger(__name__)


def check_all(trainings: Mapping[str, CrossValidation]) -> None:
    """Raise InputError for what is wrong in any configuration."""
    for training in trainings.values():
        for stage in training.stages:
            training.configuration(TRAIN, stage)


class Several(Shared, ABC):
    """What is made of several cross-validations, as a `pipeline.runs.launch.Work`."""

    @property
    @abstractmethod
    def trainings(self) -> Mapping[str, CrossValidation]:
        """By name, in their order."""

    def training(self, network: str, folder: Path, overrides: Mapping[str, Any] | str) -> CrossValidation:
        """The cross-validation of a network or cascade in a folder, with what all of them share."""
        return CrossValidation(
            network=network,
            dataset_dir=self.data_dir,
            folds=self.folds,
            preset=self.preset,
            output_dir=str(folder),
            split=self.split,
            seed=self.seed,
            overrides=overrides,
            jobs=self.jobs,
            gpus=self.gpus,
        )

    def prepare(self) -> list[Unit]:
        """As `CrossValidation.prepare`, for all; InputError before anything is written, where it can be."""
        check_all(self.trainings)
        return [unit for training in self.trainings.values() for unit in training.prepare()]

    def units(self) -> list[Unit]:
        return [unit for training in self.trainings.values() for unit in training.units()]


def run_in_turn(what: str, trainings: Mapping[str, CrossValidation]) -> Iterator[tuple[str, CrossValidation]]:
    """Run what is missing of each and yield its name and itself when it is finished; `what` is for the messages.

    Raises InputError for what the user can mend, that in any configuration before the first is trained: the last one's
    error would come days later.
    """
    check_all(trainings)
    for place, (name, training) in enumerate(trainings.items(), 1):
        logger.info("%s %d of %d: %s", what, place, len(trainings), name)
        training.run()
        yield name, training
