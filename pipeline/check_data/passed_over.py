"""What lies in a data set's folder and looks like scans or labels, and is no part of any of its cases."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from pipeline.folders.layouts import Listing, labels_by_name
from pipeline.folders.left_out import LeftOut
from pipeline.folders.manifest import is_result
from pipeline.folders.output_folder import holds_results
from pipeline.scans.scan import PNG, SUFFIXES, case_name
from pipeline.scans.scan_names import has_header, voxels_of_headers, what_it_is

# nnU-Net's test cases, which nobody trains on
TEST_FOLDERS = ("imagests", "labelsts")


def passed_over(listing: Listing, folder: Path) -> list[LeftOut]:
    """By folder and file; what is hidden, and pictures in PNG beside volumes, nobody would miss.

    Of all folders of a data set; `folder` is its own, or what holds them all.
    """
    used = {file for case in listing.cases for file in (case.image, case.label) if file}
    used |= {*listing.labels_without_image}
    used |= voxels_of_headers(used)
    names = {case.name for case in listing.cases} | {case_name(file) for file in used}
    places = listing.by_folder(folder)
    return [each for place in places for each in _below(place, folder, used, names, {*places} - {place})]


def _below(top: Path, folder: Path, used: set[Path], names: set[str], others: set[Path]) -> list[LeftOut]:
    """In one folder of a data set, without `others`, which have their turn too."""
    found = []
    for place, below, files in os.walk(top):
        here = Path(place)
        below[:] = sorted(name for name in below if not name.startswith(".") and here / name not in others)
        linked = [name for name in below if (here / name).is_symlink() and not _leads_to_used(here / name, used)]
        found += [LeftOut(_name(here / name, folder), "is a link to a folder; give its target") for name in linked]
        own = [name for name in below if holds_results(here / name)]
        found += [LeftOut(_name(here / name, folder), "holds results of this program", missed=False) for name in own]
        below[:] = [name for name in below if name not in own]
        paths = [here / name for name in sorted(files) if not name.startswith(".")]
        found += _of_folder([path for path in paths if path not in used], folder, here, names)
    return found


def _leads_to_used(link: Path, used: set[Path]) -> bool:
    return any(file.is_relative_to(link) for file in used)


def _of_folder(paths: list[Path], folder: Path, here: Path, names: set[str]) -> list[LeftOut]:
    """Files that are not read, those of one kind as one; images of a place that is not looked at likewise."""
    images, kinds = defaultdict(list), defaultdict(list)
    told = voxels_of_headers(paths)
    for path in paths:
        if path.name.lower().endswith(SUFFIXES):
            if not path.name.lower().endswith(PNG):
                images[is_result(path)].append(path)
        elif path not in told and not has_header(path) and (what := what_it_is(path)):
            kinds[what].append(path)
    found = [LeftOut(_names(files, folder), what) for what, files in kinds.items()]
    for own, files in images.items():
        why = f"{len(files)} image(s), such as {files[0].name}, lie where this layout has none; move them or give them"
        # Other labels of cases that are used, as several sets have them
        alone = {case_name(file).removesuffix("_0000") for file in files} - names
        alike = alone <= labels_by_name({*alone, *names})
        missed = not own and not alike and here.name.lower() not in TEST_FOLDERS
        found.append(LeftOut(_name(here, folder), "results of make predict" if own else why, missed))
    return found


def _names(files: list[Path], folder: Path) -> str:
    """The first of them, and how many more there are."""
    return _name(files[0], folder) + (f" and {len(files) - 1} more there" if files[1:] else "")


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")
