"""The scans of a folder, one by one, whether they have labels or not."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.core.errors import InputError
from pipeline.folders.layouts import (
    UNDERSTOOD,
    by_case,
    image_files,
    recognise,
    unrecognised,
    without_labels,
)
from pipeline.folders.several import Data, data_folders, once
from pipeline.scans.scan import SUFFIXES


def scans(data: Data) -> list[dict[str, str]]:
    """Scans to segment, by case: one image file, a plain folder of image files, or the images of a known layout.

    Or several of these. Each is {"case", "image"} with an absolute path; labels are not looked at. Raises InputError
    where one has no scan, or two have a case of the same name.
    """
    images = once(map(_images, data_folders(data)))
    return [{"case": name, "image": str(image)} for name, image in sorted(images.items())]


def _images(place: Path) -> dict[str, Path]:
    # Unlike Path's own, false too for a name that no file can have
    if not os.path.lexists(place):
        raise InputError(f"{place}: there is no such file or folder; check the path.")
    if not place.is_dir():
        if not place.name.lower().endswith(SUFFIXES):
            raise InputError(f"{place}: is no image file; expected {', '.join(SUFFIXES)}; convert it.")
        images = by_case([place])
    elif listing := recognise(place):
        images = {case.name: case.image for case in listing.cases}
    else:
        images = without_labels(by_case(image_files(place)))
    if not images:
        raise InputError(unrecognised(place, (f"a plain folder of {', '.join(SUFFIXES)} files", *UNDERSTOOD)))
    return images
