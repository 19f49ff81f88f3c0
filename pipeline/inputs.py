"""What INPUT of `make predict` stands for: scans to segment, each with a name of its own.

    python -m pipeline.inputs INPUT      # lists them

A name is that of the user's file, with the folders between INPUT and it; results are written under the same name.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.table import aligned
from pipeline.errors import InputError, report_plainly
from pipeline.layouts import UNDERSTOOD, by_case, image_files, recognise, unrecognised
from pipeline.scan import SUFFIXES

FILE = "file"


@dataclass(frozen=True)
class Input:
    """One scan to segment.

    Args:
        case: its name, unique; with slashes where it lies in a folder below INPUT.
        kind: FILE.
        path: of it, absolute.
    """

    case: str
    kind: str
    path: Path

    @property
    def folder(self) -> str:
        """Of the results, below OUT; empty for OUT itself."""
        return self.case.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Of the results, in their folder."""
        return self.case.rpartition("/")[2]


def find_inputs(source: str | Path, output_dir: str | Path | None = None) -> list[Input]:
    """The scans that INPUT stands for, by name; nothing is read of any of them.

    INPUT is an image file, or a folder: in a layout that `pipeline.layouts` knows its images are taken and its labels
    are not, else all image files in it and in the folders below. Hidden ones and `output_dir`, which may lie within,
    are left out. Raises InputError where there is nothing to segment, or two scans would have one name.
    """
    # Not resolve(): on a cluster a link is the path that every node knows, and its target often is not
    place = Path(os.path.abspath(source))
    if not place.exists():
        raise InputError(f"{place}: there is no such file or folder; check the path.")
    if place.is_file():
        if not place.name.lower().endswith(SUFFIXES):
            raise InputError(f"{place}: is no image file; expected {', '.join(SUFFIXES)}; convert it.")
        return _named(by_case([place]), "")
    found = list(_below(place, None if output_dir is None else Path(os.path.abspath(output_dir))))
    if not found:
        raise InputError(unrecognised(place, (f"{', '.join(SUFFIXES)} files, in folders or not", *UNDERSTOOD)))
    return found


def _below(root: Path, left_out: Path | None) -> Iterator[Input]:
    """Of a folder and all below it, in the order of their names."""
    for name, folders, _ in os.walk(root):
        folder = Path(name)
        # In place: what is taken off is not walked into
        folders[:] = sorted(each for each in folders if not each.startswith(".") and folder / each != left_out)
        below = folder.relative_to(root).as_posix()
        if listing := recognise(folder):
            folders.clear()
            images = {case.name: case.image for case in listing.cases}
        else:
            images = by_case(image_files(folder))
        yield from _named(images, "" if below == "." else f"{below}/")


def _named(images: dict[str, Path], prefix: str) -> list[Input]:
    return [Input(f"{prefix}{name}", FILE, path) for name, path in sorted(images.items())]


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    parser = argparse.ArgumentParser(prog="python -m pipeline.inputs", description="List the scans of a folder.")
    parser.add_argument("input", help="an image file, or a folder of them")
    found = find_inputs(parser.parse_args(arguments).input)
    print(aligned([["case", "kind", "path"], *([each.case, each.kind, str(each.path)] for each in found)]))


if __name__ == "__main__":
    main()
