"""Cascades of two networks, the second of which sees what the first one found.

Either the first finds the lungs and the second the infection, in a scan in which all else is air: CHS-Net (Punn and
Agarwal 2020) is RAIU-Net twice. Or the first finds the infection and the second, which gets it as another channel,
tells ground-glass opacity from consolidation: Inf-Net (Fan et al. 2020).

A cascade is named by a bundle that has a `configs/cascade.yaml`, or `a>b`, a lung network and an infection network.
Its cross-validation trains both stages on the same folds, so that what is found in a tested patient first comes from a
model that never saw that patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser

from pipeline.core.atomic import read_json
from pipeline.core.configuration import BUNDLES, load
from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_MAPS
from pipeline.inference.ensemble import MEAN, Ensemble, configuration_of, network_of
from pipeline.scans.scan import Geometry, file_sha256
from pipeline.scans.simpleitk import sitk

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


def with_lungs(cases: Sequence[dict[str, Any]], lungs_dir: str | None, fold: int) -> list[dict[str, Any]]:
    """Entries of the datalist with what a first stage found, `<lungs_dir>/fold<k>/<case>.nii.gz`.

    As they are where there is no such folder: lungs and infection are then those of the reference.
    """
    if lungs_dir is None:
        return list(cases)
    found = []
    for case in cases:
        file = Path(lungs_dir) / f"fold{fold}" / f"{case['case']}.nii.gz"
        if not file.is_file():
            raise InputError(f"case {case['case']}: the first stage has not segmented it, there is no {file}.")
        found.append({**case, "found": str(file), "found_sha256": file_sha256(file)})
    return found


def lung_model_of(model_file: str | Path) -> str:
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


class LungFinder:
    """A first stage: the lungs of a scan, or its infection, by one model or by an ensemble.

    Args:
        model_files: of folds.
        method, weights: of an ensemble, see `pipeline.inference.ensemble.Ensemble`.
        configuration_file: of the inference; None for `inference.json` beside the first fold, as cross-validation
            leaves it.
        settings: that take the place of that configuration's own, such as those of a mode.
    """

    def __init__(
        self,
        model_files: Sequence[str | Path],
        method: str = MEAN,
        weights: Sequence[float] | None = None,
        configuration_file: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.model_files = [Path(file) for file in model_files]
        self.method, self.weights = method, weights
        self.configuration_file = configuration_file
        self.settings = dict(settings or {})

    @cached_property
    def parser(self) -> ConfigParser:
        configuration = Path(self.configuration_file or configuration_of(self.model_files[0]))
        if not configuration.is_file():
            raise InputError(f"{configuration}: there is no such file; the lung model belongs beside it.")
        parser = ConfigParser({**read_json(configuration), **self.settings})
        parser.parse()
        return parser

    @cached_property
    def network(self) -> Ensemble:
        networks = [network_of(file, self.configuration_file) for file in self.model_files]
        return Ensemble(networks, self.method, self.weights).to(self.parser.get_parsed_content("device")).eval()

    def __call__(self, scan: sitk.Image, name: str) -> sitk.Image:
        """Label image on the scan's grid: 1 in the lungs, infected or not, or in the infection.

        Raises InputError naming `name`.
        """
        front, inferer, device, mixed, crop, restore = map(
            self.parser.get_parsed_content,
            ("front", "inferer", "device", "mixed_precision", "crop_to_lungs", "restore_volume"),
        )
        grid = front.grid(Geometry.of(scan))
        prepared = torch.from_numpy(front.image(scan, name))
        box = crop.box(prepared[0], grid.spacing_mm, name)
        seen = prepared[(slice(None), *box.slices)].contiguous()[None].to(device)
        fast = mixed and device.type == "cuda"
        with torch.inference_mode(), torch.autocast("cuda", enabled=fast):
            logits = inferer(seen, self.network)[0].float().cpu()
        if restore:
            logits = restore.restore(logits, box, grid.size)
        probabilities = logits.softmax(0)
        # As where its own label files are written; null where the likeliest class wins
        if threshold := self.parser.get_parsed_content("apply_threshold", default=None):
            probabilities = threshold({"pred": probabilities})["pred"]
        return front.probabilities_to_label(probabilities, Geometry.of(scan))
