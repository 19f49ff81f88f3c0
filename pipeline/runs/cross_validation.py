"""k-fold cross-validation: calls one ordinary training and one ordinary inference a fold, then evaluates.

There is no second training loop here: each fold is `python -m monai.bundle run` with `--fold k --folds n`, which can be
run by hand, in any order and on any machine, and is recognised as done afterwards.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from pipeline.bundle_files.earlier_version import refuse_earlier
from pipeline.core import logs
from pipeline.core.atomic import keep_json, read_json, write_json
from pipeline.core.bundle_process import run_bundle, signals_passed_on
from pipeline.core.configuration import COMMON, INFERENCE, TRAIN, merged, parse_overrides, with_content
from pipeline.core.device import chosen_device, is_gpu
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.core.machine import cores
from pipeline.core.progress_bar import duration
from pipeline.core.run_files import PREDICTIONS, PROBABILITIES
from pipeline.core.scan_traits import TRAITS_FILE
from pipeline.core.stages import FIRST, Stage, result_label_map, stage_overrides, stages_of
from pipeline.data.cache import CaseCache
from pipeline.data.datalist import check_labels
from pipeline.data.study import Study, check_unchanged, load_study, open_study, without_label
from pipeline.folders.several import Data, one_or_several
from pipeline.runs.scores import job_of, write_scores
from pipeline.runs.units import RUN, Unit, recorded
from pipeline.training.checkpoint import FINISHED, MODEL

logger = logging.getLogger(__name__)
SEVERAL_GPUS = COMMON / "multi_gpu_train.yaml"
TRAITS = COMMON / "traits.yaml"
# How long the held-out cases of a fold took that were segmented last, with the start of the program
SEGMENTATION = "segmentation.json"
# By whom the lungs, or the infection, are that a cascade's second stage is trained with
REFERENCE, PREDICTED = "reference", "predicted"


@dataclass
class CrossValidation:
    """One network or cascade, one data set, n folds.

    Args:
        network: name of a folder of `bundles/`, or `a>b` for a cascade, see `pipeline.core.stages`.
        dataset_dir: in any layout that `pipeline.folders.layouts` knows; a folder, or several as one data set.
        folds: how many; with split `patients` no patient is on both sides.
        preset: name of a file of `bundles/common/presets`.
        output_dir: gets `predictions/<case>.nii.gz`, `metrics.csv`, `summary.json`, `folds.json`, `fold<k>/model.pt`;
            the models of a cascade are in folders named after its stages.
        split: `patients`, `lopo` (a fold a patient), `published` or a JSON file.
        seed: of the split and of the training.
        only_fold: run this fold alone and do not evaluate; -1 for all.
        overrides: keys of train.yaml and inference.yaml to change, such as {"max_epochs": 20}; as text where a value is
            a reference or an expression, which would otherwise be evaluated here and not in the fold.
        lungs: what a cascade's second stage is trained with: the `reference`'s lungs (or infection, where that is what
            the first stage finds), or those `predicted` by the same fold's first stage.
        fold_overrides: number of a fold -> what that fold changes beyond `overrides`; its configurations are then in
            `fold<k>/train.json` and `fold<k>/inference.json`.
        jobs: how many folds run side by side, each with its share of the cores; 0 for as many as there are cores, which
            is fastest for small networks, and one on a GPU.
        gpus: how many train a fold together, sharing its batches; processes on the CPU where there are none.
    """

    network: str
    dataset_dir: Data
    folds: int
    preset: str
    output_dir: str
    split: str = "patients"
    seed: int = 0
    only_fold: int = -1
    overrides: Mapping[str, Any] | str = field(default_factory=dict)
    lungs: str = REFERENCE
    fold_overrides: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    jobs: int = 1
    gpus: int = 1

    def run(self) -> None:
        """Run what is missing, then evaluate; raises InputError for what the user can mend."""
        began = time.monotonic()
        study = self.begin()
        with signals_passed_on():
            self.run_folds(study, [unit.fold for unit in self.units()])
        if self.only_fold >= 0:
            return
        self.evaluate(study)
        logger.info("Done in %s. Results are in %s", duration(time.monotonic() - began), self.output_dir)

    def train_on_all(self) -> Path:
        """Train once more, on every case, unless that is done; the folder, `fold<n>` of n folds, which are 0 to n - 1.

        Nothing is held out of it: what it is worth is what the folds' own models were worth on others' patients.
        """
        study = self.begin()
        with signals_passed_on():
            for stage in self.stages:
                self.train(study, self.folds, stage)
            folder = self.folder(self.stages[-1]) / f"fold{self.folds}"
            if not (folder / TRAITS_FILE).exists():
                self.infer_fold(f"fold {self.folds}: looking at the training scans", self.folds, "$[]")
        return folder

    def fill_cache(self) -> None:
        """Begin the study and prepare all its scans, so that the folds can be trained where the scans are not."""
        study = self.begin()
        for stage in self.stages:
            parser = ConfigParser(self.configuration(TRAIN, stage))
            cache = CaseCache(parser.get_parsed_content("cache_dir"), parser.get_parsed_content("front"))
            for fold in range(self.folds):
                cache.fill(study.learnt(fold))
            logger.info("%s holds every scan prepared; copy it and %s", cache.folder, self.output_dir)

    def begin(self) -> Study:
        """Check everything, and write the study and the configurations down or find them unchanged."""
        if self.lungs not in (REFERENCE, PREDICTED):
            raise InputError(f"LUNGS is {self.lungs!r}, expected {REFERENCE} or {PREDICTED}.")
        if self.jobs < 0:
            raise InputError(f"JOBS is {self.jobs}, expected how many folds to run side by side, or 0 for all cores.")
        if self.gpus < 1:
            raise InputError(f"GPUS is {self.gpus}, expected how many train a fold together: 1 or more.")
        configurations = self.configurations()
        study = open_study(self.output_dir, self.dataset_dir, self.folds, self.split, self.seed)
        check_unchanged(study)
        for stage in self.stages:
            check_labels(study.datalist, label_map(self.configuration(TRAIN, stage)["label_map"]))
        if self.only_fold >= self.folds:
            raise InputError(f"fold: {self.only_fold} came; expected 0 to {self.folds - 1}; choose one of them.")
        self.keep_all(configurations)
        study.warn_of_leaks()
        if untested := study.untested():
            logger.info(
                "%d of %d cases are tested in no fold: single slices where there are volumes, or what the split leaves "
                "out.",
                len(untested),
                len(study.datalist["training"]),
            )
        write_json(Path(self.output_dir) / RUN, {**asdict(self), "overrides": self.kept_overrides()})
        return study

    def kept_overrides(self) -> Mapping[str, Any] | str:
        """As they were given, but for a label map's file, which may be gone when the run goes on."""
        given = parse_overrides(self.overrides)
        kept = with_content(given)
        return self.overrides if kept == given else kept

    @classmethod
    def of(cls, folder: str | Path) -> CrossValidation:
        """The one that was begun in a folder; its settings are those on the disk."""
        try:
            known = read_json(Path(folder) / RUN)
        except FileNotFoundError as error:
            raise InputError(f"{folder}: no run was begun here; begin one with `make cv OUT={folder}`.") from error
        of_folds = {int(fold): own for fold, own in known["fold_overrides"].items()}
        return cls(**{**known, "output_dir": str(folder), "fold_overrides": of_folds, "jobs": 1})

    def prepare(self) -> list[Unit]:
        """Check everything and write down what units need, and give them, so that each can run on its own."""
        self.begin()
        return self.units()

    def units(self) -> list[Unit]:
        return [
            Unit(self.output_dir, fold) for fold in ([self.only_fold] if self.only_fold >= 0 else range(self.folds))
        ]

    def is_done(self, study: Study, fold: int) -> bool:
        """Whether a fold's trainings are finished and its held-out cases segmented."""
        trained = all((self.folder(stage) / f"fold{fold}" / FINISHED).exists() for stage in self.stages)
        return trained and not study.unpredicted(fold)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """One for a network, two for a cascade; the last one's predictions are the result."""
        return stages_of(self.network)

    def folder(self, stage: Stage) -> Path:
        return Path(self.output_dir) / stage.name

    @property
    def place(self) -> Path:
        """Of what belongs to all folds."""
        return Path(self.output_dir)

    def configurations(self) -> dict[Path, dict[str, Any]]:
        """Every file of settings that this run needs, and its content; a fold has its own where it differs."""
        files = {}
        for stage in self.stages:
            for name in (TRAIN, INFERENCE):
                files[self.folder(stage) / f"{name}.json"] = common = self.configuration(name, stage)
                for fold in self.fold_overrides:
                    own = self.configuration(name, stage, fold)
                    if own != common:
                        files[self.folder(stage) / f"fold{fold}" / f"{name}.json"] = own
        return files

    def configuration(self, name: str, stage: Stage | None = None, fold: int | None = None) -> dict[str, Any]:
        """All layers of `train` or `inference` and this run's own values in one; unknown keys raise InputError.

        `stage` is the last one where none is given; `fold` adds what that fold alone changes.
        """
        stage = stage or self.stages[-1]
        own: dict[str, Any] = {
            "dataset_dir": one_or_several(self.dataset_dir),
            "output_dir": str(self.folder(stage)),
            "folds": self.folds,
            "split": str(self.split),
            "seed": self.seed,
        }
        if stage.name in FIRST and self.lungs == PREDICTED:
            own["found_dir"] = str(self.found_dir)
        if name == INFERENCE:
            own = {"output_dir": str(Path(self.output_dir) / PREDICTIONS)}
        of_fold = {} if fold is None else self.fold_overrides.get(fold, {})
        overrides = stage_overrides({**parse_overrides(self.overrides), **of_fold}, stage)
        return merged(name, stage.network, self.preset, overrides, own, stage.name, stage.cascade)

    def keep_all(self, configurations: Mapping[Path, dict[str, Any]]) -> None:
        """Write all files of settings; raise InputError when the folder was begun with other ones."""
        for file, content in configurations.items():
            self.keep(file, content)
        written = {file for stage in self.stages for file in self.folder(stage).glob("fold*/*.json")}
        of_folds = {file for file in written if file.stem in (TRAIN, INFERENCE)}
        if stale := sorted(of_folds - configurations.keys()):
            raise InputError(
                f"{stale[0]}: this fold was begun with settings of its own; give them again, choose another OUT, or "
                "delete that folder."
            )

    def keep(self, file: Path, content: dict[str, Any]) -> None:
        """Write a file of settings; raise InputError when the folder was begun with another one."""
        before = keep_json(file, content)
        changed = sorted(key for key in {*content, *before} if content.get(key) != before.get(key))
        if changed:
            refuse_earlier(before, file)
            raise InputError(
                f"{self.output_dir}: was begun with another {', '.join(changed)} (network {before.get('name')}, preset "
                f"{before.get('preset')}); choose another OUT, or delete that folder."
            )

    def run_folds(self, study: Study, folds: Sequence[int]) -> None:
        """Some side by side; those that run are waited for when one fails, no other is begun."""
        if self.side_by_side == 1:
            # Here and not in a thread, where Ctrl-C would wait for the fold's end
            for fold in folds:
                self.run_unit(study, fold)
            return
        pool = ThreadPoolExecutor(self.side_by_side)
        # Their bars would be drawn over each other
        with logs.without_bars():
            try:
                for done in [pool.submit(self.run_unit, study, fold) for fold in folds]:
                    done.result()
            finally:
                pool.shutdown(cancel_futures=True)

    @cached_property
    def side_by_side(self) -> int:
        """How many folds run at a time."""
        return self.jobs or (1 if is_gpu(chosen_device()) else min(cores(), len(self.units())))

    def run_unit(self, study: Study, fold: int) -> None:
        """`run_fold`, and its record."""
        with recorded(self.output_dir, f"fold{fold}"):
            self.run_fold(study, fold)

    def run_fold(self, study: Study, fold: int) -> None:
        """Train fold `fold` unless that is done, and infer those held-out cases that have no prediction yet."""
        for stage in self.stages:
            self.train(study, fold, stage)
        if missing := study.unpredicted(fold):
            what = f"fold {fold}: segmenting {len(missing)} held-out cases"
            cases = f"$studies.unpredicted({json.dumps(str(self.output_dir))}, {fold})"
            began = time.monotonic()
            self.infer_fold(what, fold, cases)
            timed = {"cases": len(missing), "seconds": round(time.monotonic() - began, 1)}
            write_json(self.folder(self.stages[-1]) / f"fold{fold}" / SEGMENTATION, timed)

    def infer_fold(self, what: str, fold: int, cases: str) -> None:
        """Segment held-out cases, an expression, and keep what the network makes of them and of its training scans."""
        # Given here and not in inference.json, which segments scans of others later on
        own = {
            "probability_dir": Path(self.output_dir) / PROBABILITIES,
            "fold_dir": self.folder(self.stages[-1]) / f"fold{fold}",
            "familiar_cases": f"$training_traits.familiar_cases({json.dumps(str(self.output_dir))}, {fold})",
        }
        self.infer(what, fold, self.stages[-1], cases, [TRAITS], **own)

    def train(self, study: Study, fold: int, stage: Stage) -> None:
        """Train a stage on a fold unless that is done."""
        folder = self.folder(stage) / f"fold{fold}"
        what = f"fold {fold}{stage.name and f', {stage.name}'}"
        if (folder / FINISHED).exists():
            logger.info("%s: trained already, %s", what, folder)
            return
        if stage.name in FIRST and self.lungs == PREDICTED:
            self.run_first_stage(study, fold)
        own = self.own_configuration(TRAIN, stage, fold)
        self.bundle_run(f"{what}: training", TRAIN, {"fold": fold, "folds": self.folds, **own}, stage)

    @property
    def found_dir(self) -> Path:
        """What a cascade's first stage finds in the cases that the second one is trained and validated on."""
        return self.folder(self.stages[0]) / "found"

    def run_first_stage(self, study: Study, fold: int) -> None:
        """With the fold's own first stage: one that was trained without this fold's tested patients."""
        found = self.found_dir / f"fold{fold}"
        if missing := without_label(study.learnt(fold), found):
            what = f"fold {fold}, {self.stages[0].name}: segmenting {len(missing)} cases to train on"
            cases = f"$studies.learnt_without({json.dumps(str(self.output_dir))}, {fold}, {json.dumps(str(found))})"
            self.infer(what, fold, self.stages[0], cases, output_dir=found)

    def infer(
        self, what: str, fold: int, stage: Stage, cases: str, overlays: Sequence[Path] = (), **arguments: Any
    ) -> None:
        """Segment cases, an expression, with a stage's model; `overlays` are files laid over its inference."""
        model_file = self.folder(stage) / f"fold{fold}" / MODEL
        own = self.own_configuration(INFERENCE, stage, fold)
        arguments = {"model_file": model_file, "cases": cases, **own, **arguments}
        self.bundle_run(what, INFERENCE, arguments, stage, overlays)

    def own_configuration(self, name: str, stage: Stage, fold: int) -> dict[str, Path]:
        """The argument that gives a fold its own settings, where it has any."""
        file = self.folder(stage) / f"fold{fold}" / f"{name}.json"
        return {"config_file": file} if file.exists() else {}

    def bundle_run(
        self,
        what: str,
        name: str,
        arguments: Mapping[str, Any],
        stage: Stage | None = None,
        overlays: Sequence[Path] = (),
    ) -> None:
        """Run `train` or `inference` with arguments; `stage` is the last one where none is given."""
        configuration = self.folder(stage or self.stages[-1]) / f"{name}.json"
        # Side by side, more threads than cores would be in one another's way
        threads = max(1, cores() // self.side_by_side) if self.side_by_side > 1 else 0
        asked = {"config_file": configuration, **arguments}
        if several := name == TRAIN and self.gpus > 1:
            overlays = [*overlays, SEVERAL_GPUS]
        if overlays:
            asked["config_file"] = [str(file) for file in (asked["config_file"], *overlays)]
        run_bundle(what, asked, threads, self.gpus if several else 1)

    def evaluate_finished(self) -> None:
        """As `evaluate`, of those folds that are done, naming the others; InputError where there is none."""
        study = load_study(self.output_dir)
        done = [fold for fold in range(self.folds) if self.is_done(study, fold)]
        if not done:
            raise InputError(f"{self.output_dir}: no fold is done yet; see `make status RUN={self.output_dir}`.")
        self.evaluate(study, done)
        if missing := sorted(set(range(self.folds)) - set(done)):
            logger.warning("Not all folds: these numbers are without fold %s", ", ".join(map(str, missing)))

    def evaluate(self, study: Study, folds: Iterable[int] | None = None) -> None:
        """Score every prediction on the scanner's grid, write the tables and the report, and print the former.

        Of the given folds alone, or of all.
        """
        classes = label_map(self.result_label_map())
        scored = range(self.folds) if folds is None else folds
        jobs = [job_of(study, case, fold) for fold in scored for case in study.held_out(fold)]
        write_scores(Path(self.output_dir), self.network, jobs, classes)

    def result_label_map(self) -> str:
        """Name of the label map of the predictions; from what the folds ran with, which is on disk."""
        return result_label_map(read_json(self.folder(self.stages[-1]) / f"{TRAIN}.json"))
