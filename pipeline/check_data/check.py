"""All checks of a data set, each file read once: what the datalist says of its cases, and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.check_data import anatomy, duplicates, files, geometry, labels
from pipeline.check_data.finding import ERROR, NOTE, Finding
from pipeline.check_data.overview import Overview, overview
from pipeline.check_data.scan_gate import look_at_scan
from pipeline.check_data.shared_patients import check_shared_patients
from pipeline.check_data.visits import check_visits
from pipeline.core.annotation import ANNOTATES, Annotation
from pipeline.core.labels import CODES, IGNORE
from pipeline.core.progress_bar import progress_bar
from pipeline.folders.layouts import Case, Listing
from pipeline.scans.scan import ROUNDED, case_name, file_sha256, read_label
from pipeline.scans.simpleitk import sitk

# Checks after which there is nothing to look at in a scan
NOTHING_TO_SEE = ("finite", "constant", "nowhere")


@dataclass
class Checked:
    """A case that was read.

    Args:
        entry: what was found out, by the keys of a datalist's entry; all of them where there is no error.
        look: what it is known by among others; None where its scan cannot be used.
    """

    case: Case
    findings: list[Finding] = field(default_factory=list)
    entry: dict[str, Any] = field(default_factory=dict)
    look: duplicates.Look | None = None


def check_labelled(listing: Listing, folder: Path) -> tuple[list[Checked], list[Finding]]:
    """Every case of a data set with its label, and all that is wrong: of the set, of each case, between cases.

    `folder` is the data set's own, or what holds all of its folders: paths are relative to it.
    """
    checked = check_each(partial(check_case, folder), listing.cases)
    found = all_findings(checked)
    swapped = [finding.case for finding in found if finding.check == "sides" and finding.repair]
    masks = _masks(checked)
    volumes_ml = {one.case.name: one.entry["volume_ml"] for one in checked if "volume_ml" in one.entry}
    # What codes mean and what labels annotate, each folder says for itself
    parts = [(place, part, _within(part, masks)) for place, part in listing.by_folder(folder).items()]
    of_set = [found for place, part, own in parts for found in labels.check_names(part, place, swapped, own)]
    of_set += [*check_visits(listing.cases), *check_shared_patients(listing)]
    for place, part, own in parts:
        named = place if listing.parts else None
        of_part = {case.name: volumes_ml[case.name] for case in part.cases if case.name in volumes_ml}
        of_set += labels.check_masks(part, own, of_part, named)
        others = [ml for case, ml in volumes_ml.items() if case not in of_part]
        beside_lungs = any(ml.get(name) for ml in others for name in ("left_lung", "right_lung", "lungs"))
        of_set += labels.check_annotates(part, of_part, named, beside_lungs)
    return checked, [*of_set, *found, *_orphans(listing)]


def _within(listing: Listing, cases: Iterable[Case]) -> list[Case]:
    """Those of some cases that are of a listing."""
    names = {case.name for case in listing.cases}
    return [case for case in cases if case.name in names]


def _masks(checked: Iterable[Checked]) -> list[Case]:
    """Cases whose labels hold code 1, the left lung's, and nothing else, though they might."""
    # Where the manifest says what labels annotate or what their codes are, nothing is guessed
    read = [one for one in checked if "volume_ml" in one.entry and not (one.case.annotates or one.case.codes)]
    volumes = [(one.case, one.entry["volume_ml"]) for one in read]
    return [case for case, ml in volumes if ml["left_lung"] and not (ml["right_lung"] or ml["infection"])]


def check_each(check: Callable[[Case], Checked], cases: Sequence[Case]) -> list[Checked]:
    """A check of every case, two at a time, with a bar on a terminal."""
    # Two threads: SimpleITK, zlib and hashlib let others run, and two full scans fit into any memory.
    with ThreadPoolExecutor(max_workers=2) as readers:
        return list(progress_bar(readers.map(check, cases), len(cases), "reading the scans"))


def all_findings(checked: Iterable[Checked]) -> list[Finding]:
    """Those of each case in turn, then those between cases."""
    checked = list(checked)
    looks = [one.look for one in checked if one.look]
    return [*(finding for one in checked for finding in one.findings), *duplicates.check_duplicates(looks)]


def check_scan(folder: Path, case: Case) -> Checked:
    """A case's scan alone, whether it has a label or not."""
    found = Checked(case)
    image = _read_scan(found, folder)
    if image is not None:
        view = overview(image)
        found.look = _look(case, view)
        found.findings += anatomy.check_scan_alone(view, case.name, case.image)
    return found


def check_case(folder: Path, case: Case) -> Checked:
    """A case's scan and its label; a missing label is an error."""
    if case.label is None:
        found = check_scan(folder, case)
        what, mend = "has no label, expected one of the same name", "add it or remove the scan"
        found.findings.insert(0, Finding(ERROR, case.name, "no_label", case.image, what, mend))
        return found
    found = Checked(case)
    image, label = _read_scan(found, folder), _read_label(found, folder, case.label)
    if image is None:
        return found
    misplaced = [] if label is None else geometry.check_same_grid(label, image, case.name, case.label)
    found.findings += misplaced
    comparable = label is not None and label.GetSize() == image.GetSize()
    view = overview(image, label if comparable else None)
    found.look = _look(case, view)
    # What is aside by rounding alone can be judged all the same, so that all of it is told and repaired at once
    if label is not None and all(finding.repair for finding in misplaced):
        _check_anatomy(found, label, view, case.label)
    return found


def _read_scan(found: Checked, folder: Path) -> sitk.Image | None:
    """The scan, its part of the entry and what is wrong with it; None where its voxels cannot be looked at."""
    case, path = found.case.name, found.case.image
    image, domain, findings = look_at_scan(path, case)
    found.findings += findings
    if image is None:
        return None
    found.entry |= {
        "case": case,
        "patient_id": found.case.patient_id,
        "image": Path(os.path.relpath(path, folder)).as_posix(),
        "intensity": domain,
        "spacing_mm": [round(spacing, 6) for spacing in image.GetSpacing()],
        "size": list(image.GetSize()),
        "image_sha256": file_sha256(path),
    }
    return None if any(finding.check in NOTHING_TO_SEE for finding in found.findings) else image


def _read_label(found: Checked, folder: Path, path: Path) -> sitk.Image | None:
    """The label, its part of the entry and what is wrong with it; None where its codes say nothing."""
    case = found.case.name
    label, wrong = files.read(path, case, partial(read_label, codes=found.case.codes))
    found.findings += wrong
    if label is None:
        return None
    if label.HasMetaDataKey(ROUNDED):
        what = f"has codes that are off by up to {label.GetMetaData(ROUNDED)}; they are read as whole numbers"
        found.findings.append(Finding(NOTE, case, "rounding", path, what))
    found.findings += geometry.check_directions(label, case, path)
    voxels, annotation = labels.count_voxels(label), Annotation.of(found.case.annotates)
    if wrong := labels.check_codes(label, voxels, annotation, case, path):
        found.findings += wrong
        return None
    found.findings += labels.check_structures(voxels, annotation, case, path)
    found.entry |= {
        "label": Path(os.path.relpath(path, folder)).as_posix(),
        "volume_ml": labels.structure_volumes_ml(voxels, label.GetSpacing(), annotation),
        "label_sha256": file_sha256(path),
    }
    if annotation.names is not None:
        found.entry[ANNOTATES] = annotation.names
    if found.case.codes is not None:
        found.entry[CODES] = dict(found.case.codes)
    # To what judges anatomy, a voxel that nobody knows is none of a structure
    return sitk.Mask(label, label != IGNORE) if voxels[IGNORE] else label


def _check_anatomy(found: Checked, label: sitk.Image, view: Overview, path: Path) -> None:
    case, volume_ml = found.case.name, found.entry["volume_ml"]
    # A label of infection alone does not tell how large the lungs are
    lungs_ml = volume_ml["lungs"] + volume_ml.get("infection", 0.0) if volume_ml.get("lungs") else 0.0
    told_sides = Annotation.of(found.case.annotates).sides
    turned = anatomy.turned_over(view)
    cut, cuts = anatomy.check_field_of_view(label, view, case, found.case.image)
    found.findings += [
        *(_sides(found, view, turned, path) if told_sides else ()),
        *anatomy.check_on_scan(view, turned, case, path),
        *anatomy.check_infection(view, case, path),
        *anatomy.check_size(view, lungs_ml, cut, case, found.case.image),
        *cuts,
    ]


def _sides(found: Checked, view: Overview, turned: str, path: Path) -> list[Finding]:
    wrong = anatomy.check_sides(view, turned, found.case.name, path)
    if found.case.codes is None:
        return wrong
    # A copy would need another table of codes
    return [replace(finding, mend="correct codes in manifest.json", repair="") for finding in wrong]


def _look(case: Case, view: Overview) -> duplicates.Look:
    return duplicates.Look(case.name, case.patient_id, case.image, view.hash, duplicates.lungs_look(view))


def _orphans(listing: Listing) -> list[Finding]:
    what, mend = "has no image, expected one of the same name", "add it or remove the label"
    return [Finding(ERROR, case_name(path), "no_image", path, what, mend) for path in listing.labels_without_image]
