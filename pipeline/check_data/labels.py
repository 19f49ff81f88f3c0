"""What a label map holds: known codes, something at all, both lungs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np

from pipeline.check_data.finding import ERROR, NOTE, WARNING, Finding
from pipeline.core.annotation import ANNOTATES, Annotation
from pipeline.core.labels import (
    BACKGROUND,
    CODE_OF,
    CODES,
    CONSOLIDATION,
    GROUND_GLASS,
    IGNORE,
    INFECTED,
    INFECTION,
    KINDS,
    LABEL_CODES,
    LABEL_NAMES,
    LEFT_LUNG,
    RIGHT_LUNG,
    STRUCTURES,
    UNSPECIFIED,
)
from pipeline.folders.layouts import Case, Listing
from pipeline.scans.simpleitk import sitk

EXPECTED_CODES = ", ".join(f"{code} {name}" for code, name in LABEL_NAMES.items())
# A part of the name that a folder must give a code, where it names its codes at all.
NAME_PARTS = {
    LEFT_LUNG: ("left",),
    RIGHT_LUNG: ("right",),
    INFECTION: ("infect", "lesion", "covid", "opaci", "ground", "ggo"),
    GROUND_GLASS: ("ground", "ggo", "opaci"),
    CONSOLIDATION: ("consol",),
}

# Description of a data set -> where it names its label codes
NAMED_IN = {"manifest.json": "label_codes", "dataset.json": "labels"}


def count_voxels(label: sitk.Image) -> dict[int, int]:
    """Voxels of each of the project's codes, and of IGNORE."""
    view = sitk.GetArrayViewFromImage(label)
    return {code: int(np.count_nonzero(view == code)) for code in (*LABEL_CODES, IGNORE)}


def check_codes(
    label: sitk.Image, voxels: Mapping[int, int], annotation: Annotation, case: str, path: Path
) -> list[Finding]:
    """Codes that a label cannot hold, and labels without any; then nothing else can be told of a label."""
    view = sitk.GetArrayViewFromImage(label)
    if sum(voxels.values()) != view.size:
        codes = [f"{code:.9g}" for code in np.unique(view)]
        found = ", ".join(codes[:8]) + (f" and {len(codes) - 8} more" if len(codes) > 8 else "")
        return [
            Finding(
                ERROR, case, "codes", path, f"holds the codes {found}; expected only {EXPECTED_CODES}", "relabel it"
            )
        ]
    if others := [
        f"{code} {LABEL_NAMES[code]}" for code in LABEL_CODES if voxels[code] and code not in annotation.codes
    ]:
        what = f"holds {', '.join(others)}, but annotates {', '.join(annotation.names or ())} alone"
        mend = "correct annotates in manifest.json, or relabel it"
        return [Finding(ERROR, case, "annotates", path, what, mend)]
    if voxels[BACKGROUND] + voxels[IGNORE] == view.size:
        return [
            Finding(ERROR, case, "empty", path, f"is empty; expected {EXPECTED_CODES}", "save the annotation again")
        ]
    return []


def check_structures(voxels: Mapping[int, int], annotation: Annotation, case: str, path: Path) -> list[Finding]:
    """Lungs that are not labelled, cases without infection and voxels that nobody knows, of what a label annotates."""
    left, right = voxels[LEFT_LUNG], voxels[RIGHT_LUNG]
    found = []
    if annotation.lungs and not left and not right:
        what = (
            "labels no lung: a network that finds lungs would learn that there is none, unless manifest.json says that "
            "it annotates infection alone"
        )
        found.append(Finding(NOTE, case, "lungs", path, what))
    elif annotation.lungs and annotation.sides and (not left or not right):
        here, missing = (RIGHT_LUNG, LEFT_LUNG) if right else (LEFT_LUNG, RIGHT_LUNG)
        what = f"labels the {LABEL_NAMES[here]} ({voxels[here]} voxels), but no {LABEL_NAMES[missing]}"
        mend = "correct it unless that lung is not there or infected throughout: it would be learnt as background"
        found.append(Finding(WARNING, case, "lungs", path, what, mend))
    if annotation.infection and not any(voxels[code] for code in INFECTED):
        what = "has no infection: scores of the infection are undefined for this case, but for its volume"
        found.append(Finding(NOTE, case, "no_infection", path, what))
    if voxels[IGNORE]:
        share = 100 * voxels[IGNORE] / sum(voxels.values())
        what = f"has {voxels[IGNORE]} voxels ({share:.2g} %) of code {IGNORE}: they are left out of training and scores"
        found.append(Finding(NOTE, case, "ignored", path, what))
    return found


def structure_volumes_ml(
    voxels: Mapping[int, int], spacing_mm: tuple[float, ...], annotation: Annotation
) -> dict[str, float]:
    """Volume of each structure that a label annotates, and of the kinds of infection where they are told."""
    voxel_ml = prod(spacing_mm) / 1000
    structures = {name: codes for name, codes in STRUCTURES.items() if annotation.tells(codes)}
    # Only where they are told: the entries of data sets that never told them stay as they are
    if voxels[GROUND_GLASS] or voxels[CONSOLIDATION]:
        structures |= {**KINDS, **({UNSPECIFIED: (INFECTION,)} if voxels[INFECTION] else {})}
    return {name: round(sum(voxels[code] for code in codes) * voxel_ml, 3) for name, codes in structures.items()}


def check_annotates(
    listing: Listing,
    volumes_ml: Mapping[str, Mapping[str, float]],
    folder: Path | None = None,
    beside_lungs: bool = False,
) -> list[Finding]:
    """Labels that all hold infection alone, or both lungs alone, where manifest.json does not say what they annotate.

    `volumes_ml` are those of the structures, by case; `folder` is where they lie, of several, None where it is the only
    one. `beside_lungs`, other folders' labels hold lungs: infection alone is then an error, since every chest has lungs
    and a training would be told both.
    """
    labelled = [case for case in listing.cases if case.label]
    if not volumes_ml or len(volumes_ml) < len(labelled) or any(case.annotates is not None for case in labelled):
        return []
    every = volumes_ml.values()
    held = {name for name in ("left_lung", "right_lung", "infection") if any(ml[name] for ml in every)}
    which = "the only label holds" if len(every) == 1 else f"all {len(every)} labels hold"
    if held == {"infection"}:
        beside = ", beside others that hold lungs" if beside_lungs else ""
        what = f"{which} infection alone{beside}, which teaches networks of lungs that lungs are background"
        said = ["infection"]
    elif held == {"left_lung", "right_lung"}:
        what = f"{which} lungs alone, which teaches networks of infection that these scans are free of it"
        said = ["left_lung", "right_lung"]
    else:
        return []
    manifest = f"{folder.name}/manifest.json" if folder else "manifest.json"
    mend = f"if that was not annotated, write {json.dumps({ANNOTATES: said})} into {manifest}; if all was, "
    mend += json.dumps({ANNOTATES: ["left_lung", "right_lung", "infection"]})
    level = ERROR if held == {"infection"} and beside_lungs else WARNING
    return [Finding(level, "", "annotates", folder, what, mend)]


def check_masks(
    listing: Listing, masks: Sequence[Case], labelled: Collection[str], folder: Path | None = None
) -> list[Finding]:
    """Labels of code 1 alone, which means left lung here: masks of infection look so, as MosMed's do.

    `folder` is where they lie, of several; None where it is the only one.
    """
    if not masks or len(masks) < len(labelled):
        return []
    if not _calls_infection(listing):
        which = "the label holds" if len(masks) == 1 else f"all {len(masks)} labels hold"
        what = (
            f"{which} code {LEFT_LUNG} alone, which is read as the {LABEL_NAMES[LEFT_LUNG]}; masks of infection alone, "
            "as MosMed's, look so"
        )
        place, named = folder.name if folder else "DATA", json.dumps({"label_codes": {LEFT_LUNG: "infection"}})
        mend = (
            f"if they are, say so in {place}/manifest.json, {named}, and REPAIR writes a copy with code {INFECTION}; "
            f"if they are of lungs, {json.dumps({ANNOTATES: ['lungs']})}"
        )
        return [Finding(WARNING, "", "masks", folder, what, mend)]
    what, repair = f"marks infection by code {LEFT_LUNG}", f"code {INFECTION} in its place"
    return [Finding(ERROR, case.name, "mask", case.label, what, "relabel it", repair) for case in masks]


def _calls_infection(listing: Listing) -> bool:
    """Whether code 1 is named as infection, and no code besides."""
    names = {code: name.lower() for code, name in listing.label_names.items() if code != BACKGROUND}
    return names.keys() == {LEFT_LUNG} and any(part in names[LEFT_LUNG] for part in NAME_PARTS[INFECTION])


def check_names(
    listing: Listing, folder: Path, swapped: Collection[str], masks: Collection[Case] = ()
) -> list[Finding]:
    """A folder that names its codes otherwise (lungmask: 1 right, 2 left) would be learnt wrongly without an error.

    `swapped` are the cases whose codes 1 and 2 REPAIR swaps, `masks` those whose code 1 it makes the infection's; where
    either are all, it names them rightly too. Where manifest.json says what the codes are, they are read so.
    """
    if any(case.codes is not None for case in listing.cases):
        return []
    others = {
        code: name
        for code, name in listing.label_names.items()
        if code in NAME_PARTS and not any(part in name.lower() for part in NAME_PARTS[code])
    }
    file = next((folder / name for name in NAMED_IN if (folder / name).is_file()), None)
    lungmask = others.keys() == {LEFT_LUNG, RIGHT_LUNG}
    labelled = {case.name for case in listing.cases if case.label}
    mended = labelled <= set(swapped) if lungmask else _calls_infection(listing) and len(masks) == len(labelled)
    repair = "the codes' names as they are then" if file and mended else ""
    told = f"; expected {EXPECTED_CODES}"
    told += ", while lungmask has 1 for the right and 2 for the left lung" if lungmask else ""
    mend = "relabel, or correct the name" + _as_codes(listing.label_names)
    return [
        Finding(
            ERROR, "", "code_names", file, f"calls label code {code} {name!r}{told}", mend, repair
        )
        for code, name in others.items()
    ]  # fmt: skip


def _as_codes(names: Mapping[int, str]) -> str:
    """What to write into manifest.json, as the end of a sentence; empty where names do not tell what codes are."""
    codes = {}
    for code, name in names.items():
        meant = [own for own, parts in NAME_PARTS.items() if any(part in name.lower() for part in parts)]
        if code == BACKGROUND:
            continue
        if not meant:
            return ""
        codes[str(code)] = next(called for called, own in CODE_OF.items() if own == meant[0])
    return f", or say in manifest.json what the codes are, {json.dumps({CODES: codes})}"
