"""What a bundle is made from: the configurations and weights of a run, or those that a run would begin with."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from pipeline.bundle_files.earlier_version import refuse_earlier
from pipeline.bundle_files.own_code import union
from pipeline.core.atomic import read_json
from pipeline.core.configuration import INFERENCE, TRAIN, merged
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap, label_map
from pipeline.core.run_files import DATA_LICENCE_FILE, DATALIST, ENSEMBLE_SCORES, METRICS_FILE, SUMMARY_FILE
from pipeline.core.stages import FIRST, Stage, result_label_map, stage_overrides, stages_of
from pipeline.export.configs import ensemble_inference, ensemble_training
from pipeline.inference.ensemble import VOTE, check_method, configuration_of
from pipeline.inference.evidence import Evidence, evidence_of
from pipeline.inference.members import check_alike, find_members
from pipeline.phantom.dataset import OWN_FILE
from pipeline.training.checkpoint import FINISHED, MODEL, load_weights

BUNDLE_MODEL = "model"


@dataclass(frozen=True)
class Member:
    """A network of a bundle, or an ensemble of networks in its place.

    Args:
        stage: as in a cross-validation; its name is empty for an ordinary network.
        train, inference: complete configurations, nothing evaluated.
        models: name of a file of weights in the bundle -> the plain state dicts of a run that it is made of: one, those
            of an ensemble's members, or none for initial weights.
    """

    stage: Stage
    train: dict[str, Any]
    inference: dict[str, Any]
    models: Mapping[str, tuple[Path, ...]]

    @property
    def classes(self) -> LabelMap:
        return label_map(self.inference["label_map"])

    @property
    def size(self) -> list[int]:
        """Of what the network is trained on: pixels of a slice, or voxels of a patch."""
        return list(self.inference["slice_size" if self.inference["spatial_dims"] == 2 else "patch_size"])

    @property
    def networks(self) -> list[dict[str, Any]]:
        """The definition of the network, or those of an ensemble's."""
        definition = self.inference["network_def"]
        return list(definition.get("networks", [definition]))

    @property
    def is_ensemble(self) -> bool:
        return "networks" in self.inference["network_def"]

    def state_dict(self, model: str) -> dict[str, Any]:
        """The weights of a file of the bundle, which fit; initial ones are the same each time.

        Raises InputError where a run's do not fit.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = ConfigParser(self.inference).get_parsed_content("network_def")
        files = self.models[model]
        for part, file in zip(network.members if self.is_ensemble else [network] * len(files), files, strict=True):
            load_weights(part, file)
        weights: dict[str, Any] = network.state_dict()
        return weights


@dataclass(frozen=True)
class Source:
    """One network, or a cascade's two, the last of which is the bundle's own.

    Args:
        network: as in a cross-validation, `unet_3d`, `chs_net` or `unet_3d>enet`.
        members: what the bundle holds.
        run: folder of the cross-validation that the weights are from; None for initial weights.
        folds: of the run; several are an ensemble.
    """

    network: str
    members: tuple[Member, ...]
    run: Path | None = None
    folds: tuple[int, ...] = (0,)

    @property
    def name(self) -> str:
        """The Model Zoo's: body, modality, task."""
        ensemble = "_ensemble" if self.is_ensemble else ""
        return f"lung_ct_covid_{re.sub(r'[^a-z0-9]+', '_', self.network)}{ensemble}_segmentation"

    @property
    def is_ensemble(self) -> bool:
        return len(self.folds) > 1

    @property
    def is_of_all(self) -> bool:
        """Whether it was trained on every fold: its number is the one after the last fold's."""
        return self.run is not None and self.folds == (int(self.last.train["folds"]),)

    @cached_property
    def own_terms(self) -> str:
        """The terms of data and weights, where the run says them itself; else empty."""
        file = self.run / DATA_LICENCE_FILE if self.run else None
        return file.read_text(encoding="utf-8") if file and file.is_file() else ""

    @property
    def package(self) -> str:
        return f"{self.name}_code"

    @property
    def last(self) -> Member:
        return self.members[-1]

    @property
    def classes(self) -> LabelMap:
        """Of the label files that the bundle writes."""
        return label_map(result_label_map(self.last.inference))

    @cached_property
    def summary(self) -> dict[str, Any] | None:
        """What the cross-validation measured; None where it was not finished."""
        return self._of_run(SUMMARY_FILE)

    @cached_property
    def datalist(self) -> dict[str, Any] | None:
        return self._of_run(DATALIST)

    @cached_property
    def ensemble_scores(self) -> dict[str, Any] | None:
        """What a leave-one-patient-out run measured of its members and their vote."""
        return self._of_run(ENSEMBLE_SCORES)

    @cached_property
    def trainings(self) -> list[dict[str, Any]]:
        """What each training of the bundle's own network left: its time, memory and device."""
        files = [file.with_name(FINISHED) for some in self.last.models.values() for file in some]
        return [read_json(file) for file in files if file.is_file()]

    @cached_property
    def evidence(self) -> Evidence:
        """What the run's held-out patients tell of a new scan's result."""
        folders = [file.parent for some in self.last.models.values() for file in some]
        return evidence_of(find_members(folders), self.last.inference.get("method", VOTE)) if folders else Evidence()

    @cached_property
    def case_rows(self) -> list[dict[str, str]]:
        """A row a case and structure of the run's table as written; an older version's may have fewer columns."""
        file = self.run / METRICS_FILE if self.run else None
        if file is None or not file.is_file():
            return []
        with file.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    @property
    def on_phantom(self) -> bool:
        """Whether the run was on the built-in synthetic data."""
        cases = self.datalist["training"] if self.datalist else []
        return bool(cases) and all(OWN_FILE.fullmatch(Path(case["image"]).name) for case in cases)

    def _of_run(self, name: str) -> dict[str, Any] | None:
        file = self.run / name if self.run else None
        return read_json(file) if file and file.is_file() else None


def from_run(network: str, run: Path, fold: int = -1) -> Source:
    """The models of a fold of a cross-validation, -1 for its first one that is trained.

    Raises InputError where the run has no such fold, or is of another network.
    """
    stages = stages_of(network)
    fold = _trained_fold(run, stages, fold)
    return Source(network, tuple(_member_of_run(run, stage, [fold]) for stage in stages), run, (fold,))


def ensemble_from_run(network: str, run: Path, method: str = "", weights: Sequence[float] | None = None) -> Source:
    """All finished folds of a cross-validation as an ensemble, as `pipeline.inference.members.find_members` finds them.

    The method is the run's own where none is given. Raises InputError where there are not two, or they do not fit.
    """
    stages = stages_of(network)
    _trained_fold(run, stages, -1)
    found = find_members(run)
    if len(found) < 2:
        raise InputError(
            f"RUN is {run}, which has one finished fold, and an ensemble has two or more; train the others, or leave "
            "out ENSEMBLE."
        )
    scores = run / ENSEMBLE_SCORES
    own = read_json(scores)["method"] if scores.is_file() else VOTE
    check_method(method or own, weights, len(found))
    check_alike(found)
    folds = [_fold_of(member.weights) for member in found]
    members = [_member_of_run(run, stage, folds) for stage in stages]
    return Source(network, (*members[:-1], _voting(members[-1], method or own, weights)), run, tuple(folds))


def _voting(member: Member, method: str, weights: Sequence[float] | None) -> Member:
    """The networks of a stage, a file each, as an ensemble in one file."""
    files = [file for some in member.models.values() for file in some]
    # A fold may have settings of its own
    networks = [read_json(configuration_of(file))["network_def"] for file in files]
    inference = ensemble_inference(member.inference, networks, method, weights)
    return Member(member.stage, ensemble_training(member.train, inference), inference, {BUNDLE_MODEL: tuple(files)})


def _fold_of(model: Path) -> int:
    return int(model.parent.name.removeprefix("fold"))


def _trained_fold(run: Path, stages: tuple[Stage, ...], fold: int) -> int:
    models = [sorted((run / stage.name).glob(f"fold*/{MODEL}")) for stage in stages]
    trained = set.intersection(*(set(map(_fold_of, some)) for some in models))
    if not trained or (fold >= 0 and fold not in trained):
        found = f"folds {', '.join(map(str, sorted(trained)))}" if trained else "no fold"
        raise InputError(
            f"RUN is {run}, which has {found} with models of {', '.join(stage.network for stage in stages)}; give the "
            f"folder of a finished `make cv`, and FOLD one of its folds{f' instead of {fold}' if fold >= 0 else ''}."
        )
    return fold if fold >= 0 else min(trained)


def _member_of_run(run: Path, stage: Stage, folds: Sequence[int]) -> Member:
    folder = run / stage.name
    contents = {}
    for workflow in (TRAIN, INFERENCE):
        kept = read_json(folder / f"{workflow}.json")
        refuse_earlier(kept, folder / f"{workflow}.json")
        if kept["name"] != stage.network:
            raise InputError(f"RUN is {run}, a run of {kept['name']}; expected one of {stage.network}.")
        # A run of an older version lacks keys that have come since
        now = merged(workflow, stage.network, kept["preset"], {}, {}, stage.name, stage.cascade)
        contents[workflow] = {**now, **kept, "imports": union(kept["imports"], now["imports"])}
    models = {
        f"{model_of(stage)}_fold{fold}" if len(folds) > 1 else model_of(stage): (folder / f"fold{fold}" / MODEL,)
        for fold in folds
    }
    return Member(stage, contents[TRAIN], contents[INFERENCE], models)


def model_of(stage: Stage) -> str:
    """The file of the weights of a stage in a bundle, whose last stage is the bundle's own."""
    return stage.name if stage.name in FIRST.values() else BUNDLE_MODEL


def initial(network: str, preset: str, overrides: Mapping[str, Any]) -> Source:
    """What a run of a network would begin with."""
    members = []
    for stage in stages_of(network):
        mine = stage_overrides(overrides, stage)
        train, inference = (
            merged(workflow, stage.network, preset, mine, {}, stage.name, stage.cascade)
            for workflow in (TRAIN, INFERENCE)
        )
        members.append(Member(stage, train, inference, {model_of(stage): ()}))
    return Source(network, tuple(members))
