"""What INPUT of `make predict` stands for: scans to segment, each with a name of its own.

    pneumobundle scans INPUT      # lists them

A file, or zip file, gives its case the name that the user gave it, with the folders between INPUT and it. A DICOM study
is named by a hash of its UID: names of folders and files that a hospital's archive made hold names of patients.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import InputError, in_one_line
from pipeline.core.text_table import aligned
from pipeline.folders.layouts import (
    UNDERSTOOD,
    by_case,
    image_files,
    labels_by_name,
    recognise,
    unrecognised,
    without_labels,
)
from pipeline.folders.left_out import LeftOut
from pipeline.folders.manifest import is_result
from pipeline.folders.output_folder import holds_results
from pipeline.scans.scan import SUFFIXES, case_name
from pipeline.scans.scan_names import DICOM_SUFFIXES, has_header, voxels_of_headers, what_it_is

if TYPE_CHECKING:
    from pipeline.scans.dicom.series import Series

logger = logging.getLogger(__name__)

FILE, DICOM, ZIP = "file", "dicom", "zip"
# What a program gave, which lies nowhere
MEMORY = "memory"
ZIP_SUFFIX = ".zip"
# Beside SUFFIXES: of DICOM, what becomes of each series is told where it is read
READ_TOO = (ZIP_SUFFIX, *DICOM_SUFFIXES)
# Bytes: file systems allow 255, of which names of unfinished files and suffixes need 50
LONGEST_NAME = 200
UNDERSTOOD_INPUT = (f"{', '.join(SUFFIXES)} files, DICOM files or zip files of these, in folders or not", *UNDERSTOOD)

LEFT_OUT = (
    "INPUT holds a data set, whose images are segmented: %d other folder(s) beside them are left out; give them too."
)


@dataclass(frozen=True)
class Input:
    """One scan to segment.

    Args:
        case: its name, unique; with slashes where it lies in a folder below INPUT.
        kind: FILE, DICOM, ZIP, which is of DICOM files, or MEMORY.
        paths: absolute: the file, or the folders that hold a study's DICOM files; none of MEMORY.
        study: UID of the study that is meant; empty for the only one.
        series: UID of the series that is meant; empty for the CT series with the most slices.
    """

    case: str
    kind: str
    paths: tuple[Path, ...]
    study: str = ""
    series: str = ""

    @property
    def folder(self) -> str:
        """Of the results, below OUT; empty for OUT itself."""
        return self.case.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Of the results, in their folder."""
        return self.case.rpartition("/")[2]


def find_inputs(source: str | Path, output_dir: str | Path | None = None, series: str = "") -> list[Input]:
    """As `find_all`, without what is left out."""
    return find_all(source, output_dir, series)[0]


def find_all(
    source: str | Path, output_dir: str | Path | None = None, series: str = ""
) -> tuple[list[Input], list[LeftOut]]:
    """The scans that INPUT stands for, by name; of DICOM the begin of every file is read, of all else nothing.

    INPUT is an image file, a zip file of DICOM files, or a folder: in a layout that `pipeline.folders.layouts` knows
    its images are taken and its labels are not, else all scans in it and in the folders below. Hidden ones and
    `output_dir`, which may lie within, are left out; so are results of this program, and what looks like a scan but is
    not read, which come back as well. Links to folders are followed, each place once. With the UID of a `series` that
    one alone is meant. Raises InputError where there is nothing to segment, or two scans would have one name.
    """
    # Not resolve(): on a cluster a link is the path that every node knows, and its target often is not
    place = Path(os.path.abspath(source))
    # Unlike Path's own, false too for a name that no file can have
    if not os.path.lexists(place):
        raise InputError(f"{place}: there is no such file or folder; check the path.")
    if not place.is_dir():
        return _of_file(place, series), []
    if series:
        return [Input(f"series_{hashed_uid(series)}", DICOM, (place,), series=series)], []
    found: list[Input] = []
    left_out: list[LeftOut] = []
    studies = _Studies()
    for folder in _folders(place, output_dir, left_out):
        images = _images(folder, place)
        found += images
        left_out += _passed_over(folder, place)
        studies.add(folder)
    found += studies.inputs()
    left_out += studies.left_out
    if not found:
        told = f"; left out: {left_out[0].sentence}" if left_out else ""
        raise InputError(unrecognised(place, UNDERSTOOD_INPUT).removesuffix(".") + (told or "."))
    return found, left_out


def _passed_over(folder: Path, root: Path) -> list[LeftOut]:
    """Files of a folder that look like scans and are not read, and results that lie beside their manifests."""
    passed, files = [], _files(folder)
    labels = set() if recognise(folder) else labels_by_name(map(case_name, image_files(folder)))
    told = voxels_of_headers(files)
    for file in files:
        name = file.relative_to(root).as_posix()
        if is_result(file):
            passed.append(LeftOut(name, "is the result of an earlier predict", missed=False))
        elif case_name(file) in labels and file.name.lower().endswith(SUFFIXES):
            passed.append(LeftOut(name, "is by its name the label of another scan", missed=False))
        elif (
            file not in told
            and not has_header(file)
            and not file.name.lower().endswith((*SUFFIXES, ZIP_SUFFIX))
            and (what := what_it_is(file, READ_TOO))
        ):
            passed.append(LeftOut(name, what))
    return passed


def _of_file(file: Path, series: str) -> list[Input]:
    if file.name.lower().endswith(ZIP_SUFFIX):
        return [Input(_safe(_stem(file)), ZIP, (file,), series=series)]
    if file.name.lower().endswith(SUFFIXES):
        return _named(by_case([file]), "")
    studies, damaged = studies_of([file]) if file.is_file() else ([], 0)
    if studies:
        raise InputError(
            f"{file}: is one file of a DICOM study ({hashed_uid(studies[0])}); give the folder that it is in."
        )
    if damaged:
        raise InputError(f"{file}: is a damaged or empty DICOM file; copy it again, and give the folder that it is in.")
    raise InputError(f"{file}: is no image file; expected {', '.join((*SUFFIXES, ZIP_SUFFIX))}; convert it.")


def _folders(root: Path, output_dir: str | Path | None, left_out: list[LeftOut]) -> Iterator[Path]:
    """A folder and all below it, in the order of their names; none below one whose layout is known.

    What is passed over because this program wrote it is added to `left_out`.
    """
    real_root = os.path.realpath(root)
    seen = {real_root, *([] if output_dir is None else [os.path.realpath(output_dir)])}

    def is_new(folder: Path) -> bool:
        real = os.path.realpath(folder)
        # A link to a folder of this tree leads to what is walked anyway, or round in a circle
        if real in seen or (folder.is_symlink() and Path(real).is_relative_to(real_root)):
            return False
        seen.add(real)
        if not holds_results(folder):
            return True
        name = folder.relative_to(root).as_posix()
        left_out.append(LeftOut(name, "holds results of this program, no scans", missed=False))
        return False

    for name, folders, _ in os.walk(root, followlinks=True):
        folder = Path(name)
        # In place: what is taken off is not walked into
        folders[:] = sorted(each for each in folders if not each.startswith(".") and is_new(folder / each))
        yield folder
        if listing := recognise(folder):
            used = {file for case in listing.cases for file in (case.image, case.label) if file}
            unused = [each for each in folders if not any(file.is_relative_to(folder / each) for file in used)]
            if unused:
                # Not their names, which may be patients'
                logger.warning(LEFT_OUT, len(unused))
            folders.clear()


def _images(folder: Path, root: Path) -> list[Input]:
    """Image and zip files of one folder, by name."""
    below = folder.relative_to(root).as_posix()
    prefix = "" if below == "." else f"{below}/"
    if listing := recognise(folder):
        return _named({case.name: case.image for case in listing.cases}, prefix)
    archives = sorted(file for file in _files(folder) if file.name.lower().endswith(ZIP_SUFFIX))
    zipped = {_stem(file): file for file in archives}
    images = without_labels(by_case(file for file in image_files(folder) if not is_result(file)))
    if twice := sorted({*images} & {*zipped}):
        raise InputError(f"case {twice[0]}: occurs twice, as an image and as a zip file; remove or rename one of them.")
    return [*_named(images, prefix), *(Input(_safe(f"{prefix}{name}"), ZIP, (file,)) for name, file in zipped.items())]


def _named(images: Mapping[str, Path], prefix: str) -> list[Input]:
    return [Input(_safe(f"{prefix}{name}"), FILE, (path,)) for name, path in sorted(images.items())]


def _stem(archive: Path) -> str:
    return archive.name[: -len(ZIP_SUFFIX)]


def _safe(case: str) -> str:
    """A name in one line that can be written in UTF-8, each part of which is short enough for the names of results."""
    written = in_one_line(os.fsencode(case).decode("utf-8", "backslashreplace"))
    return "/".join(map(_shortened, written.split("/")))


def _shortened(name: str) -> str:
    written = name.encode()
    if len(written) <= LONGEST_NAME:
        return name
    return f"{written[: LONGEST_NAME - 13].decode('utf-8', 'ignore')}_{hashed_uid(name)}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())


class _Studies:
    """The DICOM studies of a tree, by every file of it: a study may lie in several folders, a folder hold several.

    Attributes:
        folders: of each study, by its UID.
        left_out: folders of which no file could be read, by their number, since their names may be patients'.
    """

    def __init__(self) -> None:
        self.folders: dict[str, list[Path]] = {}
        self.left_out: list[LeftOut] = []
        self.looked_at = 0
        # Of DICOM files how they are named, and of folders without any what is empty, by their number
        self.patterns: set[str] = set()
        self.empty: dict[int, list[str]] = {}

    def add(self, folder: Path) -> None:
        self.looked_at += 1
        from pipeline.scans.dicom.series import name_pattern

        files = _files(folder)
        voxels = voxels_of_headers(files)
        no_dicom = (*SUFFIXES, ZIP_SUFFIX)
        others = [file for file in files if file not in voxels and not file.name.lower().endswith(no_dicom)]
        studies, damaged = studies_of(others)
        for study in studies:
            self.folders.setdefault(study, []).append(folder)
        # Of a folder that holds studies it is told when these are read
        if studies:
            self.patterns.update(map(name_pattern, others))
        elif damaged:
            self.leave_out(self.looked_at, damaged)
        else:
            self.empty[self.looked_at] = [name_pattern(file) for file in others if not file.stat().st_size]

    def leave_out(self, number: int, damaged: int) -> None:
        why = f"holds {damaged} damaged or empty DICOM file(s) and none that can be read; copy it again"
        self.left_out.append(LeftOut(f"folder {number} of INPUT in the order of names", why))

    def inputs(self) -> list[Input]:
        for number, names in self.empty.items():
            if alike := sum(name in self.patterns for name in names):
                self.leave_out(number, alike)
        found = [
            Input(f"study_{hashed_uid(study)}", DICOM, tuple(there), study) for study, there in self.folders.items()
        ]
        return sorted(found, key=lambda each: each.case)


def studies_of(files: Iterable[Path]) -> tuple[list[str], int]:
    """UIDs of the studies that files are of, and how many DICOM files do not tell."""
    from pipeline.scans.dicom.file_start import DamagedHeaderError
    from pipeline.scans.dicom.study import study_uid

    found: dict[str, None] = {}
    damaged, study = 0, ""
    for file in files:
        named = file.name.lower().endswith(DICOM_SUFFIXES)
        try:
            study = study_uid(file, study) or study
        except DamagedHeaderError:
            damaged += 1
        except OSError:
            damaged += named
        else:
            damaged += named and not study
        if study:
            found[study] = None
    return [*found], damaged


def _series(item: Input) -> list[Series]:
    from pipeline.scans.dicom.series import find_series

    return [series for series in find_series(*item.paths) if series.study_uid == item.study]


def hashed_uid(uid: str) -> str:
    """Short, the same each time, and nobody's."""
    return hashlib.sha256(uid.encode()).hexdigest()[:12]


def listed(source: str | Path) -> str:
    """A line for each scan of an input, and of DICOM studies the series, with the UIDs that choose one."""
    found = find_inputs(source)
    parts = [aligned([["case", "kind", "path"], *([each.case, each.kind, str(each.paths[0])] for each in found)])]
    parts += [
        "\n".join([each.case, *(f"  {series}" for series in _series(each))]) for each in found if each.kind == DICOM
    ]
    return "\n\n".join(parts)
