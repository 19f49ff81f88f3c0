"""The scans of a fold, as its network sees them: to calibrate 8 bits on, and to compare on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.check_data.scan_gate import refuse_scan
from pipeline.core.errors import InputError
from pipeline.core.progress_bar import progress_bar
from pipeline.core.run_files import DATALIST
from pipeline.core.stages import STAGES
from pipeline.data.study import load_study
from pipeline.folders.layouts import recognise
from pipeline.folders.scan_list import scans
from pipeline.inference.features import Model

FOLD = re.compile(r"fold(\d+)")
# Inputs of a calibration: of 2D networks slices, of 3D ones windows
CALIBRATION = {2: 64, 3: 16}

Case = Mapping[str, Any]


@dataclass(frozen=True)
class Scans:
    """What an export is calibrated on, and what it is compared on; entries of a datalist, or of `scans`.

    Args:
        told: where the compared ones are from, for the table.
        calibrated_on: and where those of the calibration are from.
    """

    calibration: Sequence[Case]
    compared: Sequence[Case]
    told: str
    calibrated_on: str


def chosen_scans(model: Model, source: str | Path | None) -> Scans:
    """Training cases of the model's fold to calibrate on; to compare on those held out from it, or those of `source`.

    `source` is a scan or a folder of them; where a folder has a layout with labels, these are used. A model with
    initial weights has no fold: there `source` serves both. Raises InputError where neither is there.
    """
    given = _labelled_where_possible(source) if source is not None else []
    for case in given:
        refuse_scan(Path(case["image"]), case["case"])
    if model.weights is None:
        if not given:
            raise InputError("INPUT is empty, and initial weights have no scans of their own; give a folder of scans.")
        return Scans(given, given, "the scans given", "the same scans: initial weights have seen none")
    folder, fold = _study_of(model.weights)
    study = load_study(folder)
    training, held_out = study.training(fold), study.held_out(fold)
    overlap = {case["case"] for case in training} & {case["case"] for case in held_out}
    if overlap:
        raise InputError(f"{folder}: fold {fold} is trained and tested on {', '.join(sorted(overlap))}; split anew.")
    own = f"training scans of fold {fold}"
    return Scans(training, given or held_out, "the scans given" if given else f"scans held out from fold {fold}", own)


def _labelled_where_possible(source: str | Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [dict(case) for case in scans(source)]
    listing = recognise(source) if Path(source).is_dir() else None
    labels = {case.name: case.label for case in listing.cases} if listing else {}
    return [{**case, "label": str(labels[case["case"]])} if labels.get(case["case"]) else case for case in found]


def _study_of(weights: Path) -> tuple[Path, int]:
    """The folder of the study that a fold's weights belong to, and the fold's number."""
    cv = weights.parent.parent
    number = FOLD.fullmatch(weights.parent.name)
    folder = cv.parent if cv.name in STAGES and not (cv / DATALIST).is_file() else cv
    if number is None or not (folder / DATALIST).is_file():
        raise InputError(
            f"{weights}: is in no fold of a cross-validation, so what it was trained on is not known; expected "
            f"fold<k>/{weights.name} below a {DATALIST}; give MODEL such a fold."
        )
    return folder, int(number[1])


def present(cases: Sequence[Case]) -> Sequence[Case]:
    """The same cases; InputError naming the first whose scan is not where its study says."""
    for case in cases:
        for key in ("image", "label"):
            if key in case and not Path(case[key]).is_file():
                raise InputError(f"case {case['case']}: there is no {case[key]}; put the data set back where it was.")
    return cases


def prepared(model: Model, case: Case) -> torch.Tensor:
    """A scan as the pipeline prepares it, float32 (C, H, W, D)."""
    image: torch.Tensor = model.setting("preprocessing")({"case": case["case"], "image": case["image"]})["image"]
    return image


def inputs_of(model: Model, image: torch.Tensor) -> torch.Tensor:
    """All that a network gets of a prepared scan, padded slices, tiles or windows, (N, C, H, W[, D])."""
    seen: list[torch.Tensor] = []
    channels = model.setting("out_channels")

    def record(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch.clone())
        return batch.new_zeros((batch.shape[0], channels, *batch.shape[2:]))

    model.infer(record, image)
    return torch.cat(seen)


def calibration_inputs(model: Model, cases: Sequence[Case], wanted: int) -> Iterator[np.ndarray]:
    """About `wanted` inputs of a network, float32 (1, C, H, W[, D]) each: from every case as many, evenly spaced."""
    share = -(-wanted // len(cases))
    for case in progress_bar(cases, len(cases), "preparing scans to calibrate on"):
        inputs = inputs_of(model, prepared(model, case))
        count = min(share, len(inputs))
        # The middles of as many equal parts: the ends of a scan hold little
        for place in ((2 * number + 1) * len(inputs) // (2 * count) for number in range(count)):
            yield inputs[place : place + 1].numpy()
