"""k-fold cross-validation: calls one ordinary training and one ordinary inference a fold, then evaluates.

There is no second training loop here: each fold is `python -m monai.bundle run` with `--fold k --folds n`, which can be
run by hand, in any order and on any machine, and is recognised as done afterwards.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue

from evaluation.cases import Job, evaluate_cases, write_metrics_csv
from evaluation.summary import summarise
from evaluation.table import tables
from pipeline.atomic import read_json, write_json
from pipeline.checkpoint import FINISHED, MODEL
from pipeline.configuration import INFERENCE, LOGGING, METADATA, TRAIN, merged, parse_overrides
from pipeline.errors import InputError
from pipeline.labels import label_map
from pipeline.progress import duration
from pipeline.study import PREDICTIONS, Study, check_unchanged, open_study

logger = logging.getLogger(__name__)


@dataclass
class CrossValidation:
    """One network, one data set, n folds.

    Args:
        network: name of a folder of `bundles/`.
        dataset_dir: in any layout that `pipeline.layouts` knows.
        folds: how many; with split `patients` no patient is on both sides.
        preset: name of a file of `bundles/common/presets`.
        output_dir: gets `predictions/<case>.nii.gz`, `metrics.csv`, `summary.json`, `folds.json`, `fold<k>/model.pt`.
        split: `patients`, `published` or a JSON file.
        seed: of the split and of the training.
        only_fold: run this fold alone and do not evaluate; -1 for all.
        overrides: keys of train.yaml and inference.yaml to change, such as {"max_epochs": 20}; as text where a value is
            a reference or an expression, which would otherwise be evaluated here and not in the fold.
    """

    network: str
    dataset_dir: str
    folds: int
    preset: str
    output_dir: str
    split: str = "patients"
    seed: int = 0
    only_fold: int = -1
    overrides: Mapping[str, Any] | str = field(default_factory=dict)

    def run(self) -> None:
        """Run what is missing, then evaluate; raises InputError for what the user can mend."""
        began = time.monotonic()
        configurations = {name: self.configuration(name) for name in (TRAIN, INFERENCE)}
        study = open_study(self.output_dir, self.dataset_dir, self.folds, self.split, self.seed)
        check_unchanged(study)
        for name, content in configurations.items():
            self.keep(name, content)
        self.warn_of_leaks(study)
        if self.only_fold >= 0:
            self.run_fold(study, self.only_fold)
            return
        for fold in range(self.folds):
            self.run_fold(study, fold)
        self.evaluate(study)
        logger.info("Done in %s. Results are in %s", duration(time.monotonic() - began), self.output_dir)

    def configuration(self, name: str) -> dict[str, Any]:
        """All layers of `train` or `inference` and this run's own values in one; unknown keys raise InputError."""
        own = {
            "dataset_dir": str(self.dataset_dir),
            "output_dir": str(self.output_dir),
            "folds": self.folds,
            "split": str(self.split),
            "seed": self.seed,
        }
        if name == INFERENCE:
            own = {"output_dir": str(Path(self.output_dir) / PREDICTIONS)}
        return merged(name, self.network, self.preset, parse_overrides(self.overrides), own)

    def keep(self, name: str, content: dict[str, Any]) -> None:
        """Write `<name>.json`; raise InputError when the folder was begun with another one."""
        file = Path(self.output_dir) / f"{name}.json"
        if not file.exists():
            write_json(file, content)
            return
        before = read_json(file)
        changed = sorted(key for key in {*content, *before} if content.get(key) != before.get(key))
        if changed:
            raise InputError(
                f"{self.output_dir}: was begun with another {', '.join(changed)} (network {before['name']}, preset "
                f"{before['preset']}); choose another OUT, or delete that folder."
            )

    def run_fold(self, study: Study, fold: int) -> None:
        """Train fold `fold` unless that is done, and infer those held-out cases that have no prediction yet."""
        study.held_out(fold)  # refuses a fold that does not exist, before anything is started
        folder = Path(self.output_dir) / f"fold{fold}"
        if (folder / FINISHED).exists():
            logger.info("fold %d: trained already, %s", fold, folder)
        else:
            self.bundle_run(f"fold {fold}: training", TRAIN, {"fold": fold, "folds": self.folds})
        missing = study.unpredicted(fold)
        if missing:
            cases = f"$studies.unpredicted({json.dumps(str(self.output_dir))}, {fold})"
            arguments = {"model_file": folder / MODEL, "cases": cases}
            self.bundle_run(f"fold {fold}: segmenting {len(missing)} held-out cases", INFERENCE, arguments)

    def bundle_run(self, what: str, name: str, arguments: Mapping[str, Any]) -> None:
        """`python -m monai.bundle run` in a process of its own; its memory and settings end with it."""
        command = [sys.executable, "-m", "monai.bundle", "run"]
        files = {"config_file": Path(self.output_dir) / f"{name}.json", "meta_file": METADATA, "logging_file": LOGGING}
        for key, value in {**files, **arguments}.items():
            command += [f"--{key}", as_word(str(value))]
        shown = shlex.join(["python", *command[1:]]).replace(f"{Path.cwd()}{os.sep}", "")
        logger.info("%s\n  %s", what, shown)
        # MONAI warns on every run that a configuration is code; the README says so once.
        quiet = {"PYTHONWARNINGS": "ignore::UserWarning:monai.bundle.scripts"}
        status = subprocess.run(command, env={**quiet, **os.environ}, check=False).returncode
        if status:
            raise InputError(f"{what} ended with status {status}, see above; run the same command again to go on.")

    def warn_of_leaks(self, study: Study) -> None:
        leaking = study.folds.get("leaking_patients", [])
        if leaking:
            logger.warning("This split has scans of one patient on both sides: %s", ", ".join(leaking))

    def evaluate(self, study: Study) -> None:
        """Score every prediction on the scanner's grid, write metrics.csv and summary.json, print the tables."""
        jobs = [
            Job(Path(case["label"]), study.prediction(case), case["case"], case["patient_id"], fold)
            for fold in range(self.folds)
            for case in study.held_out(fold)
        ]
        # What the folds ran with, which is also what is on disk
        trained = read_json(Path(self.output_dir) / f"{TRAIN}.json")
        rows = evaluate_cases(jobs, label_map(trained["label_map"]))
        summary = summarise(rows)
        write_metrics_csv(rows, Path(self.output_dir) / "metrics.csv")
        write_json(Path(self.output_dir) / "summary.json", summary)
        print(tables(rows, summary), flush=True)


def as_word(text: str) -> str:
    """Text as a command-line word that fire reads back as this text; a path such as `a,b` would become a tuple."""
    return text if str(DefaultParseValue(text)) == text else json.dumps(text)
