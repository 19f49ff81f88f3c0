"""The trained models that MODEL names: their files, what they were trained on, and whether they fit together."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.statistics.comparison import run_names
from pipeline.bundle_files.earlier_version import refuse_earlier
from pipeline.core.atomic import read_json
from pipeline.core.configuration import CALIBRATED_MEAN, ENSEMBLE, load
from pipeline.core.errors import InputError
from pipeline.core.run_files import FOLDS
from pipeline.core.stages import FIRST, first_stage_model_of, has_first_stage
from pipeline.data.study import load_study
from pipeline.inference.ensemble import check_method, configuration_of
from pipeline.scans.scan import file_sha256
from pipeline.training.checkpoint import FINISHED, MODEL

# What has to be equal in the inference of members that share a window: what they see, and what they answer
SEEN = ("front", "window_hu", "spacing_mm", "interpolation_order", "normalisation", "within_lungs", "guided")
ANSWERED = ("label_map", "infection_threshold")
WINDOWS = {
    2: ("volume_inferer", "slice_inferer", "slice_size"),
    3: ("volume_inferer", "window_inferer", "patch_size", "overlap"),
}
_FOLD = re.compile(r"fold(\d+)")


@dataclass(frozen=True)
class Member:
    """One trained model.

    Args:
        name: what tells it from the other members, such as `fold3`; it has no slash.
        weights: its file.
    """

    name: str
    weights: Path

    @property
    def configuration(self) -> Path:
        """Of its inference."""
        return configuration_of(self.weights)

    @property
    def weight_files(self) -> list[Path]:
        """Its own, and those of the first stage where it is the second one of a cascade."""
        first = [Path(first_stage_model_of(self.weights))] if has_first_stage(read_json(self.configuration)) else []
        return [self.weights, *first]

    @property
    def tells_training(self) -> bool:
        """Whether it lies where its cross-validation left it, which knows what it was trained on."""
        return bool(_FOLD.fullmatch(self.weights.parent.name)) and self._folds.is_file()

    @cached_property
    def trained_on(self) -> list[dict[str, Any]]:
        """The entries of the datalist that it was trained on; InputError where its folder does not tell them."""
        if not self.tells_training:
            raise InputError(
                f"{self.weights}: nothing beside it tells which patients it was trained on ({self._folds}), so it "
                "cannot be scored honestly; leave it where its cross-validation left it."
            )
        return load_study(self._folds.parent).training(self._fold)

    @property
    def held_out(self) -> list[dict[str, Any]]:
        """The entries that it has not seen, for a member that `tells_training`."""
        return load_study(self._folds.parent).held_out(self._fold)

    @property
    def _fold(self) -> int:
        return int(self.weights.parent.name.removeprefix("fold"))

    @property
    def _folds(self) -> Path:
        return self.weights.parents[1] / FOLDS

    def has_seen(self, case: Mapping[str, Any]) -> bool:
        """Whether it was trained on the case's patient or image, by patient_id and SHA-256."""
        return is_among(case, self.trained_on)


def is_among(case: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a datalist's entry is of a patient, or has the very image, of one of other entries."""
    mine = (case["patient_id"], case["image_sha256"])
    return any(mine[0] == other["patient_id"] or mine[1] == other["image_sha256"] for other in others)


def sha256_of(members: Sequence[Member], combined: Mapping[str, Any] | None = None) -> str:
    """One hash of all weights and configurations, of first stages too, and of how members are combined.

    Raises InputError where the first stage of a cascade is not there.
    """
    files = [file for member in members for file in (member.weights, member.configuration)]
    firsts = [first for member in members for first in member.weight_files[1:]]
    files += [file for first in firsts for file in (first, configuration_of(first))]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise InputError(
            f"MODEL is the second network of a cascade, but of the first one there is no {' and no '.join(missing)}; "
            "leave both where their cross-validation left them."
        )
    told = [*(file_sha256(file) for file in files), json.dumps(dict(combined or {}), sort_keys=True)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def images_trained_on(members: Iterable[Member]) -> frozenset[str]:
    """SHA-256 of all images that one of the members was trained on, as far as their folders tell."""
    entries = (entry for member in members if member.tells_training for entry in member.trained_on)
    return frozenset(entry["image_sha256"] for entry in entries)


def find_members(models: str | Path | Sequence[str | Path]) -> list[Member]:
    """The members that MODEL names: fold folders, or folders of folds, whose finished folds all count.

    In a text, names are separated by spaces; quotes keep one that has a space. Raises InputError that says what to give
    instead, where one is missing, stands twice, or is of an earlier version of this project.
    """
    weights = [file for name in _listed(models) for file in _weights_of(name)]
    if len({file.absolute() for file in weights}) < len(weights):
        twice = next(file for file in weights if weights.count(file) > 1)
        raise InputError(f"MODEL names {twice.parent} twice, which would count it twice; name it once.")
    names = run_names(weights) if len(weights) > 1 else [weights[0].parent.name]
    members = [Member(name.replace("/", "-"), file) for name, file in zip(names, weights, strict=True)]
    for configuration in {member.configuration for member in members}:
        refuse_earlier(read_json(configuration), configuration)
    return members


def _listed(models: str | Path | Sequence[str | Path]) -> list[str | Path]:
    if isinstance(models, Path) or (isinstance(models, str) and Path(models).exists()):
        return [models]
    if not isinstance(models, str):
        return list(models)
    try:
        return list(shlex.split(models)) or [models]
    except ValueError as error:
        raise InputError(f"MODEL is {models}, in which a quote has no end; close it.") from error


def _weights_of(model: str | Path) -> list[Path]:
    """The weights that one name stands for: a fold's, a file in it, or all finished folds of a folder."""
    folder = Path(model)
    folder = folder.parent if folder.is_file() else folder
    # Of a cascade: its second stage finds the first one's model
    seconds = [folder.parent / stage / folder.name for stage in FIRST]
    second = next((place for place in seconds if place.is_dir()), None)
    if second or (folder / MODEL).is_file():
        files = [(second or folder) / MODEL]
    else:
        folder = next((folder / stage for stage in FIRST if (folder / stage).is_dir()), folder)
        finished = {file.parent.name: file.parent / MODEL for file in folder.glob(f"fold*/{FINISHED}")}
        numbers = sorted(int(match[1]) for match in map(_FOLD.fullmatch, finished) if match)
        files = [finished[f"fold{number}"] for number in numbers]
    for file in files or [folder / MODEL]:
        for needed in (file, configuration_of(file)):
            if not needed.is_file():
                raise InputError(
                    f"MODEL is {model}, but there is no {needed}; give a folder such as runs/unet_3d/cv/fold0, or one "
                    "with trained folds, such as runs/unet_3d/cv."
                )
    return files


def check_alike(members: Sequence[Member]) -> None:
    """Raise InputError, naming what differs, where members do not see the same windows or give the same classes."""
    first, *others = members
    expected = read_json(first.configuration)
    keys = ("spatial_dims", *SEEN, *ANSWERED, *WINDOWS[expected["spatial_dims"]])
    for other in others:
        found = read_json(other.configuration)
        for key in keys:
            if expected.get(key) != found.get(key):
                raise InputError(
                    f"MODEL: {first.name} has {key} {expected.get(key)} and {other.name} has {found.get(key)}; members "
                    "of an ensemble look at the same windows and name the same classes; choose models that were "
                    "trained with one preset, label map and number of dimensions."
                )


def ensemble_configuration(
    members: Sequence[Member],
    method: str,
    weights: Sequence[float] | None,
    temperatures: Sequence[float] = (),
) -> dict[str, Any]:
    """The inference configuration of an ensemble, complete and not evaluated; InputError where members do not fit.

    With temperatures, one a member, it averages tempered probabilities of infection beside all else.
    """
    check_method(method, weights, len(members))
    check_alike(members)
    files = [str(member.weights) for member in members]
    own = {"models": files, "method": method, "weights": weights}
    if temperatures:
        return {
            **load([members[0].configuration, ENSEMBLE, CALIBRATED_MEAN]),
            **own,
            "temperatures": [*temperatures],
        }
    return {**load([members[0].configuration, ENSEMBLE]), **own}
