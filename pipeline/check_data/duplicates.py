"""The same scan, or the same patient, under two names: folds would test a model on what it was trained on.

Scans are compared by what is about the lungs: the box around the enclosed air, whatever its voxels' size, on a grid of
32 x 32 x 32, less its own blurred copy, so that every chest's common shape does not count. A correlation of at least
SAME_PATIENT there is taken for one patient, one of at least MAYBE_SAME is told as a doubt. Measured: two patients have
at most 0.54 among ten real chest CTs of nine patients, at most 0.78 among twelve phantoms; the one real scan that is
there twice, in other units, 1.00. A scan resampled, at another slice distance, windowed, with more noise or turned by
three degrees keeps 0.86 and more (0.68 where CLAHE had been applied before); one of which a tenth of the lungs was cut
off may be missed, and one without two whole lungs is not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from pipeline.check_data.finding import ERROR, NOTE, WARNING, Finding
from pipeline.check_data.overview import Overview

GRID = 32
BLUR = 2.0
SAME_PATIENT, MAYBE_SAME = 0.9, 0.85
# Slices of lung that have less of it than this share of the fullest slice are windpipe or tips, which come and go
LUNG_SHARE = 0.1
# A smaller box is no pair of lungs, and what few slices show is alike in everybody
SMALLEST_BOX_MM = 80.0


class Look(NamedTuple):
    """What a case is known by.

    Args:
        image: its file.
        hash: of its voxels, see `Overview.hash`.
        lungs: (GRID, GRID, GRID) of mean 0 and length 1; None where there are no whole lungs to compare.
    """

    case: str
    patient_id: str
    image: Path
    hash: str
    lungs: np.ndarray | None


def lungs_look(view: Overview) -> np.ndarray | None:
    """The lungs with what is between them on a common grid, in units of the step from air to tissue."""
    if view.air is None:
        return None
    box = []
    for axis, spacing_mm in enumerate(view.spacing_mm):
        filled = view.air.sum(tuple(other for other in range(3) if other != axis))
        places = np.flatnonzero(filled >= LUNG_SHARE * filled.max())
        box.append(slice(int(places[0]), int(places[-1]) + 1))
        if (box[-1].stop - box[-1].start) * spacing_mm < SMALLEST_BOX_MM:
            return None
    values = view.values[tuple(box)]
    dark, light = np.median(values[values < view.threshold]), np.median(values[values >= view.threshold])
    # Windows cut off what is darker than lung and lighter than tissue: so is it here, whatever the window
    unit = np.clip((values - dark) / ((light - dark) or 1), 0, 1)
    smooth = ndimage.gaussian_filter(unit, [max(0.0, length / GRID - 1) * 0.5 for length in unit.shape])
    common = ndimage.zoom(smooth, [GRID / length for length in unit.shape], order=1, grid_mode=True, mode="nearest")
    own = common - ndimage.gaussian_filter(common, BLUR)
    own -= own.mean()
    return own / (float(np.linalg.norm(own)) or 1)


def check_duplicates(looks: Sequence[Look]) -> list[Finding]:
    """Each case that is the same scan as an earlier one or shows its patient, and whether they are named apart."""
    found = []
    alike = _correlations(looks)
    first_of: dict[str, Look] = {}
    for place, look in enumerate(looks):
        if look.hash in first_of:
            found.append(_same_voxels(first_of[look.hash], look))
            continue
        first_of[look.hash] = look
        before = alike[place, :place]
        if before.size and before.max() >= MAYBE_SAME:
            found.append(_same_patient(looks[int(before.argmax())], look, float(before.max())))
    return found


def _correlations(looks: Sequence[Look]) -> np.ndarray:
    rows = np.zeros((len(looks), GRID**3), np.float32)
    for place, look in enumerate(looks):
        if look.lungs is not None:
            rows[place] = look.lungs.ravel()
    return rows @ rows.T


def _same_voxels(one: Look, other: Look) -> Finding:
    what = f"holds the same voxels as case {one.case}"
    if one.patient_id == other.patient_id:
        what += ", of the same patient: it counts twice in training and in every mean"
        return Finding(WARNING, other.case, "duplicate", other.image, what, "remove one of them")
    what += f", and they are named as two patients ({one.patient_id}, {other.patient_id})"
    return Finding(
        ERROR, other.case, "duplicate", other.image, what, "remove one of them; REPAIR never leaves out a case"
    )


def _same_patient(one: Look, other: Look, alike: float) -> Finding:
    what = (
        f"shows the same lungs as case {one.case} (correlation {alike:.2f}, two patients have less than {MAYBE_SAME})"
    )
    if one.patient_id == other.patient_id:
        return Finding(NOTE, other.case, "same_patient", other.image, f"{what}; both are named as one patient")
    what += f", and they are named as two patients ({one.patient_id}, {other.patient_id})"
    mend = 'give both one "patient" in manifest.json, so that no fold has them on both sides, or remove one'
    level = ERROR if alike >= SAME_PATIENT else WARNING
    return Finding(level, other.case, "same_patient", other.image, what, mend)
