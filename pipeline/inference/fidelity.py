"""What the modes of inference change and take: Dice against `exact`, and seconds, on scans held out from a fold.

pneumobundle fidelity runs/unet_3d/cv/fold0 --modes "whole windows fast"

What is found is kept beside the model, for `MODE=auto`: see `pipeline.inference.auto_mode`.
"""

from __future__ import annotations

import logging
import logging.config
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch

from evaluation.measures.metrics import dice
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap
from pipeline.core.progress_bar import progress_bar
from pipeline.core.text_table import aligned
from pipeline.inference.auto_mode import EXACT, WHOLE, Measured, eight_bits_sha256, has_eight_bits, write_measured
from pipeline.inference.chosen_model import open_model
from pipeline.inference.members import Member, find_members
from pipeline.scans.scan import read_scan
from pipeline.scans.simpleitk import sitk
from pipeline.scans.written_image import write_image

logger = logging.getLogger(__name__)
# Enough for a mean, few enough for a first use
MOST_SCANS = 3
AT_FIRST_USE = (WHOLE, "int8", "int8-windows", "int8-fast")


class Segmented(NamedTuple):
    """Class numbers (D, H, W) of each scan as one mode finds them, what they mean, and how long it took, s."""

    classes: dict[str, np.ndarray]
    labels: LabelMap
    seconds: dict[str, float]


def compare(model: str | Path, modes: Sequence[str]) -> str:
    """What `measure` finds of the one fold that MODEL names, as a table; InputError for several."""
    member, *others = find_members(model)
    if others:
        raise InputError(f"MODEL is {model}, {1 + len(others)} models; give one of them: {member.weights.parent}.")
    return table(measure(member, modes))


def measure(member: Member, modes: Sequence[str]) -> dict[str, Measured]:
    """Dice against `exact` and seconds of each mode, by mode, `exact` first; also written beside the model.

    Raises InputError where no scan was held out from its fold, none of them is there, or a mode cannot run.
    """
    cases = compared_scans(member)
    exact = segmented(member, cases, EXACT)
    measured = {EXACT: _measured(member, EXACT, exact, exact)}
    for mode in modes:
        if mode != EXACT:
            measured[mode] = _measured(member, mode, exact, segmented(member, cases, mode))
    write_measured(member, {case["case"]: case["image_sha256"] for case in cases}, measured)
    return measured


def compared_scans(member: Member) -> list[dict[str, Any]]:
    """Scans held out from a model's fold that are where they were; of many a few, those with infection first."""
    if not member.tells_training:
        raise InputError(
            f"{member.weights}: is in no fold of a cross-validation, so no scans are known to be held out from it; "
            "leave it where its cross-validation left it."
        )
    there = [case for case in member.held_out if Path(case["image"]).is_file()]
    if not there:
        raise InputError(
            f"{member.weights}: none of the scans held out from its fold is there; put the data set back where it was."
        )
    return sorted(there, key=lambda case: not case.get("volume_ml", {}).get("infection"))[:MOST_SCANS]


def segmented(member: Member, cases: Sequence[Mapping[str, Any]], mode: str) -> Segmented:
    """What `make predict MODE=<mode>` finds in scans."""
    logger.info("%s: segmenting %d scans as MODE=%s", member.weights, len(cases), mode)
    classes, seconds = {}, {}
    with TemporaryDirectory() as folder, open_model(member.weights.parent, mode=mode) as model:
        for case in progress_bar(cases, len(cases), f"segmenting as MODE={mode}"):
            name, file, began = case["case"], Path(case["image"]), time.monotonic()
            label = model.segmenter.segment(name, read_scan(file), file).label
            write_image(label, Path(folder) / f"{name}.nii.gz")
            seconds[name] = time.monotonic() - began
            classes[name] = sitk.GetArrayFromImage(label)
        return Segmented(classes, model.labels, seconds)


def _measured(member: Member, mode: str, exact: Segmented, own: Segmented) -> Measured:
    return Measured(
        threads=torch.get_num_threads(),
        seconds={case: round(seconds, 3) for case, seconds in own.seconds.items()},
        dice=agreement(exact, own),
        eight_bits_sha256=eight_bits_sha256(member) if has_eight_bits(mode) else [],
    )


def agreement(exact: Segmented, own: Segmented) -> dict[str, dict[str, float]]:
    """Dice against `exact` by structure and case, of those cases in which `exact` finds the structure."""
    found: dict[str, dict[str, float]] = {}
    for structure, numbers in exact.labels.structures.items():
        masks = {case: np.isin(classes, numbers) for case, classes in exact.classes.items()}
        there = {case: mask for case, mask in masks.items() if mask.any()}
        found[structure] = {case: dice(mask, np.isin(own.classes[case], numbers)) for case, mask in there.items()}
    return found


def table(measured: Mapping[str, Measured]) -> str:
    """Means over the scans, a row a mode."""
    structures = list(next(iter(measured.values())).dice)
    rows = [["mode", "seconds a scan", *(name.replace("_", " ") for name in structures)]]
    for mode, each in measured.items():
        values = each.mean_dice()
        shown = [f"{values[name]:.4f}" if name in values else "" for name in structures]
        rows.append([mode, f"{each.mean_seconds:.1f}", *shown])
    return aligned(rows)
