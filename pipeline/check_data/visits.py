"""Cases whose names look like several visits of one patient, who then stands in several folds."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.check_data.finding import WARNING, Finding
from pipeline.folders.layouts import Case

_VISIT = re.compile(
    r"(?i)(?P<who>.+?)[_.-](?:ses|session|visit|timepoint|tp|day|week|month|follow-?up|fu|baseline|bl)"
    r"[-_]?\w*(?:[_.-].*)?"
)
# Only a letter: `case_1` and `case_2` are two patients
_LETTER = re.compile(r"(?i)(?P<who>.*\d)[_-]?[a-d]")
SHOWN = 3


def check_visits(cases: Iterable[Case]) -> list[Finding]:
    """One warning for all patients that may have several cases, unless they are named as one patient already."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        if match := _VISIT.fullmatch(case.name) or _LETTER.fullmatch(case.name):
            groups.setdefault(match["who"].lower(), []).append(case)
    alike = [group for group in groups.values() if len({case.patient_id for case in group}) > 1]
    if not alike:
        return []
    shown = "; ".join(", ".join(case.name for case in group[:SHOWN]) for group in alike[:SHOWN])
    more = f"; and {len(alike) - SHOWN} more" if len(alike) > SHOWN else ""
    what = f"{len(alike)} patient(s) may have several cases, by their names ({shown}{more}), and count as several"
    mend = 'where they are one, say so in manifest.json: {"cases": [{"case": "...", "patient": "..."}]}'
    return [Finding(WARNING, "", "visits", None, what, mend)]
