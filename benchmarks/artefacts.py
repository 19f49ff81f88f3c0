"""What each failure flag is worth where scans are damaged: `python -m benchmarks.artefacts runs/unet_3d/cv`.

Every held-out scan of a cross-validation is damaged in several ways, the same ones each time, and segmented by the fold
that has not seen its patient. Whether a flag tells the failed ones from the others is then judged on more failures than
any data set has by itself. The limits of `unlike_training` are those of the other patients' scans as they came.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from evaluation.measures.cases import Row, read_reference
from evaluation.measures.flags import EVERY, UNLIKE_TRAINING, Flag
from evaluation.measures.metrics import dice
from evaluation.statistics.comparison import read_runs
from evaluation.statistics.flag_worth import Worth, worth, worth_table
from evaluation.statistics.prediction import found_in
from evaluation.statistics.unlike_training import Familiarity, held_out_distances, limits_of
from pipeline.core import logs
from pipeline.core.annotation import annotation_of
from pipeline.core.errors import InputError, innermost, report_plainly
from pipeline.core.labels import CODES, INFECTED, STRUCTURES
from pipeline.core.run_files import METRICS_FILE
from pipeline.core.scan_traits import TRAINING, familiar, folds_of, read_traits
from pipeline.inference.chosen_model import open_model
from pipeline.inference.members import find_members
from pipeline.scans.intensity import GREY_255, intensity_domain
from pipeline.scans.scan import read_scan
from pipeline.scans.simpleitk import sitk

logger = logging.getLogger(__name__)
# A damaged scan and its damaged reference, (slices, rows, columns)
Pair = tuple[np.ndarray, np.ndarray]
# Whose Dice tells whether a scan has failed
JUDGED = ("lungs", "infection")
# Of soft tissue and air
RANGE_HU, RANGE_GREY = 1500.0, 255.0


@dataclass(frozen=True)
class Damage:
    """One way of damaging a scan.

    Args:
        name: in tables.
        done: gives the damaged scan and reference of these, the range of grey and a generator of random numbers.
    """

    name: str
    done: Callable[[np.ndarray, np.ndarray, float, np.random.Generator], Pair]


def noisy(share: float) -> Callable[..., Pair]:
    return lambda scan, label, span, draw: (scan + draw.normal(0, share * span, scan.shape), label)


def metal(scan: np.ndarray, label: np.ndarray, span: float, draw: np.random.Generator) -> Pair:
    """Bright and dark bands through the middle half of every slice, as beside metal."""
    rows, columns = np.mgrid[: scan.shape[1], : scan.shape[2]]
    streaked = scan.copy()
    for number in range(12):
        row, angle = draw.integers(scan.shape[1] // 4, 3 * scan.shape[1] // 4), draw.uniform(0, np.pi)
        apart = (rows - row) * np.cos(angle) - (columns - scan.shape[2] / 2) * np.sin(angle)
        streaked[:, np.abs(apart) < 3] = scan.max() if number % 2 else scan.min()
    return streaked, label


def turned(scan: np.ndarray, label: np.ndarray, span: float, draw: np.random.Generator) -> Pair:
    """A quarter, as of a patient on the side whose header says otherwise; by a half where slices are not square."""
    quarters = 1 if scan.shape[1] == scan.shape[2] else 2
    return np.rot90(scan, quarters, (1, 2)), np.rot90(label, quarters, (1, 2))


DAMAGES = (
    Damage("as it came", lambda scan, label, span, draw: (scan, label)),
    Damage("noise, 180 HU", noisy(0.12)),
    Damage("noise, 450 HU", noisy(0.3)),
    Damage("metal", metal),
    Damage("two of three slices missing", lambda scan, label, span, draw: (scan[::3], label[::3])),
    Damage(
        "contrast .45",
        lambda scan, label, span, draw: ((scan - scan.min()) * 0.45 + scan.min() + 0.3 * np.ptp(scan), label),
    ),
    Damage("brighter, 375 HU", lambda scan, label, span, draw: (scan + 0.25 * span, label)),
    Damage("blurred in-plane", lambda scan, label, span, draw: (ndimage.gaussian_filter(scan, (0, 4, 4)), label)),
    Damage("back to front", lambda scan, label, span, draw: (scan[:, ::-1], label[:, ::-1])),
    Damage("turned", turned),
    Damage("inverted", lambda scan, label, span, draw: (scan.max() + scan.min() - scan, label)),
)


def damaged(
    scan: sitk.Image, label: sitk.Image, name: str, draw: np.random.Generator
) -> Iterator[tuple[str, Any, Any]]:
    """Name, scan and reference of each of DAMAGES, in the type of the scan's file."""
    voxels, codes = sitk.GetArrayFromImage(scan), sitk.GetArrayFromImage(label)
    grey = intensity_domain(scan, name) == GREY_255
    limits = (0, 255) if grey else (-32768, 32767)
    for damage in DAMAGES:
        pair = damage.done(voxels.astype(np.float64), codes, RANGE_GREY if grey else RANGE_HU, draw)
        images = []
        for array, kind in zip(pair, (np.uint8 if grey else np.int16, np.uint8), strict=True):
            image = sitk.GetImageFromArray(np.clip(np.rint(array), *limits).astype(kind))
            image.SetSpacing([*scan.GetSpacing()[:2], scan.GetSpacing()[2] * len(voxels) / len(array)])
            image.SetOrigin(scan.GetOrigin())
            image.SetDirection(scan.GetDirection())
            images.append(image)
        yield damage.name, images[0], images[1]


@dataclass(frozen=True)
class Judged:
    """One damaged scan: whose, how, its flags by name, and the Dice of what its reference annotates."""

    patient: str
    damage: str
    flags: dict[str, Flag]
    dice: dict[str, float]


def judged_scans(run: Path) -> Iterator[Judged]:
    """Every held-out scan of a cross-validation with lungs and infection, damaged in every way."""
    ((_, rows),) = read_runs([run / METRICS_FILE]).items()
    table: list[Row] = list(rows.values())
    distances = held_out_distances(folds_of(run))
    for member in find_members(run):
        if not member.held_out:
            continue
        known = familiar(read_traits(member.weights.parent)[TRAINING])
        with open_model(member.weights.parent) as model:
            for case in member.held_out:
                if case["size"][2] == 1:
                    continue
                limits = limits_of(distances, table, case["patient_id"])
                familiarity = Familiarity([(known, limits)]) if known and limits else None
                yield from _of_case(case, model, familiarity)


def _of_case(case: Mapping[str, Any], model: Any, familiarity: Familiarity | None) -> Iterator[Judged]:
    name, annotation = case["case"], annotation_of(case)
    reference = read_reference(Path(case["label"]), name, model.labels, case.get(CODES))
    told = {what: STRUCTURES[what] for what in JUDGED}
    if not annotation.infection:
        told.pop("infection")
    for damage, scan, label in damaged(read_scan(Path(case["image"])), reference, name, np.random.default_rng(0)):
        try:
            answer = model.segmenter.segment(name, scan)
        except RuntimeError as error:
            if not isinstance(innermost(error), InputError):
                raise
            logger.info("%s, %s: refused, %s", name, damage, innermost(error))
            continue
        flags = found_in(answer.label, scan, model.labels, model.held_out, name)[1]
        flags += [familiarity.flag(answer.traits)] if familiarity else []
        truth, found = sitk.GetArrayViewFromImage(label), sitk.GetArrayViewFromImage(answer.label)
        scores = {what: dice(np.isin(truth, codes), np.isin(found, codes)) for what, codes in told.items()}
        logger.info("%s, %s: %s", name, damage, ", ".join(f"{what} {value:.2f}" for what, value in scores.items()))
        # Of a scan without infection, whatever is found is wrong, and nothing is a Dice
        if not np.isin(truth, INFECTED).any():
            scores.pop("infection", None)
        yield Judged(case["patient_id"], damage, {flag.limits.name: flag for flag in flags}, scores)


def worths(found: list[Judged], structure: str) -> list[Worth]:
    """The worth of each flag on those with a Dice of the structure."""
    scored = [one for one in found if structure in one.dice]
    scores, patients = [one.dice[structure] for one in scored], [one.patient for one in scored]
    names = [limits.name for limits in EVERY if any(limits.name in one.flags for one in scored)]
    return [worth(name, [one.flags.get(name) for one in scored], scores, patients=patients) for name in names]


def main() -> None:
    report_plainly()
    logs.set_up()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.artefacts", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a cross-validation with label map lungs_infection")
    found = list(judged_scans(parser.parse_args().run))
    for structure in JUDGED:
        logs.result("\n".join(("", worth_table(worths(found, structure), structure))))
    logs.result("\nMean Dice, and in how many scans unlike_training was raised")
    for damage in DAMAGES:
        mine = [one for one in found if one.damage == damage.name]
        means = [
            f"{structure} {np.nanmean(values):.2f}"
            for structure in JUDGED
            if (values := [one.dice[structure] for one in mine if structure in one.dice])
        ]
        flags = [one.flags[UNLIKE_TRAINING.name] for one in mine if UNLIKE_TRAINING.name in one.flags]
        raised = sum(flag.raised for flag in flags)
        logs.result(f"{damage.name}: {', '.join(means)}; raised in {raised} of {len(mine)}")


if __name__ == "__main__":
    main()
