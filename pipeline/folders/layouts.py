"""Recognising how a data folder is laid out, and listing its cases without reading a voxel."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from pipeline.core.annotation import ANNOTATES, Annotation
from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.core.labels import CODE_OF, CODES
from pipeline.folders.public_set import PUBLIC_PATIENTS, public_name
from pipeline.scans.scan import PNG, SUFFIXES, case_name

UNDERSTOOD = (
    "images/ + labels/ or masks/ with equal file names",
    "COVID-19-CT-Seg_20cases/ + Lung_and_Infection_Mask/ (Zenodo 3757476)",
    "ct_scans/ + lung_and_infection_mask/ (the same set on Kaggle)",
    "imagesTr/CASE_0000.nii.gz + labelsTr/CASE.nii.gz (nnU-Net)",
    'dataset.json with "training" (Decathlon)',
)
# As annotators' programs name the label of a scan
_LABEL_ENDING = re.compile(r"(?i)[ ._-](?:seg|segmentation|labels?|labelmap|masks?|gt|annotation)$")
_CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class Case:
    """One scan, its label map (None where there is none) and the patient it is of.

    `annotates` are the structures that manifest.json says its label annotates, `codes` what it says that the codes of
    the label's file are; None where it does not say.
    """

    name: str
    patient_id: str
    image: Path
    label: Path | None
    annotates: tuple[str, ...] | None = None
    codes: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Listing:
    """The cases of a folder by name, labels that belong to no image, and what the folder calls its label codes.

    Of several folders joined, `parts` has the listing of each by its folder, and each calls its codes itself.
    """

    layout: str
    cases: tuple[Case, ...]
    labels_without_image: tuple[Path, ...] = ()
    label_names: Mapping[int, str] = field(default_factory=dict)
    parts: Mapping[Path, Listing] = field(default_factory=dict)

    def by_folder(self, folder: Path) -> Mapping[Path, Listing]:
        """Folder -> what lies in it; `folder` is the one that this is of where it is not of several."""
        return self.parts or {folder: self}


def recognise(dataset_dir: str | Path) -> Listing | None:
    """The cases of a folder in any layout of UNDERSTOOD, None where it is none of them.

    Raises InputError where there is no folder, it holds no image, or a case name occurs twice.
    """
    # Not resolve(): on a cluster a link is the path that every node knows, and its target often is not.
    folder = Path(os.path.abspath(dataset_dir))
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; check the path.")
    for layout in (_decathlon, _nnunet, _images_and_labels, _zenodo, _kaggle):
        listing = layout(folder)
        if listing is None:
            continue
        if not listing.cases:
            raise InputError(f"{folder}: is laid out as {listing.layout} but holds no {', '.join(SUFFIXES)} image.")
        return _with_manifest(listing, folder)
    return None


def _with_manifest(listing: Listing, folder: Path) -> Listing:
    """With what manifest.json says of patients, label codes and what labels annotate, in every layout."""
    manifest = json_object(folder / "manifest.json")
    told = {str(entry.get("case")): str(entry["patient"]) for entry in _objects(manifest, "cases", "patient")}
    # A scan of the public set has its known patient
    told = {name: patient for name, patient in told.items() if public_name(name) not in PUBLIC_PATIENTS}
    annotates, codes = _annotates(manifest, folder), _codes(manifest, folder)
    cases = (
        replace(
            case,
            patient_id=told.get(case.name, case.patient_id),
            annotates=annotates.get(case.name, annotates.get("")),
            codes=codes,
        )
        for case in listing.cases
    )
    names = label_names_of(manifest.get("label_codes")) or listing.label_names
    return replace(listing, cases=tuple(cases), label_names=names)


def list_cases(dataset_dir: str | Path) -> Listing:
    """The cases of a folder in any layout of UNDERSTOOD; InputError where it is none of them."""
    listing = recognise(dataset_dir)
    if listing is None:
        raise InputError(unrecognised(dataset_dir, UNDERSTOOD))
    return listing


def unrecognised(dataset_dir: str | Path, understood: Iterable[str]) -> str:
    """One sentence on what lies in a folder and what was expected there."""
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in Path(dataset_dir).iterdir())
    found = ", ".join(entries[:8]) + (f" and {len(entries) - 8} more" if len(entries) > 8 else "")
    return f"{dataset_dir}: holds {found or 'nothing'}; arrange the scans as one of: {'; '.join(understood)}."


def image_files(folder: Path) -> list[Path]:
    """The image files directly in a folder, by name; not hidden ones (`._x.nii.gz` of macOS, unfinished writes).

    PNG files beside volumes are pictures of them and not counted. Links that lead nowhere and folders named as images
    are among them, for whoever reads them to say so: a case that is left out without a word is a lost patient.
    """
    if not folder.is_dir():
        return []
    wanted = (path for path in folder.iterdir() if path.name.lower().endswith(SUFFIXES))
    files = sorted(path for path in wanted if not path.name.startswith("."))
    return [path for path in files if not path.name.lower().endswith(PNG)] or files


def by_case(files: Iterable[Path], name_of: Callable[[Path], str] = case_name) -> dict[str, Path]:
    """Case name -> file; InputError where two files give one case."""
    named: dict[str, Path] = {}
    for path in files:
        name = name_of(path)
        if name in named:
            raise InputError(f"case {name}: occurs twice, as {named[name]} and {path}; remove or rename one of them.")
        named[name] = path
    return named


def _images_and_labels(folder: Path) -> Listing | None:
    if not (folder / "images").is_dir():
        return None
    images = by_case(image_files(folder / "images"))
    labels = by_case(image_files(folder / "labels") or image_files(folder / "masks"))
    return _listing("images-labels", images, labels)


def _zenodo(folder: Path) -> Listing | None:
    if not (folder / "COVID-19-CT-Seg_20cases").is_dir():
        return None
    images = by_case(image_files(folder / "COVID-19-CT-Seg_20cases"), _public_case)
    return _listing("zenodo", images, by_case(image_files(folder / "Lung_and_Infection_Mask"), _public_case))


def _kaggle(folder: Path) -> Listing | None:
    if not (folder / "ct_scans").is_dir():
        return None
    pairs, files = _kaggle_pairs(folder / "metadata.csv"), image_files(folder / "ct_scans")
    if missing := sorted(pairs.keys() - {case_name(path) for path in files}):
        raise InputError(f"{folder}: metadata.csv names {', '.join(missing)}, not in ct_scans/; download them again.")
    # The label has the regular name, so its row in metadata.csv names the image.
    images = by_case(files, lambda path: public_name(pairs.get(case_name(path), case_name(path))))
    return _listing("kaggle", images, by_case(image_files(folder / "lung_and_infection_mask"), _public_case))


def _kaggle_pairs(table: Path) -> dict[str, str]:
    """Name of an image -> name of its label, both without the folders, which are Kaggle's; {} without metadata.csv."""
    if not table.is_file():
        return {}
    image, label = "ct_scan", "lung_and_infection_mask"
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{table}: not readable as a table ({error}); download it again or delete it.") from error
    if any(not row.get(image) or not row.get(label) for row in rows):
        raise InputError(f"{table}: a row lacks {image} or {label}; download the table again or delete it.")
    return {case_name(row[image]): case_name(row[label]) for row in rows}


def _nnunet(folder: Path) -> Listing | None:
    if not _has_channel_numbers(folder):
        return None
    description = json_object(folder / "dataset.json")
    channels = description.get("channel_names") or description.get("modality") or {}
    files = image_files(folder / "imagesTr")
    if others := [path.name for path in files if not case_name(path).endswith("_0000")]:
        raise InputError(f"{folder}: imagesTr holds {others[0]}; expected one CT channel, all names ending in _0000.")
    if isinstance(channels, dict | list) and len(channels) > 1:
        raise InputError(f"{folder}: dataset.json has {len(channels)} channels; expected one, CT; remove the others.")
    # Version 1 may list its training cases, without channel numbers; the files say the same.
    images = by_case(files, lambda path: case_name(path).removesuffix("_0000"))
    labels = by_case(image_files(folder / "labelsTr"))
    return _listing("nnunet", images, labels, label_names=label_names_of(description.get("labels")))


def _has_channel_numbers(folder: Path) -> bool:
    return any(_CHANNEL.fullmatch(case_name(path)) for path in image_files(folder / "imagesTr"))


def _decathlon(folder: Path) -> Listing | None:
    description = json_object(folder / "dataset.json")
    items = _objects(description, "training", "image")
    for kind in ("image", "label"):
        if others := [item[kind] for item in items if item.get(kind) and not isinstance(item[kind], str)]:
            raise InputError(
                f"{folder}: dataset.json gives {others[0]} as a case's {kind}; expected the name of a file."
            )
    items = [item for item in items if item["image"]]
    images = by_case(Path(os.path.abspath(folder / item["image"])) for item in items)
    # nnU-Net's version 1 lists images without their channel numbers, so none of them is there.
    if not items or (_has_channel_numbers(folder) and not any(map(os.path.isfile, images.values()))):
        return None
    named = dict(zip(images, items, strict=True))
    labels = {name: Path(os.path.abspath(folder / item["label"])) for name, item in named.items() if item.get("label")}
    patients = {name: str(item["patient_id"]) for name, item in named.items() if item.get("patient_id")}
    return _listing("decathlon", images, labels, patients, label_names_of(description.get("labels")))


def _listing(
    layout: str,
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
    patients: Mapping[str, str] | None = None,
    label_names: Mapping[int, str] | None = None,
) -> Listing:
    """Images joined to labels by case name; a scan of the public set has its known patient in every layout."""
    patients, labels = patients or {}, _joined(images, labels)
    cases = []
    for name in sorted(images):
        patient_id = PUBLIC_PATIENTS.get(public_name(name), patients.get(name, name))
        cases.append(Case(name, patient_id, images[name], labels.get(name)))
    orphans = tuple(labels[name] for name in sorted(labels.keys() - images.keys()))
    return Listing(layout, tuple(cases), orphans, label_names or {})


def labels_by_name(names: Iterable[str]) -> set[str]:
    """Names among these that are another one's with the ending of a label, as `x_seg` beside `x`."""
    every = set(names)
    return {name for name in every if (plain := _LABEL_ENDING.sub("", name)) != name and plain in every}


def without_labels(images: Mapping[str, Path]) -> dict[str, Path]:
    """Image files by name, without those of `labels_by_name`."""
    labels = labels_by_name(images)
    return {name: file for name, file in images.items() if name not in labels}


def _joined(images: Mapping[str, Path], labels: Mapping[str, Path]) -> dict[str, Path]:
    """Labels by the names of their images: one whose name has an ending (`x_seg`, `x.seg`) that its image has not."""
    joined = {name: file for name, file in labels.items() if name in images}
    others: dict[str, list[tuple[str, Path]]] = {}
    for name, file in labels.items():
        if name not in joined:
            others.setdefault(_LABEL_ENDING.sub("", name), []).append((name, file))
    for plain, found in others.items():
        # Two labels of one image: nobody knows which is meant
        alone = len(found) == 1 and plain in images and plain not in joined
        joined |= {plain if alone else name: file for name, file in found}
    return joined


def _public_case(path: Path) -> str:
    return public_name(case_name(path))


def label_names_of(labels: Any) -> dict[int, str]:
    """Code -> name, from {"1": "left lung"} or, as in nnU-Net's version 2, {"left lung": 1}."""
    names = {}
    for key, value in labels.items() if isinstance(labels, dict) else ():
        if key.isdecimal():
            names[int(key)] = str(value)
        elif isinstance(value, int):
            names[value] = key
    return names


def _annotates(manifest: Mapping[str, Any], folder: Path) -> dict[str, tuple[str, ...]]:
    """What the labels annotate, by case; of the others by the name "", where the manifest says it of the folder."""
    of_cases = {str(entry.get("case")): entry[ANNOTATES] for entry in _objects(manifest, "cases", ANNOTATES)}
    given = {**({"": manifest[ANNOTATES]} if ANNOTATES in manifest else {}), **of_cases}
    for case, names in given.items():
        whose = f"{folder / 'manifest.json'}{case and f', case {case}'}: "
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f'{whose}annotates is {names!r}; expected a list of structures, such as ["infection"].')
        Annotation.of(names, whose)
    return {case: tuple(names) for case, names in given.items()}


def _codes(manifest: Mapping[str, Any], folder: Path) -> dict[str, str] | None:
    """What the codes of label files mean, where they are not the project's own."""
    codes = manifest.get(CODES)
    if codes is None:
        return None
    example = json.dumps({CODES: {"1": "right_lung", "2": "left_lung"}})
    if not isinstance(codes, dict) or not codes or not all(code.isdecimal() for code in codes):
        raise InputError(f"{folder / 'manifest.json'}: codes is {codes!r}; expected a table such as {example}.")
    for code, name in codes.items():
        if name not in CODE_OF:
            raise InputError(
                f"{folder / 'manifest.json'}: codes calls {code} {name!r}; expected one of {', '.join(CODE_OF)}."
            )
    return codes


def json_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where there is no file."""
    if not file.is_file():
        return {}
    try:
        content = read_json(file)
    # Lists within lists by the thousand end in the last one
    except (JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{file}: not readable as JSON ({error}); correct it or delete it.") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: holds a {type(content).__name__}; expected a JSON object; correct it or delete it.")
    return content


def _objects(description: Mapping[str, Any], key: str, needed: str) -> list[dict[str, Any]]:
    """The objects of a list in a description that have the needed key with a value."""
    entries = description.get(key)
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [entry for entry in found if entry.get(needed) is not None]
