"""Every file of a data set read to its end, and what is wrong with it told."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pipeline.check_data.card import CARD, write_card
from pipeline.check_data.cases_table import table
from pipeline.check_data.check import Checked, all_findings, check_each, check_labelled, check_scan
from pipeline.check_data.finding import ERROR, LEVELS, Finding, of_level
from pipeline.check_data.passed_over import passed_over
from pipeline.check_data.repair import AS_IT_WAS, repair
from pipeline.core import logs
from pipeline.core.atomic import write_json
from pipeline.core.errors import InputError
from pipeline.core.text_table import aligned
from pipeline.folders.layouts import Case, Listing, recognise
from pipeline.folders.left_out import any_missed
from pipeline.folders.output_folder import claim_output
from pipeline.folders.scan_list import scans
from pipeline.folders.several import Data, common_folder, data_folders, list_all, output_name, set_name
from pipeline.scans.scan import SUFFIXES
from pipeline.scans.scan_names import DICOM_SUFFIXES

FINDINGS = "findings.json"
OUTPUT = Path("runs/check-data")
# Findings alike that are told one by one
MOST_ALIKE = 3


def read_listing(data: Path) -> Listing:
    """The cases of a data set in any layout, or the scans of a plain folder, without labels.

    Raises InputError where there is nothing, and for a folder of DICOM files.
    """
    folder = Path(os.path.abspath(data))
    if folder.is_dir() and (listing := recognise(folder)):
        return listing
    if folder.is_dir() and _holds_dicom(folder):
        raise InputError(
            f"{folder}: holds DICOM files, which make predict reads; to train on them or to check them here, convert "
            "each series to one NIfTI file."
        )
    found = scans(folder)
    return Listing("scans", tuple(Case(scan["case"], scan["case"], Path(scan["image"]), None) for scan in found))


def _holds_dicom(folder: Path) -> bool:
    """Whether files of a folder, or of those below, are DICOM by their names, or by the beginning of one a folder."""
    from pipeline.scans.dicom.file_start import DamagedHeaderError, begins_without_preamble

    for place, _, names in os.walk(folder):
        others = [name for name in sorted(names) if not name.lower().endswith(SUFFIXES) and not name.startswith(".")]
        if any(name.lower().endswith(DICOM_SUFFIXES) for name in others):
            return True
        try:
            if others and begins_without_preamble(Path(place) / others[0]) is not None:
                return True
        except DamagedHeaderError:
            return True
    return False


def check(listing: Listing, folder: Path) -> tuple[list[Checked], list[Finding]]:
    """All checks; labels are missed only where other cases have some."""
    if any(case.label for case in listing.cases) or listing.labels_without_image:
        return check_labelled(listing, folder)
    checked = check_each(partial(check_scan, folder), listing.cases)
    return checked, all_findings(checked)


def findings_table(findings: Sequence[Finding], folder: Path) -> str:
    """Errors first, each with what to do about it; what is alike in many cases is one line; a last line counts all."""
    lines = []
    for level in LEVELS:
        for alike in _alike(of_level(findings, level)):
            for said in [_many(alike)] if len(alike) > MOST_ALIKE else [finding.sentence for finding in alike]:
                repair = f" [REPAIR: {alike[0].repair}]" if alike[0].repair else ""
                lines.append(f"{level:<8} {said.replace(f'{folder}{os.sep}', '')}{repair}")
    counts = ", ".join(f"{len(of_level(findings, level))} {level}(s)" for level in LEVELS)
    return "\n".join([*lines, counts])


def _alike(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings of one check and one wording, figures apart, in the order of their first."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        wording = re.sub(r"-?\d[\d.]*", "#", finding.what)
        groups.setdefault((finding.check, wording, finding.mend, finding.repair), []).append(finding)
    return list(groups.values())


def _many(findings: Sequence[Finding]) -> str:
    first = findings[0]
    names = ", ".join(finding.case for finding in findings[:MOST_ALIKE])
    return f"{len(findings)} cases ({names} and {len(findings) - MOST_ALIKE} more), the first: {first.told}."


def as_json(
    listing: Listing, folder: Path, checked: Sequence[Checked], findings: Sequence[Finding]
) -> dict[str, object]:
    """The content of findings.json, its paths relative to `folder`; of several folders it names each."""
    return {
        "dataset": set_name([*listing.by_folder(folder)]),
        **({"folders": [_relative(place, folder) for place in listing.parts]} if listing.parts else {}),
        "layout": listing.layout,
        "cases": [one.entry or {"case": one.case.name} for one in checked],
        "counts": {level: len(of_level(findings, level)) for level in LEVELS},
        "findings": [finding.as_json(folder) for finding in findings],
    }


def _relative(place: Path, folder: Path) -> str:
    return place.relative_to(folder).as_posix()


def check_folder(data: Data, repaired: Path | None = None, output: Path | None = None) -> bool:
    """Print the cases and a line a finding, write `findings.json` and `card.html`; whether nothing is wrong.

    Something is where there is an error, or where something that looks like a scan or a label is left out. `repaired`
    is a new folder for a mended copy. `output` is OUTPUT/<name of the folder> where it is None. The card holds pictures
    of patients: share it as you would share the scans.
    """
    folders = data_folders(data)
    folder = common_folder(folders)
    output = output or OUTPUT / output_name(folders)
    listing = list_all(data, read_listing)
    claim_output(output, *folders)
    checked, findings = check(listing, folder)
    logs.result(f"{cases_table(listing, checked)}\n")
    left_out = passed_over(listing, folder) if folder.is_dir() else []
    told_left_out = [f"left out: {each.sentence}" for each in left_out]
    content = {**as_json(listing, folder, checked, findings), "left_out": [asdict(each) for each in left_out]}
    logs.result("\n".join([findings_table(findings, folder), *told_left_out, ""]), **content)
    write_json(output / FINDINGS, content)
    write_card(output / CARD, listing, folder, checked, findings, left_out)
    logs.result(f"written: {output / FINDINGS}, {output / CARD}")
    if repaired:
        done = repair(listing, folder, findings, repaired)
        mended = sum(AS_IT_WAS not in line for line in done)
        told = f"{repaired}: a copy with {mended} file(s) repaired, every case kept."
        if listing.parts:
            copies = shlex.join(str(repaired / _relative(place, folder)) for place in listing.parts)
            told += f" Its folders are {copies}."
        logs.result("\n".join([*done, told]))
    return not (of_level(findings, ERROR) or any_missed(left_out))


def cases_table(listing: Listing, checked: Sequence[Checked]) -> str:
    """The datalist's table where every case is as training wants it; else what is known of each."""
    if all("volume_ml" in one.entry and one.entry.get("intensity") for one in checked):
        return table({"layout": listing.layout, "training": [one.entry for one in checked]})
    rows = [["case", "intensity", "size", "spacing mm", "label"]]
    for one in checked:
        size = "x".join(map(str, one.entry.get("size", "-")))
        spacing = "x".join(f"{length:.4g}" for length in one.entry.get("spacing_mm", ())) or "-"
        label = "read" if "volume_ml" in one.entry else "unusable" if one.case.label else "none"
        rows.append([one.case.name, str(one.entry.get("intensity") or "-"), size, spacing, label])
    return aligned(rows)
