"""Semi-supervised training by random propagation of pseudo labels, for any network.

Source: Fan et al., "Inf-Net", IEEE TMI 39(8), 2020: Semi-Inf-Net. The supervised network of a fold segments a few
unlabelled scans or slices that are drawn at random; it goes on training on the labelled and the pseudo-labelled ones
together, segments the next few, and so on. At the end a network is trained anew on all that was pseudo-labelled, and
then on the labelled cases alone. Every training is an ordinary one of `pipeline.runs.cross_validation`, so each fold's
tested patients are tested as there. Unlike the paper's soft maps, a pseudo label here is the likeliest class.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from evaluation.statistics.gain import write_gain
from pipeline.core import logs
from pipeline.core.atomic import read_json, write_json
from pipeline.core.configuration import BUNDLES, COMMON, INFERENCE, TRAIN, load, merged, parse_overrides
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.core.progress_bar import duration
from pipeline.data.folds import BY_PATIENT
from pipeline.data.pseudo_labels import LABELLED, PSEUDO_LABELLED, Drawn, draw_rounds, pool, recorded, unfinished
from pipeline.data.study import Study
from pipeline.data.unlabelled import read_unlabelled, refuse_tested
from pipeline.folders.output_folder import check_output
from pipeline.folders.several import Data
from pipeline.runs.cross_validation import CrossValidation
from pipeline.scans.scan import file_sha256
from pipeline.training.checkpoint import FINISHED, MODEL

logger = logging.getLogger(__name__)

PLANS = COMMON / "semi_supervised"
FINE_TUNING, ANEW, LAST = "fine_tuning", "anew", "last"
TRAININGS = (FINE_TUNING, ANEW, LAST)
# The same trainings without pseudo labels
CONTROL = f"OVERRIDES=\"{{'{FINE_TUNING}::trained_on': '{LABELLED}', '{ANEW}::trained_on': '{LABELLED}'}}\""
PLAN, UNLABELLED, RECORD, DRAWN, FOUND, LABELS = (
    "semi_supervised.json", "unlabelled.json", "pseudo_labels.json", "drawn.json", "found", "labels",
)  # fmt: skip


@dataclass
class SemiSupervised:
    """One network, one labelled and one unlabelled data set, n folds.

    Args:
        network: name of a folder of `bundles/`; no cascade.
        dataset_dir: the labelled cases, as `CrossValidation` takes them.
        unlabelled_dir: scans, in any layout or none; none of a tested patient.
        folds: how many; with split `patients` no patient is on both sides.
        preset: name of a file of `bundles/common/presets`.
        output_dir: gets what a cross-validation leaves, and `unlabelled.json`, `fold<k>/pseudo_labels.json`,
            `fold<k>/round<n>`, `comparison.csv` and `comparison.txt`.
        supervised_dir: of the cross-validation to begin with and to compare with, finished or not. None for
            runs/<network>/cv where that has the same configuration, and for `supervised` in output_dir where not.
        per_round: how many slices (of a 2D network) or scans a round draws; None for what the preset says.
        rounds: how many at most, 0 until all is drawn; None for what the preset says.
        split: `patients`, `published` or a JSON file.
        seed: of the split, of the trainings and of what is drawn.
        only_fold: run this fold alone and do not evaluate; -1 for all.
        overrides: keys of train.yaml and inference.yaml to change in every training, or, as `fine_tuning::max_epochs`,
            in the rounds', the one `anew` or the `last` one; None for one of these three leaves it out.
    """

    network: str
    dataset_dir: Data
    unlabelled_dir: str
    folds: int
    preset: str
    output_dir: str
    supervised_dir: str | None = None
    per_round: int | None = None
    rounds: int | None = None
    split: str = BY_PATIENT
    seed: int = 0
    only_fold: int = -1
    overrides: Mapping[str, Any] | str = field(default_factory=dict)

    def run(self) -> None:
        """Run what is missing, then evaluate and compare; raises InputError for what the user can mend."""
        began = time.monotonic()
        if len(self.semi.stages) > 1:
            raise InputError(f"NETWORK is {self.network!r}, a cascade; expected one network; choose one of its two.")
        self.check_plan()
        check_output(self.output_dir, self.unlabelled_dir, *([self.supervised_dir] if self.supervised_dir else []))
        unlabelled = read_unlabelled(self.unlabelled_dir)
        study = self.semi.begin()
        folds = range(self.folds) if self.only_fold < 0 else [self.only_fold]
        refuse_tested(unlabelled["scans"], [case for fold in folds for case in study.held_out(fold)])
        self.keep(UNLABELLED, unlabelled, "other unlabelled scans")
        self.keep(PLAN, self.plan, "another plan (PRESET, K, ROUNDS or OVERRIDES)")
        logger.info("The supervised network is that of %s", self.supervised.output_dir)
        self.supervised.run()
        for fold in folds:
            self.train_fold(fold, unlabelled["scans"])
            self.semi.run_fold(study, fold)
        if self.only_fold < 0:
            self.evaluate(study)
            logger.info("Done in %s. Results are in %s", duration(time.monotonic() - began), self.output_dir)

    @cached_property
    def semi(self) -> CrossValidation:
        """The semi-supervised networks, as a cross-validation whose folds are trained here.

        Its configuration names the fold's record: `make cv` in this folder would then be refused.
        """
        record = f"$@output_dir + '/fold' + str(@fold) + '/{RECORD}'"
        return self.cross_validation(self.output_dir, {"pseudo_labelled": record})

    @cached_property
    def supervised(self) -> CrossValidation:
        if self.supervised_dir:
            return self.cross_validation(self.supervised_dir)
        usual = self.cross_validation(Path("runs", self.network, "cv"))
        return usual if is_begun(usual) else self.cross_validation(Path(self.output_dir) / "supervised")

    def cross_validation(self, output_dir: str | Path, own: Mapping[str, Any] | None = None) -> CrossValidation:
        return CrossValidation(
            network=self.network,
            dataset_dir=self.dataset_dir,
            folds=self.folds,
            preset=self.preset,
            output_dir=str(output_dir),
            split=self.split,
            seed=self.seed,
            only_fold=self.only_fold,
            overrides={**{key: value for key, value in self.given.items() if not _training_of(key)}, **(own or {})},
        )

    @cached_property
    def given(self) -> dict[str, Any]:
        """The overrides, with `::` between their parts."""
        return {key.replace("#", "::"): value for key, value in parse_overrides(self.overrides).items()}

    @cached_property
    def plan(self) -> dict[str, Any]:
        """How many are drawn, and what each training changes: the preset's, the network's part of it, the user's."""
        own = BUNDLES / self.network / "configs" / f"semi_{self.preset}.yaml"
        content = load([PLANS / f"{self.preset}.yaml", *([own] if own.exists() else [])])
        what = "slices_per_round" if self.spatial_dims == 2 else "scans_per_round"
        plan = {
            "per_round": content[what] if self.per_round is None else self.per_round,
            "rounds": content["rounds"] if self.rounds is None else self.rounds,
            **{name: content[name] for name in TRAININGS},
        }
        for key, value in self.given.items():
            if (name := _training_of(key)) is not None:
                plan[name] = {**(plan[name] or {}), key.partition("::")[2]: value} if "::" in key else value
        return plan

    @cached_property
    def parser(self) -> ConfigParser:
        return ConfigParser(self.semi.configuration(INFERENCE))

    @property
    def spatial_dims(self) -> int:
        return int(self.parser.get_parsed_content("spatial_dims"))

    def check_plan(self) -> None:
        """Refuse numbers that draw nothing and keys that no training reads, before anything is trained."""
        for name, least in (("per_round", 1), ("rounds", 0)):
            number = self.plan[name]
            if not isinstance(number, int) or number < least:
                said = {"per_round": "K", "rounds": "ROUNDS"}[name]
                raise InputError(f"{said} is {number}; expected a whole number from {least} on.")
        if all(self.plan[name] is None for name in TRAININGS):
            raise InputError(f"OVERRIDES leaves out {', '.join(TRAININGS)}; expected at least one; keep one of them.")
        for name in TRAININGS:
            if not isinstance(self.plan[name], dict | None):
                raise InputError(f"OVERRIDES sets {name} to {self.plan[name]!r}; expected a dictionary, or None.")
            merged(TRAIN, self.network, self.preset, self.plan[name] or {}, {})

    def keep(self, name: str, content: dict[str, Any], what: str) -> None:
        """Write a file of the output folder; InputError when the folder was begun with another one."""
        file = Path(self.output_dir) / name
        if not file.exists():
            write_json(file, content)
        elif read_json(file) != content:
            raise InputError(f"{self.output_dir}: was begun with {what}; choose another OUT, or delete that folder.")

    def drawn(self, fold: int, scans: list[dict[str, Any]]) -> list[list[Drawn]]:
        """What each round of a fold labels."""
        choices = pool(scans, self.parser.get_parsed_content("front"), self.spatial_dims)
        return draw_rounds(scans, choices, self.plan["per_round"], self.plan["rounds"], (self.seed, fold))

    def train_fold(self, fold: int, scans: list[dict[str, Any]]) -> None:
        """Everything of a fold up to its `model.pt`; finished rounds and trainings are not repeated."""
        folder, rounds = self.fold_dir(fold), self.drawn(fold, scans)
        if (folder / FINISHED).exists():
            logger.info("fold %d: trained already, %s", fold, folder)
            return
        places = self.places(fold, len(rounds))
        model = self.supervised.folder(self.supervised.stages[0]) / f"fold{fold}" / MODEL
        for number, drawn in enumerate(rounds, 1):
            name = f"round{number}"
            self.label(fold, number, drawn, model)
            if name in places:
                before, model = model, places[name] / MODEL
                what = f"fold {fold}, round {number} of {len(rounds)}"
                self.train(what, fold, FINE_TUNING, model.parent, {"begin_with": before})
                if number > 1:
                    # Hundreds of rounds of a large network would fill the disk; the record has its hash
                    before.unlink(missing_ok=True)
        if ANEW in places:
            model = places[ANEW] / MODEL
            what = f"fold {fold}, anew on the pseudo-labelled"
            self.train(what, fold, ANEW, model.parent, {"trained_on": PSEUDO_LABELLED})
        if LAST in places:
            own = {"begin_with": model, "trained_on": LABELLED}
            self.train(f"fold {fold}, last on the labelled", fold, LAST, places[LAST], own)

    def fold_dir(self, fold: int) -> Path:
        return self.semi.folder(self.semi.stages[0]) / f"fold{fold}"

    def places(self, fold: int, rounds: int) -> dict[str, Path]:
        """Name of a training -> its folder, in order; the final one's is the fold's own, as in cross-validation."""
        names = [f"round{number}" for number in range(1, rounds + 1)] if self.plan[FINE_TUNING] is not None else []
        names += [name for name in (ANEW, LAST) if self.plan[name] is not None]
        return {name: self.fold_dir(fold) / (name if name != names[-1] else "") for name in names}

    def label(self, fold: int, number: int, drawn: list[Drawn], model: Path) -> None:
        """Segment what a round drew and put it on the fold's record, unless it is there."""
        record, folder = self.fold_dir(fold) / RECORD, self.fold_dir(fold) / f"round{number}"
        known = read_json(record) if record.exists() else []
        if any(entry["round"] == number for entry in known):
            return
        write_json(folder / DRAWN, drawn)
        found, file = folder / FOUND, folder / DRAWN
        if missing := unfinished(file, found):
            cases = f"$pseudo_labels.unfinished({json.dumps(str(file))}, {json.dumps(str(found))})"
            what = f"fold {fold}, round {number}: segmenting {len(missing)} unlabelled scans"
            places = {"model_file": model, "output_dir": found, "confidence_dir": found}
            self.semi.bundle_run(what, INFERENCE, {**places, "cases": cases})
        origin = {"round": number, "model": str(model), "model_sha256": file_sha256(model)}
        classes = label_map(self.semi.result_label_map())
        write_json(record, [*known, *recorded(drawn, found, folder / LABELS, classes, origin)])
        shutil.rmtree(found)

    def train(self, what: str, fold: int, name: str, folder: Path, arguments: Mapping[str, Any]) -> None:
        """One training, unless it is finished; `name` says which part of the plan it is."""
        if (folder / FINISHED).exists():
            return
        own = {"fold": fold, "folds": self.folds, "fold_dir": folder}
        self.semi.bundle_run(f"{what}: training", TRAIN, {**arguments, **self.plan[name], **own})

    def evaluate(self, study: Study) -> None:
        """As cross-validation, then what became better or worse by it."""
        self.semi.evaluate(study)
        logs.result(write_gain(self.output_dir, self.supervised.output_dir, self.remarks()))

    def remarks(self) -> list[str]:
        """What has to be said beside the comparison."""
        entries = [entry for fold in range(self.folds) for entry in read_json(self.fold_dir(fold) / RECORD)]
        slices = sum(len(entry.get("slices", ())) for entry in entries)
        amount = f"{slices} slices of " if slices else ""
        scans = len({(entry["image_sha256"]) for entry in entries})
        supervised, semi = (
            sum(read_json(file)["steps"] for file in Path(folder).glob(pattern))
            for folder, pattern in (
                (self.supervised.output_dir, f"fold*/{FINISHED}"),
                (self.output_dir, f"fold*/**/{FINISHED}"),
            )
        )
        return [
            f"Pseudo-labelled: {amount}{scans} unlabelled scan(s), over {self.folds} folds; "
            f"fold<k>/{RECORD} says by which model.",
            f"Steps of training: {supervised} supervised; {semi} more semi-supervised. What as many epochs on "
            f"the labelled cases alone would have brought is not in this table: {CONTROL} and another OUT tell.",
        ]


def is_begun(training: CrossValidation) -> bool:
    """Whether a cross-validation's folder holds just its configurations, so that it can be gone on with."""
    stage = training.stages[-1]
    files = {name: training.folder(stage) / f"{name}.json" for name in (TRAIN, INFERENCE)}
    return all(file.is_file() and read_json(file) == training.configuration(name) for name, file in files.items())


def _training_of(key: str) -> str | None:
    """The one of TRAININGS that an override is for."""
    first = key.partition("::")[0]
    return first if first in TRAININGS else None
