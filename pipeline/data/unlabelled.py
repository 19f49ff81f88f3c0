"""Scans without labels, for training on what a model finds in them; none of a tested patient is let in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.check_data.finding import ERROR, of_level
from pipeline.core.errors import InputError
from pipeline.folders.layouts import Case, recognise
from pipeline.folders.public_set import PUBLIC_PATIENTS, public_name
from pipeline.folders.scan_list import scans

ENTRY = ("case", "patient_id", "image", "image_sha256", "intensity")
MEND = "leave it out, the model would be trained on what it is tested on"


def read_unlabelled(unlabelled_dir: str | Path) -> dict[str, Any]:
    """The scans of a folder, in any layout or none, or one scan, each read to its end: {"unlabelled_dir", "scans"}.

    A scan is case, patient_id, image (absolute), image_sha256 and intensity; labels, if there are any, are not looked
    at. Raises one InputError that tells every scan that is wrong.
    """
    if not str(unlabelled_dir):
        raise InputError("UNLABELED is empty; expected a folder of scans without labels; give UNLABELED=folder.")
    # Not at the top: a machine that trains from a filled cache may lack SimpleITK
    from pipeline.check_data.check import check_each, check_scan

    place = Path(os.path.abspath(unlabelled_dir))
    found = scans(place)
    listing = recognise(place) if place.is_dir() else None
    patients = {case.name: case.patient_id for case in listing.cases} if listing else {}
    cases = [_unlabelled(scan, patients) for scan in found]
    checked = check_each(partial(check_scan, place), cases)
    errors = of_level((finding for one in checked for finding in one.findings), ERROR)
    if errors:
        bad = len({finding.case for finding in errors})
        told = [finding.sentence for finding in errors]
        raise InputError(f"{place}: {bad} unlabelled scan(s) cannot be used.", *told)
    entries = [{**{key: one.entry[key] for key in ENTRY}, "image": str(one.case.image)} for one in checked]
    return {"unlabelled_dir": str(place), "scans": entries}


def _unlabelled(scan: dict[str, str], patients: dict[str, str]) -> Case:
    name = scan["case"]
    patient_id = patients.get(name, PUBLIC_PATIENTS.get(public_name(name), name))
    return Case(name, patient_id, Path(scan["image"]), None)


def refuse_tested(unlabelled: Iterable[dict[str, Any]], tested: Iterable[dict[str, Any]]) -> None:
    """Raise InputError where an unlabelled scan is of a tested patient.

    Both are entries with case, patient_id and image_sha256. A scan is of a tested patient where its file, its patient
    or its case name is that of a tested case; names of the public 20 CTs count in all their spellings.
    """
    files: dict[str, str] = {}
    names: dict[str, str] = {}
    for case in tested:
        files[case["image_sha256"]] = case["case"]
        names |= dict.fromkeys(_names(case), case["case"])
    complaints = []
    for scan in unlabelled:
        if (same := files.get(scan["image_sha256"])) is not None:
            complaints.append(f"unlabelled scan {scan['case']}: is the same file as the tested case {same}; {MEND}.")
            continue
        shared = sorted(_names(scan) & names.keys())
        if shared:
            same = names[shared[0]]
            complaints.append(
                f"unlabelled scan {scan['case']}: has the case or patient name {shared[0]!r} of the tested case "
                f"{same}; {MEND}, or rename it if it is of another patient."
            )
    if complaints:
        raise InputError(*complaints)


def _names(entry: dict[str, Any]) -> set[str]:
    """What a case and its patient are called, those of the public set as there."""
    case = public_name(entry["case"])
    return {case, entry["patient_id"], PUBLIC_PATIENTS.get(case, case)}
