"""What a scan's numbers mean: Hounsfield units, grey, or what cannot be trained on; padding and windows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from pipeline.check_data.finding import ERROR, NOTE, WARNING, Finding, of_error
from pipeline.core.errors import InputError
from pipeline.scans.intensity import GREY_255, intensity_domain
from pipeline.scans.simpleitk import sitk

# Lower than any tissue, and than the lower end of any usual window: outside of the scanner's field of view
PADDING_HU = -1500
AIR_HU, OFFSET = -1024, 1024
# The largest number of metal on an extended scale; wrapped negative ones are larger
MOST_STORED = 32767
# Air and lung are a good part of every chest CT: its darkest twentieth has to be as dark as air or lung is
DARK_PERCENTILE, DARKEST_HU, DARK_HU = 5, -1200, -500
BRIGHTER_THAN_ANY_LUNG_HU = -300
# A window has cut off what a voxel in a hundred would hold; bone and metal reach further than this
CUT_SHARE, UNCUT_HU = 0.01, 1000
# The densest voxels of a chest, in its bones, are denser
BONE_HU = 300
# A scanner's air, with what a window or a rescaling leaves of it: what is constant elsewhere is padding, or was cut off
USUAL_AIR_HU = (-1100, -800)
# Muscle, blood and fat, one of which is what most of a body is
TISSUE_HU, TISSUE_BIN_HU, BODY_HU = (-200, 200), 20, (-500, 1500)
# Of the voxels; of less body nothing is told
LEAST_BODY = 0.1
# Codes of label maps are no larger, and grey is
MOST_CODES = 16
# Of 255: bone is white in every lung window, and air is never
WHITE, LEAST_WHITE, CORNER = 250, 200, 4
# Percentiles and shares of so many voxels are as good as those of all
SAMPLE = 1_000_000


def check_intensity(image: sitk.Image, case: str, path: Path) -> tuple[str | None, list[Finding]]:
    """The domain of a scan, as `pipeline.scans.intensity` tells it (None for none), and what is wrong."""
    voxels = sitk.GetArrayViewFromImage(image)
    if voxels.dtype.kind == "f" and (bad := voxels.size - int(np.count_nonzero(np.isfinite(voxels)))):
        what = f"holds {bad} NaN or infinite voxels of {voxels.size}; expected finite numbers"
        return None, [Finding(ERROR, case, "finite", path, what, "export the scan again")]
    if voxels.min() == voxels.max():
        what = f"every voxel is {float(voxels.min()):g}; expected a CT scan"
        return None, [Finding(ERROR, case, "constant", path, what, "export it again")]
    if found := _is_label(voxels, case, path):
        return None, [found]
    try:
        domain = intensity_domain(image, str(path))
    except InputError as error:
        found = _wrapped(voxels, case, path) or _with_offset(voxels, sample(voxels), case, path)
        return None, [found or of_error(error, case, "intensity", path)]
    if domain == GREY_255:
        return domain, _check_grey(voxels, case, path)
    return domain, _check_hounsfield(voxels, case, path)


def _check_grey(voxels: np.ndarray, case: str, path: Path) -> list[Finding]:
    if voxels.dtype.kind == "f" and float(voxels.max()) <= 1:
        what = f"holds numbers from {float(voxels.min()):.3g} to {float(voxels.max()):.3g}: it was normalised"
        return [Finding(ERROR, case, "intensity", path, what, "export it in Hounsfield units, or as grey 0 to 255")]
    if float(voxels.max()) < LEAST_WHITE:
        what = (
            f"holds numbers up to {float(voxels.max()):g}, neither Hounsfield units nor grey, which has white near 255"
        )
        return [Finding(ERROR, case, "intensity", path, what, "export it in Hounsfield units, or as grey 0 to 255")]
    what = (
        f"is stored as grey {float(voxels.min()):g} to {float(voxels.max()):g}, not in Hounsfield units: a lung window "
        "is assumed, and nothing denser or lighter than that window can be told apart"
    )
    note = Finding(NOTE, case, "grey", path, what)
    if len(voxels) == 1:
        # Pictures of lungs alone, cut out of a slice, have tissue in their corners
        return [note]
    edge = min(CORNER, *(-(-length // 2) for length in voxels.shape[1:]))
    corners = np.concatenate([voxels[:, rows, columns].ravel() for rows, columns in _corners(edge)])
    if np.median(corners) < WHITE:
        return [note]
    what = "is white in the corners of its slices, where air would be black: its grey may be inverted"
    return [note, Finding(WARNING, case, "inverted", path, what, "look at it, and invert it if lungs are bright")]


def _corners(edge: int) -> list[tuple[slice, slice]]:
    ends = (slice(None, edge), slice(-edge, None))
    return [(rows, columns) for rows in ends for columns in ends]


def _is_label(voxels: np.ndarray, case: str, path: Path) -> Finding | None:
    """So few numbers are a label map's or a mask's; None where there are more."""
    some = sample(voxels)
    # Masks are stored in the two ends of grey too
    ends = (float(some.min()), float(some.max()))
    if ends != (0, 255) and (ends[0] < 0 or ends[1] > MOST_CODES):
        return None
    codes = np.unique(some)
    if ends[1] > MOST_CODES and codes.size > 2:
        return None
    if any(float(code) != int(code) for code in codes[:MOST_CODES]):
        return None
    what = f"holds the numbers {', '.join(f'{code:g}' for code in codes)} alone: a label map or a mask, no scan"
    return Finding(ERROR, case, "intensity", path, what, "give the scan that it belongs to")


def _check_hounsfield(voxels: np.ndarray, case: str, path: Path) -> list[Finding]:
    some = sample(voxels)
    lowest, highest = float(voxels.min()), float(voxels.max())
    inside = some[some >= PADDING_HU]
    found = []
    if lowest < PADDING_HU:
        share = 1 - inside.size / some.size
        what = f"has padding of {lowest:g} outside the field of view ({100 * share:.3g} % of the voxels)"
        found.append(Finding(NOTE, case, "padding", path, what, "nothing, it is clipped", f"{AIR_HU} in its place"))
    inside = _without_plateau(inside)
    dark = float(np.percentile(inside, DARK_PERCENTILE)) if inside.size else math.inf
    if dark > BRIGHTER_THAN_ANY_LUNG_HU:
        return [*found, _with_offset(voxels, inside, case, path) or _not_hounsfield(dark, lowest, highest, case, path)]
    least = float(np.mean(some == lowest))
    if lowest > USUAL_AIR_HU[1] and least >= CUT_SHARE:
        what = (
            f"has nothing less dense than {lowest:g} HU ({100 * least:.3g} % of the voxels are that): a window was "
            "applied, and lung and air cannot be told apart"
        )
        return [*found, Finding(ERROR, case, "intensity", path, what, "export the scan without a window")]
    cut = float(np.mean(some == highest))
    if highest < BONE_HU or (highest <= UNCUT_HU and cut >= CUT_SHARE):
        what = (
            f"has nothing denser than {highest:g} HU ({100 * cut:.3g} % of the voxels are that): a window was applied, "
            "and nothing denser can be told apart"
        )
        found.append(Finding(WARNING, case, "window", path, what, "export the scan without a window if you can"))
    return [*found, *_check_tissue(inside, case, path)]


def _without_plateau(voxels: np.ndarray) -> np.ndarray:
    """Without the lowest number where a good part has it and it is no air: padding, or what a window cut off."""
    if not voxels.size or USUAL_AIR_HU[0] <= voxels.min() <= USUAL_AIR_HU[1]:
        return voxels
    above = voxels[voxels > voxels.min()]
    return above if voxels.size - above.size >= CUT_SHARE * voxels.size else voxels


def _check_tissue(voxels: np.ndarray, case: str, path: Path) -> list[Finding]:
    """Most of a body is muscle, blood and fat: numbers elsewhere were shifted or stretched."""
    body = voxels[(voxels > BODY_HU[0]) & (voxels < BODY_HU[1])]
    if body.size < LEAST_BODY * voxels.size:
        return []
    counts, edges = np.histogram(body, np.arange(BODY_HU[0], BODY_HU[1] + 1, TISSUE_BIN_HU))
    commonest = float(edges[int(counts.argmax())]) + TISSUE_BIN_HU / 2
    if TISSUE_HU[0] <= commonest <= TISSUE_HU[1]:
        return []
    what = (
        f"has most of its tissue near {commonest:g}, and muscle, blood and fat are between {TISSUE_HU[0]} and "
        f"{TISSUE_HU[1]} HU: its numbers were shifted or stretched"
    )
    return [Finding(WARNING, case, "tissue", path, what, "export the scan again in Hounsfield units")]


def _not_hounsfield(dark: float, lowest: float, highest: float, case: str, path: Path) -> Finding:
    what = (
        f"holds numbers from {lowest:.4g} to {highest:.4g} that are not Hounsfield units: {100 - DARK_PERCENTILE} % of "
        f"them are above {dark:.3g}, and air is near -1000, lung below {DARK_HU}"
    )
    return Finding(ERROR, case, "intensity", path, what, "export the scan in Hounsfield units, without a window")


def _wrapped(voxels: np.ndarray, case: str, path: Path) -> Finding | None:
    """Negative numbers that were stored as unsigned ones, so that air is near 64,500; None where that is not so."""
    if not MOST_STORED < float(voxels.max()) <= np.iinfo(np.uint16).max or voxels.min() < 0:
        return None
    dark = float(np.percentile(sample(voxels).astype(np.uint16).view(np.int16), DARK_PERCENTILE))
    if dark > DARK_HU:
        return None
    what = (
        f"holds unsigned numbers up to {float(voxels.max()):g}: negative Hounsfield units became large ones when they "
        "were stored without a sign"
    )
    return Finding(ERROR, case, "wrapped", path, what, "export the scan again as signed 16-bit numbers")


def _with_offset(voxels: np.ndarray, some: np.ndarray, case: str, path: Path) -> Finding | None:
    """The scanner's own numbers, which 1024 is to be subtracted from; None where that would not give a chest CT.

    `some` of the voxels are looked at.
    """
    inside = some[some >= PADDING_HU]
    if not inside.size or float(voxels.max()) < OFFSET:
        return None
    dark = float(np.percentile(inside, DARK_PERCENTILE)) - OFFSET
    if not DARKEST_HU <= dark <= DARK_HU or float(voxels.max()) > MOST_STORED:
        return None
    if _check_tissue(inside - OFFSET, case, path):
        return None
    what = (
        f"voxels range from {float(voxels.min()):g} to {float(voxels.max()):g}, which is neither Hounsfield units (air "
        f"near -1000) nor 0..255 grey: the scanner's offset of {OFFSET} is still in them"
    )
    mend = "subtract the scanner's offset (often 1024) and save it again"
    return Finding(ERROR, case, "offset", path, what, mend, f"{OFFSET} subtracted, {AIR_HU} for padding")


def sample(voxels: np.ndarray) -> np.ndarray:
    """About a million voxels, evenly; all where there are fewer."""
    flat = voxels.reshape(-1)
    # A prime, lest every sample be of one column
    step = max(flat.size // SAMPLE, 1)
    return flat[:: step if step == 1 else step | 1]
