"""The scans that an export is calibrated on and compared on, as its network sees them."""

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
from pipeline.core.run_files import DATALIST
from pipeline.core.stages import STAGES
from pipeline.data.study import load_study
from pipeline.folders.layouts import recognise
from pipeline.folders.scan_list import scans
from pipeline.inference.features import Model
from pipeline.scans.front import Front
from pipeline.scans.scan import read_geometry, read_label, read_scan
from pipeline.small_devices.deployed import changed

FOLD = re.compile(r"fold(\d+)")

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


def with_fixed_size(model: Model, cases: Sequence[Case]) -> tuple[Model, tuple[int, ...]]:
    """The model with one size for all of its inputs, and this size: pixels of a slice or a tile, voxels of a window.

    Whole slices get the size of the largest of all cases, the training's size at least.
    """
    if model.setting("spatial_dims") == 3:
        return model, tuple(model.setting("patch_size"))
    size = tuple(model.setting("slice_size"))
    if model.parser.get("in_tiles", False):
        return model, size
    front: Front = model.setting("front")
    multiple = model.setting("slice_inferer::multiple")
    sizes = [front.grid(read_geometry(case["image"])).size[:2] for case in cases]
    largest = [max(lengths) for lengths in zip(size, *sizes, strict=True)]
    fixed = tuple(-(-length // multiple) * multiple for length in largest)
    return changed(model, {"slice_inferer::smallest": list(fixed)}), fixed


def prepared(model: Model, case: Case) -> torch.Tensor:
    """A scan as the pipeline prepares it, float32 (C, H, W, D)."""
    image: torch.Tensor = model.setting("preprocessing")({"case": case["case"], "image": case["image"]})["image"]
    return image


def reference(model: Model, case: Case) -> np.ndarray | None:
    """The class numbers (H, W, D) of a case's label map on the prepared grid, uint8; None where it has no label."""
    if "label" not in case:
        return None
    annotation = read_label(case["label"])
    # Headers may differ by rounding, which may be a voxel on the prepared grid
    annotation.CopyInformation(read_scan(case["image"]))
    numbers: np.ndarray = model.setting("classes").class_of_code()[model.setting("front").label(annotation)]
    return numbers


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
    for case in cases:
        inputs = inputs_of(model, prepared(model, case))
        count = min(share, len(inputs))
        # The middles of as many equal parts: the ends of a scan hold little
        for place in ((2 * number + 1) * len(inputs) // (2 * count) for number in range(count)):
            yield inputs[place : place + 1].numpy()
