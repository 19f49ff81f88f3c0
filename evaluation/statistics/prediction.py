"""What a predicted label map tells of a case without a reference: volumes, severity and its interval, flags."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.measures.cases import OWN_CODES, belongs
from evaluation.measures.flags import Flag, anatomy_flags, intensity_flag
from evaluation.measures.metrics import volume_ml
from evaluation.measures.severity import GRADES, Severity, grades_between, grades_in_words, severity
from evaluation.measures.whole_lungs import whole_lungs
from evaluation.statistics.severity_interval import (
    PATIENTS,
    SCANS,
    HeldOut,
    ShareInterval,
    coverage,
    grades_right,
    patient_errors,
    share_interval,
)
from pipeline.core.labels import BACKGROUND, LEFT_LUNG, RIGHT_LUNG, LabelMap
from pipeline.scans.bounding_box import bounding_box
from pipeline.scans.simpleitk import sitk

NO_INTERVAL = "there are no held-out cases of this model's run with a known severity to tell it from"
TOO_FEW = (
    "{patients} held-out {whose} of this model's run have a known severity, and four are the fewest to tell it from"
)
INTERVAL = "{level} % interval from {patients} held-out {whose} of this model's run"
HELD = "; {held} of them lay within the interval that the patients of the other folds give"
UNKNOWN_PATIENTS = "; nothing beside the model tells which scans are of one patient, so each counts as one"
# Keys of what there is not where no share is known
SHARE_KEYS = (
    *("left_percent", "right_percent", "lungs_percent", "lungs_percent_interval"),
    *("interval_level_percent", "interval_patients", "grade", "grade_interval", "grades_possible", "grades_told"),
    "grades_right",
)

# JSON: percents and ml as floats, None where undefined
Found = dict[str, Any]


def found_in(
    label: sitk.Image, scan: sitk.Image, label_map: LabelMap, held_out: HeldOut, name: str
) -> tuple[Found, list[Flag]]:
    """Severity and volumes of a label map in the label map's class numbers, and its flags.

    `scan` is on the same grid; `held_out` is of the model's run, and `name` is said where something is wrong. There
    are no flags, and no lung of its own has a share, where the label map does not tell left lung, right lung and
    infection apart.
    """
    every = sitk.GetArrayViewFromImage(label)
    # Half of a chest CT lies around the lungs
    voxels = every[bounding_box(every > 0) or ...]
    spacing_mm = label.GetSpacing()[::-1]
    found: Found = {
        "volumes_ml": {
            structure: round(volume_ml(belongs(voxels, numbers), spacing_mm), 3)
            for structure, numbers in label_map.structures.items()
        }
    }
    if not label_map.infection_classes:
        return {**found, **_undefined("the model does not look for infection")}, []
    infection = belongs(voxels, label_map.infection_classes)
    found["infection_ml"] = round(volume_ml(infection, spacing_mm), 3)
    if label_map.classes == OWN_CODES.classes:
        sides = whole_lungs(voxels, spacing_mm)
        shares = severity(sides, infection)
        for code, side in ((LEFT_LUNG, "left"), (RIGHT_LUNG, "right")):
            found[f"{side}_ml"] = round(volume_ml(sides == code, spacing_mm), 3)
        found["lungs_ml"] = round(volume_ml(sides > 0, spacing_mm), 3)
        flags = [*anatomy_flags(voxels, spacing_mm, sides), intensity_flag(scan, label, name)]
        return {**found, **_graded(shares, held_out)}, flags
    lungs = belongs(voxels, _lung_numbers(label_map))
    if not np.array_equal(lungs, infection) and lungs.any():
        whole = volume_ml(lungs, spacing_mm)
        found["lungs_ml"] = round(whole, 3)
        share = volume_ml(infection, spacing_mm) / whole
        return {**found, **_graded(Severity(math.nan, math.nan, share), held_out)}, []
    return {**found, **_undefined("the model does not look for the lungs")}, []


def _lung_numbers(label_map: LabelMap) -> Sequence[int]:
    """Numbers of the classes that are lung, infected or not."""
    return [number for number, codes in enumerate(label_map.classes.values()) if BACKGROUND not in codes]


def _graded(shares: Severity, held_out: HeldOut) -> Found:
    found = {f"{name}_percent": _percent(getattr(shares, name)) for name in ("left", "right", "lungs")}
    around = share_interval(shares.lungs, held_out.lungs)
    return {
        **dict.fromkeys(SHARE_KEYS),
        **found,
        "lungs_percent_interval": around and [_percent(around.low), _percent(around.high)],
        "interval_level_percent": around and around.level,
        "interval_patients": around.patients if around and held_out.whose == PATIENTS else None,
        **_grade(shares, held_out),
        "interval": _told(around, held_out),
    }


def _grade(shares: Severity, held_out: HeldOut) -> Found:
    """The grade by the worse lung, and those that the interval of its share reaches."""
    if shares.grade is None:
        return {}
    found: Found = {"grade": GRADES[shares.grade]}
    worse = max(share for share in (shares.left, shares.right) if not math.isnan(share))
    if around := share_interval(worse, held_out.worse):
        possible = grades_between(around.low, around.high)
        right, patients = grades_right(held_out.worse)
        found |= {
            "grade_interval": [GRADES[possible[0]], GRADES[possible[-1]]],
            "grades_possible": [GRADES[number] for number in possible],
            "grades_told": grades_in_words(shares.grade, possible),
            "grades_right": {"right": right, "of": patients},
        }
    return found


def _told(around: ShareInterval | None, held_out: HeldOut) -> str:
    """Where the interval is from, or why there is none."""
    if around is None:
        patients = len(patient_errors(held_out.lungs))
        return TOO_FEW.format(patients=patients, whose=held_out.whose) if patients else NO_INTERVAL
    told = INTERVAL.format(level=around.level, patients=around.patients, whose=held_out.whose)
    measured = coverage(held_out.lungs)
    told += HELD.format(held=measured.held) if measured and measured.held is not None else ""
    return told + (UNKNOWN_PATIENTS if held_out.whose == SCANS else "")


def _undefined(why: str) -> Found:
    return {**dict.fromkeys(SHARE_KEYS), "interval": why}


def _percent(share: float) -> float | None:
    return None if math.isnan(share) else round(100 * share, 4)


def flag_entries(flags: Sequence[Flag]) -> list[dict[str, Any]]:
    """As JSON: name, value, unit, limits, whether it is raised, and its sentence."""
    return [
        {
            "flag": flag.limits.name,
            "value": _finite(flag.value),
            "unit": flag.limits.unit,
            "low": _finite(flag.limits.low),
            "high": _finite(flag.limits.high),
            "raised": flag.raised,
            "sentence": flag.sentence,
        }
        for flag in flags
    ]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
