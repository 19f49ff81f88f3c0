"""What is written beside each segmented scan, `<case>.json`, and the table of all of them, results.csv.

A manifest is the last file of a case to be written, so a case that has one that fits is done. It holds nothing of a
scan's header but the grid, and no path: the name of the case is all that it has of the user's names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.core.atomic import read_json, write_csv, write_json
from pipeline.core.text_table import aligned, shortened
from pipeline.folders.left_out import LeftOut
from pipeline.scans.scan import case_name

# BEGUN: what is there of a case is this program's, however its process ended
BEGUN, DONE, FAILED = "begun", "done", "failed"
# How a manifest is told from other JSON files
KIND = "PneumoBundle prediction"
RESULTS = "results.csv"
# Beside the label: what a DICOM series gets, and the folder of the maps of an ensemble
SEGMENTATION, REPORT, STRUCTURE_SET = ".seg.dcm", ".sr.dcm", ".rtstruct.dcm"
UNCERTAINTY = "uncertainty"
LEFT_OUT = "left out"
LEFT_OUT_FILE, LEFT_OUT_KIND = "left_out.json", "PneumoBundle left out"
SHOWN, SHOWN_LEFT_OUT = 60, 10
COLUMNS = (
    "case",
    "status",
    "seconds",
    "lungs_percent",
    "lungs_percent_low",
    "lungs_percent_high",
    "interval_level_percent",
    "interval_patients",
    "left_percent",
    "right_percent",
    "grade",
    "grade_low",
    "grade_high",
    "lungs_ml",
    "infection_ml",
    "flags",
    "warnings",
    "message",
)

Manifest = dict[str, Any]


def manifest_file(output_dir: str | Path, case: str) -> Path:
    return Path(output_dir) / f"{case}.json"


def read_manifest(file: Path) -> Manifest | None:
    """A manifest; None where there is none, or a file that is something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("kind") == KIND else None


def write_manifest(output_dir: str | Path, manifest: Manifest) -> None:
    write_json(manifest_file(output_dir, manifest["case"]), {"kind": KIND, **manifest})


def is_of(manifest: Manifest | None, model: Mapping[str, Any], output_dir: str | Path, files: Iterable[str]) -> bool:
    """Whether a case was finished with a model, `files` are among what was written, and all of that is still there.

    Whether the scan is still the same is another question: `same_state`.
    """
    if manifest is None or manifest["status"] != DONE:
        return False
    same = all(manifest["model"].get(key) == model[key] for key in ("sha256", "mode"))
    there = all((Path(output_dir) / name).is_file() for name in manifest["files"])
    return same and there and {*files} <= {*manifest["files"]}


def same_state(manifest: Manifest, state: Sequence[int]) -> bool:
    """Whether the input has the size and the time of change that it had, so that it need not be read to know it."""
    return manifest["input"].get("state") == list(state)


def manifests(output_dir: str | Path) -> list[Manifest]:
    """All in a folder and those below, by case, but of cases that are only begun."""
    found = []
    for folder, below, names in os.walk(output_dir):
        below[:] = sorted(name for name in below if not name.startswith("."))
        files = (Path(folder) / name for name in names if name.endswith(".json") and not name.startswith("."))
        every = filter(None, map(read_manifest, files))
        found += [manifest for manifest in every if manifest["status"] != BEGUN]
    return sorted(found, key=lambda manifest: manifest["case"])


def write_results(output_dir: str | Path, every: Iterable[Manifest]) -> None:
    """The table of all cases, and of what INPUT held beside them."""
    every = list(every)
    left_out = [*read_left_out(output_dir), *left_out_of(every)]
    passed = [{"case": each.name, "status": LEFT_OUT, "message": each.why} for each in left_out]
    write_csv(Path(output_dir) / RESULTS, COLUMNS, [*map(row_of, every), *passed])


def write_left_out(output_dir: str | Path, left_out: Sequence[LeftOut]) -> None:
    """Keep what was found and not used, for results.csv, which another process may write."""
    file = Path(output_dir) / LEFT_OUT_FILE
    if left_out or file.exists():
        write_json(file, {"kind": LEFT_OUT_KIND, "left_out": [asdict(each) for each in left_out]})


def read_left_out(output_dir: str | Path) -> list[LeftOut]:
    file = Path(output_dir) / LEFT_OUT_FILE
    if not file.exists():
        return []
    return [LeftOut(**each) for each in read_json(file)["left_out"]]


def left_out_of(every: Iterable[Manifest]) -> list[LeftOut]:
    """What the DICOM studies of cases hold beside what was segmented."""
    return [LeftOut(**each) for manifest in every for each in manifest.get("left_out", ())]


def row_of(manifest: Manifest) -> dict[str, Any]:
    """Of results.csv."""
    found = manifest.get("severity") or {}
    ends = {
        f"{name}_{end}": pair[place]
        for name in ("lungs_percent", "grade")
        for place, end in enumerate(("low", "high"))
        if (pair := found.get(f"{name}_interval"))
    }
    return {
        **{name: found.get(name) for name in COLUMNS},
        **ends,
        **{name: manifest.get(name) for name in ("case", "status", "message")},
        "seconds": round(sum(manifest.get("seconds", {}).values()), 2),
        "flags": " ".join(flag["flag"] for flag in manifest.get("flags", ()) if flag["raised"]),
        "warnings": " ".join(manifest.get("warnings", ())),
    }


def brief(manifest: Manifest) -> Manifest:
    """What is kept in memory of each of very many: all but what is the same for most of them."""
    return {key: value for key, value in manifest.items() if key not in ("model", "made_with", "files")}


def table(every: Sequence[Manifest], left_out: Sequence[LeftOut] = ()) -> str:
    """A line a case, those that failed first, SHOWN at most; one that counts them; and what was left out."""
    ordered = sorted(every, key=lambda manifest: (manifest["status"] != FAILED, manifest["case"]))
    rows = [["case", "status", "seconds", "infection % of lung", "grade", "message"]]
    rows += [_cells(row_of(manifest)) for manifest in ordered[:SHOWN]]
    failed = sum(manifest["status"] == FAILED for manifest in every)
    more = [f"and {len(every) - SHOWN} more, see {RESULTS}"] if len(every) > SHOWN else []
    counted = f"{len(every) - failed} of {len(every)} scans segmented" + (f", {failed} failed" if failed else "")
    if missed := sum(each.missed for each in left_out):
        counted += f", {missed} left out"
    # What somebody may miss first
    shown = sorted(left_out, key=lambda each: not each.missed)[:SHOWN_LEFT_OUT]
    passed = [f"left out: {printable(each.sentence)}" for each in shown]
    if len(left_out) > SHOWN_LEFT_OUT:
        passed.append(f"and {len(left_out) - SHOWN_LEFT_OUT} more left out, see {RESULTS}")
    # Sentences of any length, which begin one below the other
    lines = zip(aligned([row[:-1] for row in rows]).splitlines(), rows, strict=True)
    return "\n".join((*(f"{line}  {row[-1]}".rstrip() for line, row in lines), *more, counted, *passed))


def printable(name: str) -> str:
    """A name on one line, whatever it contains."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _cells(row: Mapping[str, Any]) -> list[str]:
    share = row["lungs_percent"]
    percent = "-" if share is None else f"{share:.1f}"
    seconds = f"{row['seconds']:.1f}"
    signs = ", ".join(row["flags"].split()).replace("_", " ")
    return [
        shortened(printable(row["case"])),
        row["status"],
        seconds,
        percent,
        row["grade"] or "-",
        row["message"] or (f"look first, it may be wrong: {signs}" if signs else ""),
    ]


def is_result(file: Path) -> bool:
    """Whether a file is a label that `make predict` wrote, by the manifest beside it."""
    return file.name.endswith(".nii.gz") and read_manifest(manifest_file(file.parent, case_name(file))) is not None
