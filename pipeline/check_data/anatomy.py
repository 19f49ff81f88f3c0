"""Whether what is labelled can be a chest: sides, size, place, and how much of the lungs is in the picture."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
from scipy import ndimage

from evaluation.measures.plausibility import infection_outside
from pipeline.check_data.finding import ERROR, NOTE, WARNING, Finding
from pipeline.check_data.intensity import PADDING_HU
from pipeline.check_data.overview import Overview, body_width_mm
from pipeline.core.labels import LABEL_NAMES, LEFT_LUNG, RIGHT_LUNG, infected
from pipeline.scans.simpleitk import sitk

# For adults, see evaluation.measures.flags.LUNG_VOLUME; and what no human has
LUNGS_ML, MOST_LUNGS_ML = (1000.0, 10000.0), 15000.0
# From apex to base. A trained man of 2 m has about 35 cm; 12 cm are those of a small child
LUNG_HEIGHT_MM, MOST_LUNG_HEIGHT_MM = (120.0, 400.0), 500.0
BODY_WIDTH_MM = (180.0, 600.0)
# Of the lungs' width: nearer to each other are the centres of lungs that do not lie side by side
APART = 0.25
OUTSIDE_SHARE, MOST_OUTSIDE_SHARE = 0.01, 0.5
CUT_CM2 = 1.0
# Of the labelled, uninfected lung: so much is air where a label lies on its scan, seen through vessels and borders
AIR_SHARE = 0.5
# So much more of it would be air if the label were turned over
FITS_BETTER = 0.1
AXES = ("left to right", "front to back", "top to bottom")


def check_sides(view: Overview, turned: str, case: str, path: Path) -> list[Finding]:
    """Left and right by the lungs' centres of mass in the patient's coordinates; lungmask codes 1 right, 2 left.

    `turned` is what `turned_over` says: a label that is mirrored needs turning, not other codes.
    """
    left, right = (_places_mm(view, code) for code in (LEFT_LUNG, RIGHT_LUNG))
    if not (len(left) and len(right)):
        return []
    apart_mm = left.mean(0) - right.mean(0)
    width_mm = float(np.ptp(np.concatenate([left, right])[:, :2], axis=0).max())
    axis = int(np.abs(apart_mm).argmax())
    if np.abs(apart_mm[axis]) < APART * width_mm:
        what = (
            f"the centres of the left and the right lung are only {np.abs(apart_mm[axis]):.0f} mm apart, of lungs "
            f"{width_mm:.0f} mm wide"
        )
        return [Finding(WARNING, case, "sides_doubtful", path, what, "look whether the lungs are told apart rightly")]
    if axis != 0:
        what = f"the left and the right lung lie apart from {AXES[axis]}, not from left to right"
        mend = "correct the directions in the header of the scan and its label"
        return [Finding(ERROR, case, "orientation", path, what, mend)]
    if apart_mm[0] > 0:
        return []
    what = (
        f"left and right are swapped: code {LEFT_LUNG} ({LABEL_NAMES[LEFT_LUNG]} here) lies {-apart_mm[0]:.0f} mm to "
        f"the patient's right of code {RIGHT_LUNG}, as lungmask codes them (1 right, 2 left)"
    )
    mend = "swap codes 1 and 2, or, if the scan itself is mirrored, correct its directions"
    repair = "" if turned else "codes 1 and 2 swapped"
    return [Finding(ERROR, case, "sides", path, what, mend, repair)]


def _places_mm(view: Overview, code: int) -> np.ndarray:
    """Of each block of a code, (N, 3), to the patient's left, back and head."""
    return np.argwhere(view.codes == code) * np.array(view.spacing_mm)


def turned_over(view: Overview) -> str:
    """The axis along which the label lies the wrong way round on the scan, such as `front to back`; "" for none."""
    if view.codes is None:
        return ""
    lung = (view.codes == LEFT_LUNG) | (view.codes == RIGHT_LUNG)
    if not lung.any():
        return ""
    dark = view.values < view.threshold
    shares = [float(dark[np.flip(lung, axis)].mean()) for axis in range(3)]
    best = int(np.argmax(shares))
    return AXES[best] if shares[best] > float(dark[lung].mean()) + FITS_BETTER else ""


def check_on_scan(view: Overview, turned: str, case: str, path: Path) -> list[Finding]:
    """Whether the labelled lung is air in the scan."""
    if view.codes is None:
        return []
    lung = (view.codes == LEFT_LUNG) | (view.codes == RIGHT_LUNG)
    if not lung.any():
        return []
    share = float((view.values[lung] < view.threshold).mean())
    if turned:
        what = (
            f"{100 * share:.0f} % of the labelled lung is air in the scan, and more would be if the label were "
            f"mirrored from {turned}"
        )
        return [Finding(WARNING, case, "mirrored", path, what, "look whether the label lies on the scan the right way")]
    if share < AIR_SHARE:
        what = f"only {100 * share:.0f} % of the labelled lung is air in the scan"
        return [Finding(WARNING, case, "off_lung", path, what, "look whether it is the label of another scan")]
    return []


def check_infection(view: Overview, case: str, path: Path) -> list[Finding]:
    """Infection that hangs together with no lung, on the overview's grid."""
    lungs = set() if view.codes is None else {LEFT_LUNG, RIGHT_LUNG} & set(np.unique(view.codes).tolist())
    if view.codes is None or not lungs:
        return []
    share = infection_outside(view.codes)
    if not share > OUTSIDE_SHARE:
        return []
    outside_ml = share * np.count_nonzero(infected(view.codes)) * prod(view.spacing_mm) / 1000
    what = f"{100 * share:.0f} % of the infection ({outside_ml:.0f} ml) does not touch the lungs"
    # Beside one labelled lung the other one may be infected throughout
    level = ERROR if lungs == {LEFT_LUNG, RIGHT_LUNG} and share > MOST_OUTSIDE_SHARE else WARNING
    return [Finding(level, case, "infection_outside", path, what, "correct the annotation")]


def check_size(view: Overview, volume_ml: float, cut: bool, case: str, path: Path) -> list[Finding]:
    """Whether lungs and body can be so large or small; `cut` where not all of the lungs is in the picture.

    The lungs are those of the label, else enclosed air; nothing is said of too small ones that are cut.
    """
    found = []
    lungs = view.codes > 0 if view.codes is not None and (view.codes > 0).any() else view.air
    if lungs is not None and volume_ml:
        height_mm = (np.ptp(np.flatnonzero(lungs.any((0, 1)))) + 1) * view.spacing_mm[2]
        found += [
            *_beyond(volume_ml, LUNGS_ML, MOST_LUNGS_ML, "ml in volume", cut, case, path),
            *_beyond(height_mm, LUNG_HEIGHT_MM, MOST_LUNG_HEIGHT_MM, "mm in height", cut, case, path),
        ]
    width_mm, (low, high) = body_width_mm(view), BODY_WIDTH_MM
    # A field of view within the body is no narrow body
    whole = width_mm < 0.95 * view.values.shape[0] * view.spacing_mm[0]
    if width_mm > high or (whole and 0 < width_mm < low):
        what = f"the body is {width_mm:.0f} mm wide (expected {low:g} to {high:g} mm in an adult)"
        found.append(
            Finding(WARNING, case, "spacing", path, what, "look whether the voxels' size in the header is right")
        )
    return found


def _beyond(
    value: float, limits: tuple[float, float], most: float, what: str, cut: bool, case: str, path: Path
) -> list[Finding]:
    low, high = limits
    if low <= value <= high or (cut and value < low):
        return []
    level = ERROR if value > most else WARNING
    told = f"the lungs are {value:.0f} {what} (expected {low:g} to {high:g} in an adult)"
    mend = "look whether the voxels' size in the header is right"
    if value < low:
        mend += ", and all of the lungs labelled"
    return [Finding(level, case, "spacing", path, told, mend)]


def faces_cm2(label: sitk.Image) -> tuple[float, float]:
    """How much of the labelled lungs and infection lies on the scan's border: at the sides, at top and bottom."""
    codes, spacing = sitk.GetArrayViewFromImage(label), label.GetSpacing()[::-1]
    axes = np.abs(np.reshape(label.GetDirection(), (3, 3)))
    # The array's axis that runs along the patient
    along = 2 - int(axes[2].argmax())
    sides = ends = 0.0
    for axis in range(3):
        area_cm2 = prod(mm for other, mm in enumerate(spacing) if other != axis) / 100
        voxels = sum(
            np.count_nonzero(np.take(codes, end, axis)) for end in ((0, -1) if codes.shape[axis] > 1 else (0,))
        )
        if axis == along:
            ends += voxels * area_cm2
        else:
            sides += voxels * area_cm2
    return sides, ends


def check_field_of_view(label: sitk.Image, view: Overview, case: str, path: Path) -> tuple[bool, list[Finding]]:
    """Whether the lungs go on beyond the picture, and what is said of it."""
    sides, ends = faces_cm2(label)
    round_view = 0.0
    if view.codes is not None:
        padding = ndimage.binary_dilation(view.values < PADDING_HU)
        round_view = np.count_nonzero(padding & (view.codes > 0)) * view.spacing_mm[1] * view.spacing_mm[2] / 100
    found = []
    if sides + round_view > CUT_CM2:
        what = (
            f"the field of view cuts the lungs: {sides + round_view:.0f} cm2 of them lie on its side; volumes, "
            "severity and CT grade of this case are not those of whole lungs"
        )
        found.append(Finding(WARNING, case, "field_of_view", path, what, "take a reconstruction with all of the lungs"))
    # Of a single slice nobody expects whole lungs, and `geometry.check_slices` tells of it
    if ends > CUT_CM2 and view.values.shape[2] > 1:
        what = (
            f"the lungs go on above or below the scan: {ends:.0f} cm2 of them lie in its first or last slice; volumes, "
            "severity and CT grade of this case are not those of whole lungs"
        )
        found.append(Finding(NOTE, case, "field_of_view", path, what))
    return bool(found) or ends > CUT_CM2, found


def check_scan_alone(view: Overview, case: str, path: Path) -> list[Finding]:
    """What a scan without a label tells: whether lungs are found in it, and are whole."""
    if view.air is None:
        what = (
            f"no lungs were found by their air ({view.why_no_air}): the field of view may cut them, or it is no chest"
        )
        return [Finding(NOTE, case, "field_of_view", path, what)]
    ends = (view.air[:, :, 0].sum() + view.air[:, :, -1].sum()) * view.spacing_mm[0] * view.spacing_mm[1] / 100
    volume_ml = float(view.air.sum()) * prod(view.spacing_mm) / 1000
    found = check_size(view, volume_ml, bool(ends > CUT_CM2), case, path)
    if ends > CUT_CM2:
        what = f"the lungs seem to go on above or below the scan: {ends:.0f} cm2 of air in its first or last slice"
        found.append(Finding(NOTE, case, "field_of_view", path, what))
    return found
