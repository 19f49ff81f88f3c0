"""Pseudo labels: what a model found in unlabelled scans, on record and as cases to train on.

A fold's record, `pseudo_labels.json`, is a list with an entry a scan and round:

    case, patient_id, image, image_sha256   the unlabelled scan
    label, label_sha256                     what the model found in it, the project's codes on the scan's grid
    slices                                  those drawn, by number on the prepared grid, of a 2D network; else all
    round, model, model_sha256              who found it when
    mean_confidence                         of the likeliest class, over all voxels of these slices
    mean_confidence_of_structures           the same where that class is not the background; null where it is all
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap
from pipeline.core.progress_bar import progress_bar
from pipeline.scans.front import Front
from pipeline.scans.scan import file_sha256, read_geometry, read_scan
from pipeline.scans.simpleitk import sitk
from pipeline.scans.written_image import write_image

# What a training takes
ALL, LABELLED, PSEUDO_LABELLED = "all", "labelled", "pseudo_labelled"
# A scan to label: an unlabelled scan's entry, of a 2D network with `slices`
Drawn = dict[str, Any]


def training_cases(
    labelled: Sequence[dict[str, Any]], record: str | Path | None, trained_on: str = ALL
) -> list[dict[str, Any]]:
    """The cases of a training: the labelled ones, those of a record, which is None where there is none, or all.

    Raises InputError where a file of the record is gone or another one.
    """
    if trained_on not in (ALL, LABELLED, PSEUDO_LABELLED):
        raise InputError(f"trained_on is {trained_on!r}, expected {ALL}, {LABELLED} or {PSEUDO_LABELLED}.")
    if trained_on == PSEUDO_LABELLED and record is None:
        raise InputError(f"trained_on is {PSEUDO_LABELLED}, but pseudo_labelled names no file; give one.")
    if trained_on == LABELLED or record is None:
        return list(labelled)
    pseudo = read_json(record)
    for entry in pseudo:
        file = Path(entry["label"])
        if not file.is_file() or file_sha256(file) != entry["label_sha256"]:
            raise InputError(
                f"{file}: is not the pseudo label that {record} records; delete the folder of that fold to begin anew."
            )
    return [*(labelled if trained_on == ALL else []), *pseudo]


def pool(scans: Sequence[dict[str, Any]], front: Front, spatial_dims: int) -> list[tuple[int, int | None]]:
    """What can be drawn, as the scan's place and the slice's number: every axial slice of the prepared scans for a 2D
    network, every scan, with None, for a 3D one.
    """
    if spatial_dims == 3:
        return [(place, None) for place in range(len(scans))]
    depths = [front.grid(read_geometry(scan["image"])).size[2] for scan in scans]
    return [(place, number) for place, depth in enumerate(depths) for number in range(depth)]


def draw_rounds(
    scans: Sequence[dict[str, Any]],
    pool: Sequence[tuple[int, int | None]],
    per_round: int,
    rounds: int,
    seed: Sequence[int],
) -> list[list[Drawn]]:
    """The pool shuffled and dealt into rounds of `per_round`, the last of what is left; 0 rounds use it up.

    A round lists its scans once each, with all their slices of this round.
    """
    order = np.random.default_rng(list(seed)).permutation(len(pool))
    dealt = [order[start : start + per_round] for start in range(0, len(pool), per_round)]
    return [_drawn(scans, [pool[place] for place in one]) for one in dealt[: rounds or None]]


def _drawn(scans: Sequence[dict[str, Any]], chosen: Sequence[tuple[int, int | None]]) -> list[Drawn]:
    slices: dict[int, list[int]] = {}
    for place, number in chosen:
        slices.setdefault(place, []).extend([] if number is None else [number])
    return [
        {**scans[place], "slices": sorted(mine)} if mine else dict(scans[place])
        for place, mine in sorted(slices.items())
    ]


def unfinished(drawn_file: str | Path, found_dir: str | Path) -> list[dict[str, str]]:
    """What a round's inference has left to do, for the configuration: images alone."""
    return [
        {"case": scan["case"], "image": scan["image"]}
        for scan in read_json(drawn_file)
        if not label_file(found_dir, scan["case"]).is_file()
    ]


def label_file(folder: str | Path, case: str) -> Path:
    return Path(folder) / f"{case}.nii.gz"


def recorded(
    drawn: Sequence[Drawn],
    found_dir: str | Path,
    labels_dir: str | Path,
    classes: LabelMap,
    origin: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The entries of a round whose inference is finished: what it left in `found_dir`, now in `labels_dir` as codes.

    `origin` says which round and model it was.
    """
    entries = []
    for scan in progress_bar(drawn, len(drawn), "keeping pseudo labels"):
        label = Path(os.path.abspath(label_file(labels_dir, scan["case"])))
        write_codes(label_file(found_dir, scan["case"]), label, classes)
        confidence = mean_confidence(read_json(Path(found_dir) / f"{scan['case']}.json"), scan.get("slices"))
        entries.append({**scan, "label": str(label), "label_sha256": file_sha256(label), **origin, **confidence})
    return entries


def write_codes(found: Path, target: Path, classes: LabelMap) -> None:
    """A label file of class numbers as one of the project's codes, the first of those that a class is made of."""
    code_of_class = np.array([codes[0] for codes in classes.classes.values()], np.uint8)
    label = read_scan(found)
    codes = sitk.GetImageFromArray(code_of_class[sitk.GetArrayViewFromImage(label)])
    codes.CopyInformation(label)
    write_image(codes, target)


def mean_confidence(sums: Mapping[str, Sequence[float]], slices: Sequence[int] | None) -> dict[str, float | None]:
    """Both means of the sums of `transforms.confidence.slice_confidence` over some slices, None for all."""
    chosen = slice(None) if slices is None else list(slices)
    total = {name: float(np.asarray(values)[chosen].sum()) for name, values in sums.items()}
    structure = total["structure_voxels"]
    return {
        "mean_confidence": round(total["probability"] / total["voxels"], 6),
        "mean_confidence_of_structures": round(total["structure_probability"] / structure, 6) if structure else None,
    }
