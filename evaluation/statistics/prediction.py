"""What a predicted label map tells of a case without a reference: volumes, severity and its interval, flags."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.measures.cases import OWN_CODES, belongs
from evaluation.measures.flags import Flag, case_flags
from evaluation.measures.metrics import volume_ml
from evaluation.measures.severity import GRADES, Severity, grade, severity
from evaluation.measures.whole_lungs import whole_lungs
from evaluation.statistics.severity_interval import ShareErrors, share_interval
from pipeline.core.labels import BACKGROUND, LEFT_LUNG, RIGHT_LUNG, LabelMap
from pipeline.scans.simpleitk import sitk

NO_INTERVAL = "there are no held-out cases of this model's run with a known severity to tell it from"
INTERVAL = (
    "from how far the infected share was off in {cases} held-out cases of this model's run; a new case like these lies "
    "within with a probability of at least {percent:.0f} %"
)

# JSON: percents and ml as floats, None where undefined
Found = dict[str, Any]


def found_in(
    label: sitk.Image, scan: sitk.Image, label_map: LabelMap, errors: ShareErrors, name: str
) -> tuple[Found, list[Flag]]:
    """Severity and volumes of a label map in the label map's class numbers, and its flags.

    `scan` is on the same grid; `errors` are those of held-out cases, and `name` is said where something is wrong. There
    are no flags, and no lung of its own has a share, where the label map does not tell left lung, right lung and
    infection apart.
    """
    voxels = sitk.GetArrayViewFromImage(label)
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
        return {**found, **_graded(shares, errors)}, case_flags(label, scan, name=name, lungs=sides)
    lungs = belongs(voxels, _lung_numbers(label_map))
    if not np.array_equal(lungs, infection) and lungs.any():
        whole = volume_ml(lungs, spacing_mm)
        found["lungs_ml"] = round(whole, 3)
        share = volume_ml(infection, spacing_mm) / whole
        return {**found, **_graded(Severity(math.nan, math.nan, share), errors)}, []
    return {**found, **_undefined("the model does not look for the lungs")}, []


def _lung_numbers(label_map: LabelMap) -> Sequence[int]:
    """Numbers of the classes that are lung, infected or not."""
    return [number for number, codes in enumerate(label_map.classes.values()) if BACKGROUND not in codes]


def _graded(shares: Severity, errors: ShareErrors) -> Found:
    found = {f"{name}_percent": _percent(getattr(shares, name)) for name in ("left", "right", "lungs")}
    around = share_interval(shares.lungs, errors.lungs)
    sides = [share for share in (shares.left, shares.right) if not math.isnan(share)]
    worse = share_interval(max(sides, default=math.nan), errors.worse)
    return {
        **found,
        "lungs_percent_interval": around and [_percent(around.low), _percent(around.high)],
        "grade": None if shares.grade is None else GRADES[shares.grade],
        "grade_interval": worse and [GRADES[grade(worse.low)], GRADES[grade(worse.high)]],
        "interval": INTERVAL.format(cases=around.cases, percent=100 * around.coverage) if around else NO_INTERVAL,
    }


def _undefined(why: str) -> Found:
    nothing = dict.fromkeys(
        ("left_percent", "right_percent", "lungs_percent", "lungs_percent_interval", "grade", "grade_interval")
    )
    return {**nothing, "interval": why}


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
