"""Whether a command may write where it is told to: never onto what it reads, nor onto a file that it did not make."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from pipeline.core.atomic import read_json
from pipeline.core.claims import FOLDER, is_claimed
from pipeline.core.errors import InputError
from pipeline.core.run_files import DATALIST, FOLDS, PROBABILITIES
from pipeline.folders.layouts import Listing, recognise
from pipeline.folders.manifest import (
    COLUMNS,
    DONE,
    LEFT_OUT,
    REPORT,
    RESULTS,
    SEGMENTATION,
    STRUCTURE_SET,
    UNCERTAINTY,
    manifest_file,
    read_manifest,
)

# Where a layout of `pipeline.folders.layouts` has its labels: what is written there would be read as those of people
LABEL_FOLDERS = frozenset({"labels", "masks", "labelstr", "lung_and_infection_mask"})
RESULT_SUFFIXES = (".nii.gz", ".json", ".html", SEGMENTATION, REPORT, STRUCTURE_SET)
STUDY_FILES = (DATALIST, FOLDS)
# In a folder that this program made, or began to write into when nothing of such kinds was there
MARK = ".pneumobundle"
WRITTEN = (".json", ".csv", ".html", ".md", ".png", ".svg", ".pt", ".ts", ".onnx", ".nii.gz", ".dcm", ".zip")
# Which are never replaced, see `pipeline.core.atomic.keep_json`, and lie there before a training begins
KEPT = frozenset({*STUDY_FILES, "train.json", "inference.json"})
# Of nnU-Net, by the names of the variables that lead there
NNUNET_RAW, NNUNET_PREPROCESSED, NNUNET_RESULTS = "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"
WRITTEN_FOLDERS = frozenset({"data", "predictions", PROBABILITIES, "units", "members", "supervised"}) | {
    NNUNET_RAW,
    NNUNET_PREPROCESSED,
    NNUNET_RESULTS,
}


def check_output(output_dir: str | Path, *reads: str | Path, what: str = "OUT") -> None:
    """Raise InputError where results would be written among what is read, or into somebody's data set.

    Compared by real paths, so that a link is what it leads to. `reads` are files and folders.
    """
    # Not for writing: on a cluster a link is the path that every node knows
    out = Path(os.path.realpath(output_dir))
    if out.exists() and not out.is_dir():
        raise InputError(
            f"{what} is {output_dir}, which cannot be written: it is a file; give a folder for the results."
        )
    for read in reads:
        place = Path(os.path.realpath(read))
        if place == out or (place.parent == out and not place.is_dir()):
            raise InputError(
                f"{what} is {output_dir}, where {place.name} is read from: results would replace what they are made "
                f"of; give {what}= a folder of its own."
            )
    if _listing(out):
        raise InputError(f"{what} is {output_dir}, which holds a data set; give {what}= a folder of its own.")
    for around in out.parents:
        if (listing := _listing(around)) and _is_of_set(out, around, listing):
            raise InputError(
                f"{what} is {output_dir}, a folder of the data set {around}: results would be taken for its scans or "
                f"labels; give {what}= a folder of its own."
            )


def _is_of_set(folder: Path, dataset: Path, listing: Listing) -> bool:
    """Whether a folder is, or lies in, one that a data set below `dataset` has its scans or labels in."""
    top = folder.relative_to(dataset).parts[0]
    return top.lower() in LABEL_FOLDERS or any(
        folder.is_relative_to(used) for used in _folders(listing) if used != dataset
    )


def refuse_signs(*paths: str | Path) -> None:
    """Raise InputError for a path in which MONAI's configurations would read a separator of their own."""
    for path in paths:
        if "#" in str(path):
            raise InputError(f"{path}: MONAI reads the # in its name as a sign of its own; choose a folder without.")


def claim_output(output_dir: str | Path, *reads: str | Path, what: str = "OUT") -> None:
    """As `check_output`, and make the folder, marked as this program's.

    Raises InputError too where it holds what this program could have written, and did not: no mark of it is there.
    """
    check_output(output_dir, *reads, what=what)
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if not ((folder / MARK).exists() or holds_results(folder)):
        if foreign := sorted(entry.name for entry in folder.iterdir() if _could_be_written(entry)):
            raise _foreign(output_dir, foreign[0], what)
        (folder / MARK).touch()


def check_file(file: str | Path, keys: Iterable[str], *beside: Path, what: str = "OUT") -> None:
    """Raise InputError where a JSON file that is to be written would replace one of somebody else.

    `keys` tell this program's own, which may always be replaced, and with it the files `beside` it, written after it.
    """
    file = Path(file)
    there = [each for each in (*beside, file) if os.path.lexists(each)]
    if there and not _has_keys(file, frozenset(keys)):
        raise InputError(
            f"{what} would replace {there[0]}, which this program did not write; give {what}= another name."
        )


def _has_keys(file: Path, keys: frozenset[str]) -> bool:
    try:
        content = read_json(file)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and keys <= content.keys()


def _could_be_written(entry: Path) -> bool:
    if entry.is_dir():
        return entry.name in WRITTEN_FOLDERS
    return entry.name not in KEPT and entry.name.lower().endswith(WRITTEN)


def _listing(folder: Path) -> Listing | None:
    """The data set in a folder; one without cases where it is laid out as one that has something wrong."""
    if not folder.is_dir():
        return None
    try:
        return recognise(folder)
    except InputError:
        return Listing("unreadable", ())


def _folders(listing: Listing) -> set[Path]:
    files = [file for case in listing.cases for file in (case.image, case.label) if file]
    return {Path(os.path.realpath(file)).parent for file in (*files, *listing.labels_without_image)}


def check_results(output_dir: str | Path, cases: Iterable[str]) -> None:
    """Raise InputError where a result of `make predict` would replace a file that it did not write.

    Its own are those of a case with a manifest or in results.csv, and of one that a process has claimed, which may
    have been killed before it wrote the manifest.
    """
    folder = Path(output_dir)
    listed = _listed(folder / RESULTS)
    for case in cases:
        there = [target for target in _targets(folder, case) if os.path.lexists(target)]
        names = [target.relative_to(folder).as_posix() for target in there]
        if foreign := _foreign_among(names, folder, case, case in listed):
            raise _foreign(output_dir, foreign[0])
    if os.path.lexists(folder / RESULTS) and not is_results(folder / RESULTS):
        raise _foreign(output_dir, RESULTS)


def _foreign_among(names: list[str], folder: Path, case: str, listed: bool) -> list[str]:
    """Which of the files of a case are not this program's."""
    # In this order: a claim goes when the manifest is there
    if not names or is_claimed(folder / FOLDER, case):
        return []
    manifest = read_manifest(manifest_file(folder, case))
    if manifest is None:
        return [] if listed else names
    own = {f"{case}.json", *manifest.get("files", names)}
    return [name for name in names if name not in own] if manifest["status"] == DONE else []


def _foreign(output_dir: str | Path, name: str, what: str = "OUT") -> InputError:
    return InputError(
        f"{what} is {output_dir}, which holds {name}, which this program did not write and might replace; give {what}= "
        "another folder."
    )


def _targets(folder: Path, case: str) -> list[Path]:
    below, _, name = case.rpartition("/")
    return [
        *(folder / f"{case}{suffix}" for suffix in RESULT_SUFFIXES),
        *(folder / below / beside / f"{name}.nii.gz" for beside in (UNCERTAINTY, PROBABILITIES)),
    ]


def is_results(file: Path) -> bool:
    """Whether a file is the table that `make predict` writes."""
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.readline().split(",")[:2] == list(COLUMNS[:2])
    except (OSError, UnicodeDecodeError):
        return False


def _listed(results: Path) -> frozenset[str]:
    """The cases of which an earlier table tells."""
    if not is_results(results):
        return frozenset()
    with results.open(newline="", encoding="utf-8") as stream:
        return frozenset(row["case"] for row in csv.DictReader(stream) if row["status"] != LEFT_OUT)


def holds_results(folder: Path) -> bool:
    """Whether a folder is one that this program wrote: of an earlier `make predict`, or of a cross-validation."""
    return is_results(folder / RESULTS) or all((folder / name).is_file() for name in STUDY_FILES)
