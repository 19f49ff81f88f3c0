"""DATA of one folder or of several: which folders are named, and their cases as one data set.

    make cv DATA="mosmed covid20 'our own scans'"

A datalist of several folders has the folder that holds them all as its `dataset_dir`, and `folders` below it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.folders.layouts import Listing, list_cases

# A text is one folder, or several as a shell's words; elements of a sequence are one folder each
Data = str | Path | Sequence[str | Path]

IN_QUOTES = "a name with spaces stands in quotes: \"scans 'more scans'\""
# In the name of a data set
SHOWN = 3


def named_folders(data: Data) -> list[str]:
    """The folders that are named, as they were given, in the order of their absolute paths.

    A text that is there as a whole, or has no space, is one. `~` is understood where words are split, which no shell
    has seen one by one. Nothing else is looked at: the scans may be on another machine. Raises InputError where a
    folder is named twice, and for quotes that do not end.
    """
    if isinstance(data, str):
        whole = os.path.lexists(data) or not any(map(str.isspace, data))
        names = [data] if whole else [os.path.expanduser(word) for word in _words(data)]
    else:
        names = [str(data)] if isinstance(data, Path) else [str(each) for each in data]
    if not names:
        raise InputError(f"{data!r} names no folder; expected one, or several with spaces between.")
    places = [os.path.abspath(name) for name in names]
    if twice := [place for place in places if places.count(place) > 1]:
        raise InputError(f"{twice[0]}: is named twice; name each folder once.")
    return sorted(names, key=os.path.abspath)


def _words(text: str) -> list[str]:
    """The words of a text, as a shell splits them."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if os.sep == "\\":
        # Of Windows: it separates folders there
        lexer.escape = ""
    try:
        return list(lexer)
    except ValueError as error:
        raise InputError(
            f"{text}: there is no such folder, and as several it has quotes that do not end; {IN_QUOTES}."
        ) from error


def data_folders(data: Data) -> list[Path]:
    """As `named_folders`, absolute."""
    # Not resolve(): on a cluster a link is the path that every node knows, and its target often is not
    return [Path(os.path.abspath(name)) for name in named_folders(data)]


def one_or_several(data: Data) -> str | list[str]:
    """What a configuration says: the text of one folder, a list of several."""
    names = named_folders(data)
    return names if names[1:] else names[0]


def told(data: Data) -> str:
    """The folders in a sentence."""
    return " and ".join(named_folders(data))


def set_name(folders: Sequence[Path]) -> str:
    """A short name of a data set: those of its folders, with what is above them where two are called alike."""
    names = [folder.name for folder in folders]
    if len({*names}) < len(names):
        above = common_folder(folders).parent
        names = [folder.relative_to(above).as_posix() for folder in folders]
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return " + ".join([*names[:SHOWN], *more])


def output_name(folders: Sequence[Path]) -> str:
    """`set_name` as the name of a folder for results."""
    name = set_name(folders)
    return name.replace(" + ", "+").replace("/", "-").replace(" ", "_") if folders[1:] else name


def common_folder(folders: Sequence[Path]) -> Path:
    """The folder itself where it is one, else the lowest that holds them all."""
    if len(folders) == 1:
        return folders[0]
    try:
        return Path(os.path.commonpath(folders))
    except ValueError as error:
        raise InputError(f"{told(folders)}: lie on several drives; copy them to one.") from error


def below(folders: Sequence[Path]) -> dict[str, list[str]]:
    """What a datalist says of several folders beside its `dataset_dir`; nothing for one."""
    root = common_folder(folders)
    return {"folders": [folder.relative_to(root).as_posix() for folder in folders]} if folders[1:] else {}


def folders_of(datalist: Mapping[str, Any], root: Path | None = None) -> list[Path]:
    """The folders of a datalist; `root` is where its `dataset_dir` is now, None for where it was."""
    return [Path(root or datalist["dataset_dir"]) / name for name in datalist.get("folders", ["."])]


def list_all(data: Data, read: Callable[[Path], Listing] = list_cases) -> Listing:
    """The cases of all folders as one listing; `read` lists one of them, and raises InputError where it cannot."""
    folders = data_folders(data)
    if folders[1:] and (missing := [folder for folder in folders if not os.path.lexists(folder)]):
        raise InputError(
            f"{missing[0]}: there is no such folder, one of {len(folders)} that are named; check the path; {IN_QUOTES}."
        )
    return joined({folder: read(folder) for folder in folders})


def joined(parts: Mapping[Path, Listing]) -> Listing:
    """Listings of folders as one, its cases by name; that of one folder as it is.

    Raises InputError where two have a case of the same name, which no result could tell apart.
    """
    listings = [*parts.values()]
    if len(listings) == 1:
        return listings[0]
    once({case.name: case.image for case in listing.cases} for listing in listings)
    cases = sorted((case for listing in listings for case in listing.cases), key=lambda case: case.name)
    orphans = [file for listing in listings for file in listing.labels_without_image]
    layouts = " + ".join(dict.fromkeys(listing.layout for listing in listings))
    return Listing(layouts, tuple(cases), tuple(orphans), parts=dict(parts))


def once(images: Iterable[Mapping[str, Path]]) -> dict[str, Path]:
    """The scans of several folders, case -> file; InputError naming both files where two are of one case."""
    every: dict[str, Path] = {}
    for own in images:
        if both := sorted(every.keys() & own.keys()):
            raise InputError(
                f"case {both[0]}: occurs in two folders, as {every[both[0]]} and {own[both[0]]}; rename one of them, "
                "its label and its line in manifest.json too, or remove it."
            )
        every |= own
    return every
