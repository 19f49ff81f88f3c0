"""The starter model made again: a cross-validation, a training on all, and what of both is laid down for others.

What is laid down in `models/<name>/` is a folder of a cross-validation without anybody's voxels: `make predict`, `make
bundle` and programs take it as any other, with the code of this version. A bundle of the Model Zoo is made of it by
`make bundle RUN=models/<name>`; its copy of the code would be stale here after the next change.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from evaluation.statistics.findings import FLAGS_FILE, SEVERITY_FILE
from evaluation.statistics.reliability import RELIABILITY_FILE
from evaluation.statistics.unlike_training import LIMITS_FILE
from pipeline.bundle_files.archive import write_checksums
from pipeline.core.atomic import read_json, write_json
from pipeline.core.configuration import INFERENCE, TRAIN
from pipeline.core.errors import InputError
from pipeline.core.run_files import DATA_LICENCE_FILE, DATALIST, FOLDS, METRICS_FILE, SUMMARY_FILE
from pipeline.core.scan_traits import TRAITS_FILE
from pipeline.core.temperature import TEMPERATURE_FILE
from pipeline.inference.starter_model import CARD, STARTER
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.starter_card import card, data_license
from pipeline.training.checkpoint import FINISHED, MODEL, read_state

logger = logging.getLogger(__name__)
# By which such a folder is known
OWN = (DATALIST, CARD, DATA_LICENCE_FILE)
COPIED = (FOLDS, METRICS_FILE, SUMMARY_FILE, SEVERITY_FILE, FLAGS_FILE)
# Of runs whose probabilities could be scored, and with enough patients
COPIED_IF_THERE = (RELIABILITY_FILE, TEMPERATURE_FILE, LIMITS_FILE)
# Of a configuration, which name places of the machine that it was made on
PLACES = {"dataset_dir": "data", "cache_dir": "data/cache"}


def make_starter(training: CrossValidation, described: Mapping[str, Any], target: Path) -> Path:
    """Do what is missing of the cross-validation and of the training on all, and write `target` anew.

    `described` is bundles/common/starter.yaml. Raises InputError where `target` holds something else than such a model.
    """
    if target.is_dir() and any(target.iterdir()) and not all((target / name).is_file() for name in OWN):
        raise InputError(f"{target}: is a folder, but no starter model; remove it, or choose another name.")
    training.run()
    fold = training.train_on_all()
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=".") as scratch:
        draft = Path(scratch) / target.name
        lay_down(Path(training.output_dir), fold, draft, described)
        if target.is_dir():
            # Aside first: there is a whole one at any moment but that between two renamings
            target.rename(Path(scratch) / "before")
        draft.rename(target)
    write_checksums(target)
    logger.info("%s: the starter model, %s", target, STARTER.name)
    return target


def lay_down(run: Path, fold: Path, draft: Path, described: Mapping[str, Any]) -> None:
    """Write all files of a starter model into a new folder."""
    (draft / fold.name).mkdir(parents=True)
    for name in (*COPIED, *(name for name in COPIED_IF_THERE if (run / name).is_file())):
        shutil.copyfile(run / name, draft / name)
    datalist = of_no_machine(read_json(run / DATALIST))
    write_json(draft / DATALIST, datalist)
    for name in (TRAIN, INFERENCE):
        of_fold = fold / f"{name}.json"
        content = read_json(of_fold if of_fold.is_file() else run / f"{name}.json")
        own = {**PLACES, "output_dir": f"runs/{described['name']}/cv" if name == TRAIN else "predictions"}
        write_json(draft / f"{name}.json", {**content, **{key: own[key] for key in own if key in content}})
    shutil.copyfile(fold / FINISHED, draft / fold.name / FINISHED)
    # Of its training scans; it has held out none
    shutil.copyfile(fold / TRAITS_FILE, draft / fold.name / TRAITS_FILE)
    torch.save(smaller(read_state(fold / MODEL)), draft / fold.name / MODEL)
    (draft / CARD).write_text(card(draft, described), encoding="utf-8", newline="\n")
    (draft / DATA_LICENCE_FILE).write_text(data_license(datalist, described), encoding="utf-8", newline="\n")


def of_no_machine(datalist: Mapping[str, Any]) -> dict[str, Any]:
    """A datalist without the folders above those that the scans lie in; of several folders each keeps its own name."""
    told = {**datalist, "dataset_dir": PLACES["dataset_dir"]}
    if "folders" not in datalist:
        return told
    names: dict[str, str] = {}
    for folder in datalist["folders"]:
        name = Path(folder).name
        names[folder] = f"{name}_{len(names)}" if name in names.values() else name

    def moved(file: str) -> str:
        folder = next(folder for folder in names if Path(file).is_relative_to(folder))
        return (names[folder] / Path(file).relative_to(folder)).as_posix()

    cases = [{**case, "image": moved(case["image"]), "label": moved(case["label"])} for case in datalist["training"]]
    return {**told, "folders": list(names.values()), "training": cases}


def smaller(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of convolutions in two bytes a number: a processor with bfloat16 computes with fewer digits than these.

    Norms stay as they are: running variances may be beyond float16.
    """
    return {
        name: value.half() if value.is_floating_point() and value.ndim > 1 else value for name, value in state.items()
    }
