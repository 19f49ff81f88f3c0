"""A study: one data set and one way of splitting it, written down beside the results."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.atomic import keep_json, read_json
from pipeline.core.errors import InputError
from pipeline.core.run_files import DATALIST, FOLDS, PREDICTIONS
from pipeline.data.datalist import checked_datalist, load_datalist, read_datalist
from pipeline.data.folds import held_out_cases, make_folds, training_cases, validation_cases
from pipeline.folders.output_folder import check_output, claim_output, refuse_signs
from pipeline.folders.several import Data, data_folders, folders_of, output_name, told

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """The cases of a data set and their folds; entries carry absolute paths.

    Args:
        folder: of the study's files.
        datalist: as `pipeline.data.datalist.read_datalist` makes it.
        folds: as `pipeline.data.folds.make_folds` makes it.
    """

    folder: Path
    datalist: dict[str, Any]
    folds: dict[str, Any]

    def training(self, fold: int) -> list[dict[str, Any]]:
        return self._absolute(training_cases(self.datalist, self.folds, fold))

    def held_out(self, fold: int) -> list[dict[str, Any]]:
        return self._absolute(held_out_cases(self.datalist, self.folds, fold))

    def validation(self, fold: int) -> list[dict[str, Any]]:
        """What the validation loss is measured on: the held-out cases, unless the split names others."""
        return self._absolute(validation_cases(self.datalist, self.folds, fold))

    def every_case(self) -> list[dict[str, Any]]:
        return self._absolute(self.datalist["training"])

    def warn_of_leaks(self) -> None:
        """A line where the split has patients that are trained on and tested."""
        if leaking := self.folds.get("leaking_patients", []):
            logger.warning("This split has scans of one patient on both sides: %s", ", ".join(leaking))

    def untested(self) -> list[str]:
        """Names of the cases that no fold holds out."""
        tested = {name for fold in self.folds["folds"] for name in fold["test"]}
        return [case["case"] for case in self.datalist["training"] if case["case"] not in tested]

    def unpredicted(self, fold: int) -> list[dict[str, Any]]:
        """Held-out cases without a prediction so far, for inference: their images alone."""
        return without_label(self.held_out(fold), self.folder / PREDICTIONS)

    def learnt(self, fold: int) -> list[dict[str, Any]]:
        """What a fold's training reads, each case once: the training cases and those of the validation loss."""
        return list({case["case"]: case for case in [*self.training(fold), *self.validation(fold)]}.values())

    def prediction(self, case: dict[str, Any]) -> Path:
        return self.folder / PREDICTIONS / f"{case['case']}.nii.gz"

    def _absolute(self, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        root = Path(self.datalist["dataset_dir"])
        return [{**case, "image": str(root / case["image"]), "label": str(root / case["label"])} for case in cases]


def open_study(output_dir: str | Path, dataset_dir: Data, folds: int, split: str = "patients", seed: int = 0) -> Study:
    """The study of an output folder; its datalist and folds are made on first use and kept from then on.

    Raises InputError when the folder belongs to another data set or another split.
    """
    folder = Path(output_dir)
    refuse_signs(folder)
    listed, asked = folder / DATALIST, data_folders(dataset_dir)
    (check_output if listed.exists() else claim_output)(folder, *asked)
    # An existing one is not made again: that reads every scan
    datalist = load_datalist(listed) if listed.exists() else keep_json(listed, read_datalist(dataset_dir))
    # A study that came with a filled cache, but without the scans, is of a folder of another machine
    if folders_of(datalist) != asked and any(map(os.path.exists, asked)):
        raise InputError(
            f"{folder}: holds a study of {told(folders_of(datalist))}, but DATA is {told(asked)}; choose another OUT, "
            f"such as runs/{output_name(asked)}, or delete that folder."
        )
    wanted = make_folds(datalist, folds, split, seed)
    kept = keep_json(folder / FOLDS, wanted)
    if kept != wanted:
        raise InputError(
            f"{folder}: was split into {len(kept['folds'])} folds (split {kept['split']}, seed {kept['seed']}), now "
            f"{folds} (split {split}, seed {seed}) are asked for; choose another OUT, or delete that folder."
        )
    return Study(folder, datalist, kept)


def load_study(output_dir: str | Path) -> Study:
    """The study that was begun in a folder."""
    folder = Path(output_dir)
    return Study(folder, load_datalist(folder / DATALIST), read_json(folder / FOLDS))


def unpredicted(output_dir: str | Path, fold: int) -> list[dict[str, Any]]:
    """What a fold's inference has left to do, for the configuration."""
    return load_study(output_dir).unpredicted(fold)


def learnt_without(output_dir: str | Path, fold: int, folder: str | Path) -> list[dict[str, Any]]:
    """What a fold's training reads and has no label in a folder yet, for the configuration."""
    return without_label(load_study(output_dir).learnt(fold), folder)


def without_label(cases: Iterable[dict[str, Any]], folder: str | Path) -> list[dict[str, Any]]:
    """Those without `<case>.nii.gz` in a folder, for inference: their images alone."""
    missing = [case for case in cases if not (Path(folder) / f"{case['case']}.nii.gz").exists()]
    return [{"case": case["case"], "image": case["image"]} for case in missing]


def check_unchanged(study: Study) -> None:
    """Raise InputError naming the first case whose files are not those that the study began with."""
    before = {case["case"]: case for case in study.datalist["training"]}
    # Its warnings were told when the study was begun
    now, _ = checked_datalist(folders_of(study.datalist))
    after = {case["case"]: case for case in now["training"]}
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        raise InputError(
            f"case {changed[0]}: has changed, come or gone since {study.folder} was begun ({len(changed)} such cases); "
            "choose another OUT, or delete that folder."
        )
