"""Cascades of two networks, the second of which sees what the first one found.

Either the first finds the lungs and the second the infection, in a scan in which all else is air: CHS-Net (Punn and
Agarwal 2020) is RAIU-Net twice. Or the first finds the infection and the second, which gets it as another channel,
tells ground-glass opacity from consolidation: Inf-Net (Fan et al. 2020).

A cascade is named by a bundle that has a `configs/cascade.yaml`, or `a>b`, a lung network and an infection network.
Its cross-validation trains both stages on the same folds, so that what is found in a tested patient first comes from a
model that never saw that patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.configuration import BUNDLES, load
from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_MAPS

LUNGS, INFECTION = "lungs", "infection"
INFECTION_MAP, KINDS = "infection_map", "kinds"
# Second stage -> the first one, from which it gets what was found. A file of bundles/common/stages each
FIRST = {INFECTION: LUNGS, KINDS: INFECTION_MAP}
STAGES = (*FIRST.values(), *FIRST)
# Name of the label map of what is found within lungs together with these
RESULT = "lungs_and_infection"
_INFECTED = list(LABEL_MAPS[RESULT].classes).index("infection")


@dataclass(frozen=True)
class Stage:
    """One training of a cross-validation.

    Args:
        name: one of STAGES, which is also the folder of its results; empty for an ordinary network.
        network: name of a folder of `bundles/`.
        cascade: name of the bundle that the cascade is defined in; empty where there is none.
    """

    name: str
    network: str
    cascade: str = ""


def stages_of(network: str) -> tuple[Stage, ...]:
    """What is trained for a network, `a>b`, or a bundle that is a cascade; InputError for a chain of another length."""
    if ">" in network:
        names = [name.strip() for name in network.split(">")]
        if len(names) != 2 or not all(names):
            raise InputError(f"CASCADE is {network!r}, expected a lung network > an infection network: 'unet_3d>enet'.")
        return tuple(Stage(stage, name) for stage, name in zip((LUNGS, INFECTION), names, strict=True))
    definition = BUNDLES / network / "configs" / "cascade.yaml"
    if not definition.is_file():
        return (Stage("", network),)
    chosen = load([definition])
    return tuple(Stage(stage, chosen[stage], network) for stage in STAGES if stage in chosen)


def stage_overrides(overrides: Mapping[str, Any], stage: Stage) -> dict[str, Any]:
    """Those meant for a stage: `infection::max_epochs` is for that one alone, `max_epochs` for both.

    InputError for one that is meant for a stage of another kind of cascade.
    """
    if not stage.name:
        return dict(overrides)
    mine = next(pair for pair in FIRST.items() if stage.name in pair)
    for key in overrides:
        if key.partition("::")[0] in set(STAGES) - {*mine}:
            known = " and ".join(mine[::-1])
            raise InputError(f"OVERRIDES: key {key!r} is for no stage of this cascade, whose stages are {known}.")
    common = {key: value for key, value in overrides.items() if key.partition("::")[0] not in STAGES}
    own = {key.partition("::")[2]: value for key, value in overrides.items() if key.startswith(f"{stage.name}::")}
    return {**common, **own}


def first_stage_model_of(model_file: str | Path) -> str:
    """The first stage's model that belongs to a second stage's in a cross-validation's folder."""
    fold = Path(model_file).parent
    first = FIRST.get(fold.parent.name, LUNGS)
    return str(fold.parent.parent / first / fold.name / Path(model_file).name)


def has_first_stage(settings: Mapping[str, Any]) -> bool:
    """Whether a configuration, not evaluated, is that of a second stage; one of before there were two kinds has no
    `guided`.
    """
    return bool(settings.get("within_lungs") or settings.get("guided"))


def result_label_map(settings: Mapping[str, Any]) -> str:
    """Name of the label map of the label files that a network's inference writes, from its configuration."""
    return RESULT if settings.get("within_lungs") else str(settings.get("label_map"))


def joined(lungs: np.ndarray, infection: np.ndarray) -> np.ndarray:
    """Class numbers of `lungs_and_infection` from those of both stages, uint8, any one shape."""
    return np.where(infection > 0, _INFECTED, lungs).astype(np.uint8)
