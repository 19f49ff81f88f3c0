"""Signs that a segmentation failed, without a reference: each a number, its limits, and a sentence for a clinician.

    pneumobundle flags LABELS.nii.gz [OTHER_LABELS.nii.gz ...] [--scan SCAN.nii.gz]

A raised flag means: look before you use this. None raised does not mean that the segmentation is right. How well each
flag tells failed cases from others is not known until it is measured: `evaluation.statistics.flag_worth`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.measures.cases import read_labels
from evaluation.measures.metrics import volume_ml
from evaluation.measures.plausibility import agreement, infection_outside, largest_part, left_share, typical_lung
from evaluation.measures.whole_lungs import whole_lungs
from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_CODES, LEFT_LUNG, RIGHT_LUNG, infected
from pipeline.core.text_table import aligned, listed
from pipeline.scans.bounding_box import bounding_box
from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.intensity import GREY_255, intensity_domain
from pipeline.scans.scan import case_name, read_scan
from pipeline.scans.simpleitk import sitk

# A case whose Dice is below has failed; where models agree less than that with one another, most of them have
FAILED_BELOW = 0.6
GREY_ASSUMED = " It is stored as 0..255 grey, and the window {low:g} to {high:g} HU was assumed."


@dataclass(frozen=True)
class Limits:
    """What a flag's value is held against, and what is said then.

    Args:
        name: of the flag.
        unit: of the value.
        low, high: the flag is raised below `low` and above `high`; infinite where there is no such limit.
        reason: why these numbers.
        within, below, above: the sentence for each outcome; `{value}`, `{percent}` and `{rest_percent}` are put in.
        undefined: the sentence where there is no value.
        form: how the value is written in a table.
    """

    name: str
    unit: str
    low: float
    high: float
    reason: str
    within: str
    undefined: str
    below: str = ""
    above: str = ""
    form: str = ".3f"


LUNG_VOLUME = Limits(
    name="lung_volume",
    unit="ml",
    low=1000,
    high=10000,
    reason="for adults: what GLI 2021 (Hall et al., Eur Respir J 57, 2000289) predicts for the residual volume of a "
    "woman of 1.50 m, about 0.85 l of air, and for the total capacity of a man of 2.00 m, about 8.8 l, each with some "
    "of the lung's own tissue",
    within="The lungs hold {value:.0f} ml together, plausible for an adult.",
    below="The lungs hold {value:.0f} ml together, less than an adult's after breathing out: part of them is probably "
    "missing, or the scan does not show all of them.",
    above="The lungs hold {value:.0f} ml together, more than an adult's can: other air was probably taken for lung, or "
    "the file's distance between slices is wrong.",
    undefined="The volume of the lungs is not known.",
    form=".0f",
)
LEFT_SHARE = Limits(
    name="left_share",
    unit="share of both lungs",
    low=0.37,
    high=0.56,
    reason="0.464 +- 0.015 in 32 healthy adults lying in a CT (Yamada et al. 2020, Respiration 99: 598, table 3); "
    "beyond the limits the left or the right lung has lost a third",
    within="The left lung is {percent:.0f} % of both, as usual.",
    below="The left lung is only {percent:.0f} % of both: part of it is probably missing or counted to the right, "
    "unless it really is small (collapse, effusion, resection).",
    above="The left lung is {percent:.0f} % of both: part of the right one is probably missing or counted to the left, "
    "unless it really is small (collapse, effusion, resection).",
    undefined="There is no lung in the segmentation, so its sides cannot be compared.",
)
INFECTION_OUTSIDE = Limits(
    name="infection_outside",
    unit="share of the infection",
    low=-math.inf,
    high=0.01,
    reason="at most 0.0004 in the reference labels of five real COVID-19 CTs (MedSeg)",
    within="The infection lies in or at the lungs; {percent:.1f} % of it does not touch them.",
    above="{percent:.1f} % of the infection does not touch the lungs: something else was probably taken for it, or the "
    "lung around it is missing.",
    undefined="No infection was found, so none lies outside the lungs.",
    form=".4f",
)
FRAGMENTS = Limits(
    name="largest_part",
    unit="share of a lung",
    low=0.98,
    high=math.inf,
    reason="at least 0.999 in the reference labels of five real COVID-19 CTs (MedSeg); lungs only, since an infection "
    "may well have many foci",
    within="Each lung is one piece, but for {rest_percent:.1f} % or less.",
    below="{rest_percent:.1f} % of a lung is apart from its largest piece: something else was probably taken for lung "
    "or infection, or the lung between the pieces is missing.",
    undefined="There is no lung in the segmentation, so it has no pieces.",
    form=".4f",
)
AGREEMENT = Limits(
    name="agreement",
    unit="mean pairwise Dice, infection",
    low=FAILED_BELOW,
    high=math.inf,
    reason=f"a case counts as failed below Dice {FAILED_BELOW}; that models which disagree are often wrong: Zenk et "
    "al. 2024, arXiv 2406.03323, where pairwise Dice was a simple and robust sign",
    within="The models agree on the infection (Dice {value:.2f} between them).",
    below="The models disagree on the infection (Dice {value:.2f} between them): most of them are probably wrong.",
    undefined="No two segmentations have an infection to agree on.",
)
INTENSITY = Limits(
    name="typical_lung",
    unit="HU",
    low=-950,
    high=-500,
    reason="the median of the uninfected lung; above -500 HU lung is poorly aerated (Gattinoni et al. 2001, Am J "
    "Respir Crit Care Med 164: 1701), and below -950 HU is emphysema, which takes 41 % of the lung on average in the "
    "severest stage of COPD (Front Med 2023, 1184784)",
    within="The uninfected lung has {value:.0f} HU in the middle, as lung has.",
    below="The uninfected lung has {value:.0f} HU in the middle, too dark for any but the severest emphysema: the scan "
    "is probably not in the units that it is taken for.",
    above="The uninfected lung has {value:.0f} HU in the middle, too bright for lung: the scan is probably not in the "
    "units that it is taken for, or the outline is not that of the lung.",
    undefined="There is no uninfected lung in the segmentation to tell the scan's units by.",
    form=".0f",
)
# Of a label map, other label maps and the scan; then what only the model itself can tell
OF_LABELS = (LUNG_VOLUME, LEFT_SHARE, INFECTION_OUTSIDE, FRAGMENTS, AGREEMENT, INTENSITY)
UNLIKE_TRAINING = Limits(
    name="unlike_training",
    unit="of the limit",
    low=-math.inf,
    high=1,
    reason="how far the scan is from the training scans in the network's deepest layer, or in the grey levels where it "
    "found something, in units of what held-out patients of the model's run reach that it segmented well",
    within="The network sees this scan much as those that it was trained on ({value:.2f} of the limit).",
    above="To the network this scan is unlike those that it was trained on ({value:.1f} times the limit that held-out "
    "patients set): it may be wrong where it looks right; look at every slice.",
    undefined="How far this scan is from those of the training is not known.",
    form=".2f",
)
EVERY = (*OF_LABELS, UNLIKE_TRAINING)


@dataclass(frozen=True)
class Flag:
    """One sign of one case.

    Args:
        limits: what was looked at.
        value: what was found, None where undefined.
        suspicion: how far the value is beyond the nearer limit, negative within them, which puts cases in order; None
            where undefined, infinite where there is no value because the input makes no sense.
        sentence: for a clinician.
    """

    limits: Limits
    value: float | None
    suspicion: float | None
    sentence: str

    @property
    def raised(self) -> bool:
        return self.suspicion is not None and self.suspicion > 0


def judged(limits: Limits, value: float) -> Flag:
    """The flag of a value; nan is undefined, and raises nothing."""
    if math.isnan(value):
        return Flag(limits, None, None, limits.undefined)
    suspicion = max(limits.low - value, value - limits.high)
    said = limits.within if suspicion <= 0 else limits.below if value < limits.low else limits.above
    return Flag(limits, value, suspicion, said.format(value=value, percent=100 * value, rest_percent=100 * (1 - value)))


def case_flags(
    labels: sitk.Image,
    scan: sitk.Image | None = None,
    others: Sequence[sitk.Image] = (),
    name: str = "scan",
    lungs: np.ndarray | None = None,
) -> list[Flag]:
    """The flags of a predicted label map, in the order of OF_LABELS; the last two need other predictions and the scan.

    `labels` and `others` hold the project's codes; `others` are of the same scan by other models: of other folds, of an
    ensemble, of other networks. `lungs` are the whole lungs of `labels`, where known, as
    `evaluation.measures.whole_lungs` gives them. Raises InputError naming `name` where the grids differ.
    """
    for what, image in (("scan", scan), *(("other label map", other) for other in others)):
        if image is not None and (differences := Geometry.of(labels).differences(Geometry.of(image))):
            raise InputError(
                f"{name}: the {what} lies on another grid: {'; '.join(differences)}; give those of one scan."
            )
    flags = anatomy_flags(sitk.GetArrayViewFromImage(labels), labels.GetSpacing()[::-1], lungs)
    if others:
        masks = [infected(sitk.GetArrayViewFromImage(image)) for image in (labels, *others)]
        flags.append(judged(AGREEMENT, agreement(masks)))
    if scan is not None:
        flags.append(intensity_flag(scan, labels, name))
    return flags


def anatomy_flags(labels: np.ndarray, spacing_mm: Sequence[float], lungs: np.ndarray | None = None) -> list[Flag]:
    """The four that a label map alone gives; the spacing is in the order of the axes, `lungs` as for `case_flags`."""
    box = bounding_box(labels > 0)
    # Half of a chest CT lies around the lungs and need not be searched for parts
    inside = labels if box is None else labels[box]
    sides = whole_lungs(labels, spacing_mm) if lungs is None else lungs
    sides = sides if box is None else sides[box]
    left, right = sides == LEFT_LUNG, sides == RIGHT_LUNG
    return [
        judged(LUNG_VOLUME, volume_ml(inside > 0, spacing_mm)),
        judged(LEFT_SHARE, left_share(left, right)),
        judged(INFECTION_OUTSIDE, infection_outside(inside)),
        # The worse of both; fmin passes over a lung that is not there, which left_share tells of
        judged(FRAGMENTS, float(np.fmin(largest_part(left), largest_part(right)))),
    ]


def intensity_flag(
    scan: sitk.Image, labels: sitk.Image, name: str, window_hu: tuple[float, float] = Front.window_hu
) -> Flag:
    """Whether the predicted lung has the intensity of lung; grey 0..255 is read through the window.

    Raised without a value where `pipeline.scans.intensity.intensity_domain` cannot tell what the numbers are.
    """
    try:
        domain = intensity_domain(scan, name)
    except InputError as error:
        return Flag(INTENSITY, None, math.inf, f"The scan cannot be trusted: {error}")
    value = typical_lung(sitk.GetArrayViewFromImage(scan), sitk.GetArrayViewFromImage(labels))
    if domain != GREY_255:
        return judged(INTENSITY, value)
    low, high = window_hu
    found = judged(INTENSITY, low + value * (high - low) / 255)
    return Flag(INTENSITY, found.value, found.suspicion, found.sentence + GREY_ASSUMED.format(low=low, high=high))


def flag_table(flags: Sequence[Flag]) -> str:
    """A line a flag, then its sentence, with the reason for the limits where it is raised."""
    lines = [["flag", "value", "limits", "raised"]]
    for flag in flags:
        value = "-" if flag.value is None else format(flag.value, flag.limits.form)
        lines.append(
            [flag.limits.name, f"{value} {flag.limits.unit}", bounds(flag.limits), "YES" if flag.raised else "-"]
        )
    said = [
        f"{flag.limits.name}: {flag.sentence}" + (f" Limits: {flag.limits.reason}." if flag.raised else "")
        for flag in flags
    ]
    return "\n".join((aligned(lines), *listed(said)))


def bounds(limits: Limits) -> str:
    """The limits in words, such as `0.37 to 0.56` or `at least 0.98`."""
    if math.isinf(limits.low):
        return f"at most {limits.high:g}"
    return f"at least {limits.low:g}" if math.isinf(limits.high) else f"{limits.low:g} to {limits.high:g}"


def flags_of_files(labels: Path, scan: Path | None = None, others: Sequence[Path] = ()) -> str:
    """The table of the flags of a label file, of its scan and of labels by other models where they are given."""
    name = case_name(labels)
    own, *rest = [read_labels(path, name, LABEL_CODES) for path in (labels, *others)]
    return flag_table(case_flags(own, read_scan(scan) if scan else None, rest, name))
