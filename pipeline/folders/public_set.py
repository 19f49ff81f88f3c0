"""The public 20 COVID-19 CTs (Zenodo 3757476): names, patients, and the split that was published with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pipeline.core.atomic import read_json

# Two pairs of the public 20 scans are two series of one patient. Source: for 10_85902 the authors' answer in
# JunMa11/COVID-19-CT-Seg-Benchmark#3; for 29 the shared Radiopaedia case number in the file names.
PUBLIC_PATIENTS = {
    "radiopaedia_10_85902_1": "radiopaedia_10",
    "radiopaedia_10_85902_3": "radiopaedia_10",
    "radiopaedia_29_86490_1": "radiopaedia_29",
    "radiopaedia_29_86491_1": "radiopaedia_29",
}
PUBLISHED_FILE = Path(__file__).parent / "splits" / "ma2020_task1.json"
# `case009` and `coronacases_org_case007` are names stored inside the .gz files, which 7-Zip brings back.
_CORONACASES = re.compile(r"(?:coronacases_(?:org_)?(?:case)?|case)(\d{3})")
_RADIOPAEDIA = re.compile(r"radiopaedia_(?:org_covid-19-pneumonia-)?(\d+_\d+_\d+)(?:-dcm)?")


def public_name(name: str) -> str:
    """A case of the public 20-CT set under its Zenodo name; any other name unchanged."""
    if match := _CORONACASES.fullmatch(name):
        return f"coronacases_{match[1]}"
    if match := _RADIOPAEDIA.fullmatch(name):
        return f"radiopaedia_{match[1]}"
    return name


def are_public(names: Iterable[str]) -> bool:
    """Whether the cases are the public 20 CTs, by their names."""
    published = {name for fold in read_json(PUBLISHED_FILE)["folds"] for name in fold["test"]}
    return {public_name(name) for name in names} == published
