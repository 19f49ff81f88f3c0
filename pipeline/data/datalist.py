"""A data folder as a MONAI-style datalist, every file read to its end before anything is trained on it.

pneumobundle datalist DATA --out datalist.json
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from pipeline.check_data.finding import ERROR, WARNING, Finding, of_level
from pipeline.core.annotation import check_annotated
from pipeline.core.atomic import read_json, write_json
from pipeline.core.errors import InputError
from pipeline.core.labels import CONSOLIDATION, GROUND_GLASS, INFECTION, KINDS, LABEL_NAMES, UNSPECIFIED, LabelMap
from pipeline.folders.output_folder import check_file
from pipeline.folders.several import Data, below, common_folder, data_folders, folders_of, list_all, told

logger = logging.getLogger(__name__)

# Of one kind, in a log
MOST_WARNINGS = 5
# That a file needs for being a datalist
KEYS = frozenset({"dataset_dir", "training"})


def read_datalist(dataset_dir: Data) -> dict[str, Any]:
    """The labelled cases of a folder in any layout of `pipeline.folders.layouts`, or of several, read and checked.

    Gives layout, dataset_dir (absolute), label_codes and training, a list by case of case, patient_id, image and label
    (relative to dataset_dir), intensity, spacing_mm and size (x, y, z), volume_ml of each structure and, where a label
    tells them, of the kinds of infection, annotates where a label does not annotate everything, and the SHA-256 of both
    files. Of several folders, dataset_dir holds them all, and `folders` names them (relative to it). Raises one
    InputError that tells every error of `pipeline.check_data`, and logs its warnings.
    """
    datalist, findings = checked_datalist(dataset_dir)
    log_warnings(findings)
    log_left_out(dataset_dir)
    return datalist


def log_left_out(dataset_dir: Data) -> None:
    """A line for what of a data set's folders looks like scans or labels, and is no part of any case."""
    from pipeline.check_data.passed_over import passed_over

    left_out = passed_over(list_all(dataset_dir), common_folder(data_folders(dataset_dir)))
    missed = [each for each in left_out if each.missed]
    if missed:
        more = f"; {len(missed) - 1} more, which make check-data lists" if missed[1:] else ""
        logger.warning("left out of training: %s%s", missed[0].sentence.removesuffix("."), f"{more}.")


def log_warnings(findings: Iterable[Finding]) -> None:
    """A line a warning; where many cases have the same, one line for all of them."""
    alike: dict[str, list[Finding]] = {}
    for finding in of_level(findings, WARNING):
        alike.setdefault(finding.check, []).append(finding)
    for same in alike.values():
        for finding in same if len(same) <= MOST_WARNINGS else same[:1]:
            logger.warning("%s", finding.sentence)
        if len(same) > MOST_WARNINGS:
            logger.warning("%d more findings like the last one; make check-data lists them.", len(same) - 1)


def checked_datalist(dataset_dir: Data) -> tuple[dict[str, Any], list[Finding]]:
    """As `read_datalist`, and what was found that is no error."""
    # Not at the top: a machine that trains from a filled cache may lack SimpleITK
    from pipeline.check_data.check import check_labelled

    listing, folders = list_all(dataset_dir), data_folders(dataset_dir)
    checked, findings = check_labelled(listing, common_folder(folders))
    raise_errors(folders, findings)
    return {
        "layout": listing.layout,
        "dataset_dir": str(common_folder(folders)),
        **below(folders),
        "label_codes": {str(code): name for code, name in LABEL_NAMES.items()},
        "training": [one.entry for one in checked],
    }, findings


def write_datalist(dataset_dir: Data, file: str | Path) -> dict[str, Any]:
    """As `read_datalist`, and written to a JSON file; InputError where that is there and no datalist."""
    check_file(file, KEYS)
    datalist = read_datalist(dataset_dir)
    write_json(file, datalist)
    return datalist


def load_datalist(file: str | Path) -> dict[str, Any]:
    """A datalist from its JSON file; nothing is read of the data itself."""
    make_it = f"make it with `pneumobundle datalist DATA --out {file}`"
    try:
        datalist = read_json(file)
    except FileNotFoundError as error:
        raise InputError(f"{file}: there is no such datalist; {make_it}.") from error
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not readable as JSON ({error}); {make_it}.") from error
    if not isinstance(datalist, dict) or not datalist.keys() >= KEYS:
        raise InputError(f"{file}: is not a datalist, which has dataset_dir and training; {make_it}.")
    return datalist


def check_labels(datalist: Mapping[str, Any], classes: LabelMap) -> None:
    """Raise InputError where the labels of a datalist cannot teach one of the classes."""
    check_kinds(datalist, classes)
    check_annotated(datalist["training"], classes)


def check_kinds(datalist: Mapping[str, Any], classes: LabelMap) -> None:
    """Raise InputError where classes are kinds of infection and the labels of a datalist do not tell the kinds."""
    if not classes.tells_kinds:
        return
    wanted = ", ".join(f"{code} {LABEL_NAMES[code]}" for code in (GROUND_GLASS, CONSOLIDATION))
    mend = f"label infection as {wanted}, or choose a network that finds infection of any kind"
    volumes_ml = {entry["case"]: entry["volume_ml"] for entry in datalist["training"]}
    if not any(name in volumes for volumes in volumes_ml.values() for name in KINDS):
        raise InputError(
            f"{told(folders_of(datalist))}: none of its labels tells the kinds of infection apart; {mend}."
        )
    for case, volumes in volumes_ml.items():
        if UNSPECIFIED in volumes or (volumes.get("infection") and not {*KINDS} <= volumes.keys()):
            raise InputError(f"case {case}: has infection of no kind (code {INFECTION}); {mend}.")


def raise_errors(folders: Sequence[Path], findings: Iterable[Finding]) -> None:
    """One InputError for all errors: as it is where it is one, else counted and one a line."""
    sentences = [finding.sentence for finding in of_level(findings, ERROR)]
    if len(sentences) == 1:
        raise InputError(sentences[0])
    if sentences:
        raise InputError(f"{told(folders)}: {len(sentences)} problems were found.", *sentences)
