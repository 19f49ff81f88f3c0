"""Patients of one name in several folders: hospitals number theirs alike, and two would be counted as one."""

from __future__ import annotations

from pipeline.check_data.finding import WARNING, Finding
from pipeline.folders.layouts import Listing
from pipeline.folders.public_set import PUBLIC_PATIENTS

SHOWN = 3


def check_shared_patients(listing: Listing) -> list[Finding]:
    """One warning for all patients with cases in several folders, which only a manifest can say.

    They count as one: folds are never wrong by that, while a patient who counts as two is tested after training. Those
    of the public set are known.
    """
    cases: dict[str, dict[str, str]] = {}
    for folder, part in listing.parts.items():
        for case in part.cases:
            cases.setdefault(case.patient_id, {}).setdefault(str(folder), case.name)
    known = set(PUBLIC_PATIENTS.values())
    shared = {patient: own for patient, own in cases.items() if len(own) > 1 and patient not in known}
    if not shared:
        return []
    shown = "; ".join(f"{patient}: {', '.join(own.values())}" for patient, own in list(shared.items())[:SHOWN])
    more = f"; and {len(shared) - SHOWN} more" if len(shared) > SHOWN else ""
    what = f"{len(shared)} patient(s) have cases in several folders, as manifests name them ({shown}{more})"
    what += ", and count as one each"
    mend = "where they are not, give them other names in one folder's manifest.json"
    return [Finding(WARNING, "", "shared_patients", None, what, mend)]
