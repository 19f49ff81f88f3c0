"""What a bundle is made from: the configurations and weights of a run, or those that a run would begin with."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from evaluation.comparison import METRICS_FILE
from pipeline.atomic import read_json
from pipeline.cascade import RESULT, Stage, stage_overrides, stages_of
from pipeline.checkpoint import FINISHED, MODEL, load_weights
from pipeline.configuration import INFERENCE, TRAIN, merged
from pipeline.errors import InputError
from pipeline.export.configs import union
from pipeline.labels import LabelMap, label_map
from pipeline.phantom import OWN_FILE
from pipeline.study import DATALIST

SUMMARY = "summary.json"
# What finds the lungs for a cascade's second stage
FINDER = "transforms.find_lungs.FindLungsd"


@dataclass(frozen=True)
class Member:
    """A network of a bundle.

    Args:
        stage: as in a cross-validation; its name is empty for an ordinary network.
        train, inference: complete configurations, nothing evaluated.
        weights: a plain state dict; None for initial weights.
    """

    stage: Stage
    train: dict[str, Any]
    inference: dict[str, Any]
    weights: Path | None

    @property
    def classes(self) -> LabelMap:
        return label_map(self.inference["label_map"])

    @property
    def size(self) -> list[int]:
        """Of what the network is trained on: pixels of a slice, or voxels of a patch."""
        return list(self.inference["slice_size" if self.inference["spatial_dims"] == 2 else "patch_size"])

    def state_dict(self) -> dict[str, Any]:
        """The weights, which fit the network; initial ones are the same each time. InputError where they do not fit."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = ConfigParser(self.inference).get_parsed_content("network_def")
        if self.weights is not None:
            load_weights(network, self.weights)
        weights: dict[str, Any] = network.state_dict()
        return weights


@dataclass(frozen=True)
class Source:
    """One network, or a cascade's two, the last of which is the bundle's own.

    Args:
        network: as in a cross-validation, `unet_3d`, `chs_net` or `unet_3d>enet`.
        members: what the bundle holds.
        run: folder of the cross-validation that the weights are from; None for initial weights.
        fold: of the run.
    """

    network: str
    members: tuple[Member, ...]
    run: Path | None = None
    fold: int = 0

    @property
    def name(self) -> str:
        """The Model Zoo's: body, modality, task."""
        return f"lung_ct_covid_{re.sub(r'[^a-z0-9]+', '_', self.network)}_segmentation"

    @property
    def package(self) -> str:
        return f"{self.name}_code"

    @property
    def last(self) -> Member:
        return self.members[-1]

    @property
    def classes(self) -> LabelMap:
        """Of the label files that the bundle writes."""
        return label_map(RESULT) if len(self.members) > 1 else self.last.classes

    @cached_property
    def summary(self) -> dict[str, Any] | None:
        """What the cross-validation measured; None where it was not finished."""
        return self._of_run(SUMMARY)

    @cached_property
    def datalist(self) -> dict[str, Any] | None:
        return self._of_run(DATALIST)

    @cached_property
    def training(self) -> dict[str, Any] | None:
        """What the training left: its time, memory and device."""
        folder = self.last.weights.parent if self.last.weights else None
        file = folder / FINISHED if folder else None
        return read_json(file) if file and file.is_file() else None

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
    return Source(network, tuple(_member_of_run(run, stage, fold) for stage in stages), run, fold)


def _trained_fold(run: Path, stages: tuple[Stage, ...], fold: int) -> int:
    models = [sorted((run / stage.name).glob(f"fold*/{MODEL}")) for stage in stages]
    trained = set.intersection(*({int(model.parent.name.removeprefix("fold")) for model in some} for some in models))
    if not trained or (fold >= 0 and fold not in trained):
        found = f"folds {', '.join(map(str, sorted(trained)))}" if trained else "no fold"
        raise InputError(
            f"RUN is {run}, which has {found} with models of {', '.join(stage.network for stage in stages)}; give the "
            f"folder of a finished `make cv`, and FOLD one of its folds{f' instead of {fold}' if fold >= 0 else ''}."
        )
    return fold if fold >= 0 else min(trained)


def _member_of_run(run: Path, stage: Stage, fold: int) -> Member:
    folder = run / stage.name
    contents = {}
    for workflow in (TRAIN, INFERENCE):
        kept = read_json(folder / f"{workflow}.json")
        if kept["name"] != stage.network:
            raise InputError(f"RUN is {run}, a run of {kept['name']}; expected one of {stage.network}.")
        # A run of an older version lacks keys that have come since
        now = merged(workflow, stage.network, kept["preset"], {}, {}, stage.name, stage.cascade)
        contents[workflow] = {**now, **kept, "imports": union(kept["imports"], now["imports"])}
    for finder in _components(contents[INFERENCE], FINDER):
        # Nor does it hand this one on
        finder["configuration_file"] = "@lung_configuration_file"
    return Member(stage, contents[TRAIN], contents[INFERENCE], folder / f"fold{fold}" / MODEL)


def _components(content: Any, target: str) -> Iterator[dict[str, Any]]:
    """Those parts of a configuration that are made by a target."""
    if isinstance(content, dict) and content.get("_target_") == target:
        yield content
    for part in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from _components(part, target)


def initial(network: str, preset: str, overrides: Mapping[str, Any]) -> Source:
    """What a run of a network would begin with."""
    members = []
    for stage in stages_of(network):
        mine = stage_overrides(overrides, stage)
        train, inference = (
            merged(workflow, stage.network, preset, mine, {}, stage.name, stage.cascade)
            for workflow in (TRAIN, INFERENCE)
        )
        members.append(Member(stage, train, inference, None))
    return Source(network, tuple(members))
