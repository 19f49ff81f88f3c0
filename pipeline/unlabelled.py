"""Scans without labels, for training on what a model finds in them; none of a tested patient is let in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.datalist import scans
from pipeline.errors import InputError
from pipeline.layouts import PUBLIC_PATIENTS, public_name, recognise
from pipeline.scan import file_sha256, intensity_domain, read_scan

MEND = "leave it out, the model would be trained on what it is tested on"


def read_unlabelled(unlabelled_dir: str | Path) -> dict[str, Any]:
    """The scans of a folder, in any layout or none, or one scan, each read to its end: {"unlabelled_dir", "scans"}.

    A scan is case, patient_id, image (absolute), image_sha256 and intensity; labels, if there are any, are not looked
    at. Raises one InputError that tells every scan that is wrong.
    """
    if not str(unlabelled_dir):
        raise InputError("UNLABELED is empty; expected a folder of scans without labels; give UNLABELED=folder.")
    place = Path(os.path.abspath(unlabelled_dir))
    found = scans(place)
    listing = recognise(place) if place.is_dir() else None
    patients = {case.name: case.patient_id for case in listing.cases} if listing else {}
    with ThreadPoolExecutor(max_workers=2) as readers:
        entries = list(readers.map(partial(_entry_or_complaint, patients), found))
    complaints = [entry for entry in entries if isinstance(entry, str)]
    if complaints:
        raise InputError(f"{place}: {len(complaints)} unlabelled scan(s) cannot be used.", *complaints)
    return {"unlabelled_dir": str(place), "scans": entries}


def _entry_or_complaint(patients: dict[str, str], scan: dict[str, str]) -> dict[str, Any] | str:
    case, image = scan["case"], scan["image"]
    try:
        intensity = intensity_domain(read_scan(image), image)
    except InputError as error:
        return f"case {case}: {error}"
    patient_id = patients.get(case, PUBLIC_PATIENTS.get(public_name(case), case))
    return {
        "case": case,
        "patient_id": patient_id,
        "image": image,
        "image_sha256": file_sha256(image),
        "intensity": intensity,
    }


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
