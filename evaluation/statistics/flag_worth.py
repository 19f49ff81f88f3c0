"""What each failure flag is worth: how well it tells failed cases of a cross-validation from the others.

    pneumobundle flag-worth runs/unet_3d/cv [runs/anam_net/cv ...] [--structure infection]

The first cross-validation is judged; with the others' predictions of the same cases its agreement is taken.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Whose stats, half a second, is loaded when it is first used: what reads results does not need it
import scipy

from evaluation.measures.cases import read_labels
from evaluation.measures.flags import EVERY, FAILED_BELOW, Flag, case_flags
from evaluation.statistics.comparison import read_runs
from evaluation.statistics.intervals import CONFIDENCE, FEWEST, RESAMPLES, SEED
from evaluation.statistics.unlike_training import held_out_distances, unlike_flags
from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_CODES, STRUCTURES
from pipeline.core.run_files import DATALIST, METRICS_FILE, PREDICTIONS
from pipeline.core.scan_traits import folds_of
from pipeline.core.text_table import aligned, listed, number
from pipeline.scans.scan import read_scan

logger = logging.getLogger(__name__)
INTERVAL = f"{100 * CONFIDENCE:.0f} % interval"


@dataclass(frozen=True)
class Worth:
    """How well a flag tells failed cases from others.

    Args:
        name: of the flag.
        auroc: chance that a failed case is more suspicious than another, ties half; None without either kind.
        failed, others: cases of each kind for which the flag has a suspicion.
        caught: failed cases for which it was raised.
        false_alarms: other cases for which it was raised.
        left_out: cases where the flag or their Dice is undefined.
        by_chance: chance that a flag which knows nothing puts all failed cases first; None without either kind.
        low, high: of the AUROC's 95 % interval; None where there is no AUROC, or too few patients for one.
    """

    name: str
    auroc: float | None
    failed: int
    others: int
    caught: int
    false_alarms: int
    left_out: int
    by_chance: float | None
    low: float | None = None
    high: float | None = None


def auroc(failed: Sequence[float], others: Sequence[float]) -> float | None:
    """Area under the receiver operating characteristic of the suspicion of failed cases and of others.

    It is the Mann-Whitney statistic, from the failed cases' rank sum, over the number of pairs; None without either.
    """
    if not failed or not others:
        return None
    ranks = scipy.stats.rankdata([*failed, *others])[: len(failed)]
    return float(ranks.sum() - len(failed) * (len(failed) + 1) / 2) / (len(failed) * len(others))


def auroc_interval(
    suspicion: Sequence[float], failed: Sequence[bool], patients: Sequence[str]
) -> tuple[float, float] | None:
    """Ends of the 95 % interval of the AUROC: percentiles over resamples of the patients that hold cases of both kinds.

    None of fewer than FEWEST patients, or where hardly a resample does.
    """
    of_patient = {patient: place for place, patient in enumerate(dict.fromkeys(patients))}
    if len(of_patient) < FEWEST:
        return None
    value, failure = np.asarray(suspicion, float), np.asarray(failed, bool)
    whose = np.array([of_patient[patient] for patient in patients])
    # Not by subtraction: infinite suspicions are equal too
    mine, theirs = value[failure][:, None], value[~failure][None]
    before = (mine > theirs) + 0.5 * (mine == theirs)
    draw = np.random.default_rng(SEED)
    times = draw.multinomial(len(of_patient), np.full(len(of_patient), 1 / len(of_patient)), RESAMPLES)
    of_failed, of_others = times[:, whose[failure]], times[:, whose[~failure]]
    pairs = of_failed.sum(1) * of_others.sum(1)
    usable = pairs > 0
    if usable.sum() < RESAMPLES / 2:
        return None
    found = ((of_failed @ before) * of_others).sum(1)[usable] / pairs[usable]
    low, high = np.percentile(found, [100 * (1 - CONFIDENCE) / 2, 100 * (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def worth(
    name: str,
    flags: Sequence[Flag | None],
    dice: Sequence[float],
    failed_below: float = FAILED_BELOW,
    patients: Sequence[str] | None = None,
) -> Worth:
    """The worth of one flag on several cases: the flag of each, None where it could not be had, its Dice and patient.

    Without `patients` each case is one.
    """
    known = [
        (flag, value < failed_below, patient)
        for flag, value, patient in zip(flags, dice, patients or [str(i) for i in range(len(dice))], strict=True)
        if flag is not None and flag.suspicion is not None and not math.isnan(value)
    ]
    suspicion, failures = [flag.suspicion or 0.0 for flag, *_ in known], [failure for _, failure, _ in known]
    failed = [value for value, failure in zip(suspicion, failures, strict=True) if failure]
    others = [value for value, failure in zip(suspicion, failures, strict=True) if not failure]
    both = auroc_interval(suspicion, failures, [patient for *_, patient in known]) if failed and others else None
    return Worth(
        name,
        auroc(failed, others),
        len(failed),
        len(others),
        sum(flag.raised for flag, failure, _ in known if failure),
        sum(flag.raised for flag, failure, _ in known if not failure),
        len(dice) - len(known),
        1 / math.comb(len(known), len(failed)) if failed and others else None,
        *(both or (None, None)),
    )


def measure(
    folders: Sequence[str | Path], structure: str = "infection", failed_below: float = FAILED_BELOW
) -> list[Worth]:
    """The worth of each flag on the first of several cross-validations of the same cases, in the order of EVERY.

    A case has failed where the Dice of the structure is below `failed_below`. A scan that is no longer where the study
    found it leaves the flag of its intensities out. Raises InputError where a folder is no cross-validation, where the
    predictions do not hold the project's codes, or where the cases differ.
    """
    runs = read_runs([Path(folder) / METRICS_FILE for folder in folders])
    for name, rows in runs.items():
        if not {found for *_, found in rows} >= STRUCTURES.keys():
            raise InputError(
                f"{name}: its predictions do not tell left lung, right lung and infection apart, which the flags need; "
                "expected label_map lungs_infection."
            )
    first, images = next(iter(runs.values())), images_of(Path(folders[0]))
    own = unlike_flags(held_out_distances(folds_of(Path(folders[0]))), list(first.values()))
    flags, dice, patients = [], [], []
    for case, fold, found in first:
        if found == structure:
            logger.info("case %s", case)
            flags.append(flags_of(folders, case, images[case]))
            if flag := own.get((case, fold)):
                flags[-1][flag.limits.name] = flag
            dice.append(first[case, fold, found]["dice"])
            patients.append(first[case, fold, found]["patient_id"])
    names = [limits.name for limits in EVERY if any(limits.name in mine for mine in flags)]
    return [worth(name, [mine.get(name) for mine in flags], dice, failed_below, patients) for name in names]


def images_of(folder: Path) -> dict[str, Path]:
    """The scan of each case of a cross-validation, by the case's name."""
    datalist = read_json(folder / DATALIST)
    return {entry["case"]: Path(datalist["dataset_dir"], entry["image"]) for entry in datalist["training"]}


def flags_of(folders: Sequence[str | Path], case: str, image: Path) -> dict[str, Flag]:
    """The flags by name of one case of the first folder's cross-validation, with the others' predictions of it."""
    files = [Path(folder) / PREDICTIONS / f"{case}.nii.gz" for folder in folders]
    labels, *others = [read_labels(file, case, LABEL_CODES) for file in files]
    scan = read_scan(image) if image.is_file() else None
    return {flag.limits.name: flag for flag in case_flags(labels, scan, others, case)}


def worth_table(found: Sequence[Worth], structure: str, failed_below: float = FAILED_BELOW) -> str:
    """A line a flag, and how far chance alone would go."""
    lines = [["flag", "AUROC", INTERVAL, "failed", "raised", "others", "raised", "left out"]]
    for one in found:
        counts = (one.failed, one.caught, one.others, one.false_alarms, one.left_out)
        lines.append([one.name, number(one.auroc), interval_of(one), *map(str, counts)])
    told = worth_notes(found, structure, failed_below)
    return "\n".join(("What each flag is worth", aligned(lines), *listed(told)))


def interval_of(found: Worth) -> str:
    return "-" if found.low is None or found.high is None else f"{found.low:.3f} to {found.high:.3f}"


def worth_notes(found: Sequence[Worth], structure: str, failed_below: float = FAILED_BELOW) -> list[str]:
    """What the numbers mean, and how much so many cases can tell."""
    return [
        f"Failed: Dice of {structure} below {failed_below:g}. AUROC: chance that a failed case is more suspicious than "
        "another, 0.5 for a flag that knows nothing, - where there are no failed cases or no others. Its interval is "
        "the bootstrap's over patients, too narrow for few.",
        *dict.fromkeys(chance(one, len(found)) for one in found),
    ]


def chance(found: Worth, tried: int) -> str:
    """One sentence on what the numbers of cases allow to be said."""
    cases = f"{found.failed} failed and {found.others} other cases"
    if found.by_chance is None:
        return f"{cases} cannot tell what a flag is worth."
    return (
        f"{cases}: a flag that knows nothing has an AUROC of 1 with probability {found.by_chance:.2g}, and "
        f"{tried} flags are tried."
    )
