"""Cases as other programs name them, a scan and its label and nothing else, completed to entries of the datalist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.annotation import ANNOTATES
from pipeline.core.errors import InputError
from pipeline.core.labels import CODES
from pipeline.scans.scan import case_name, file_sha256

HASHES = {"image": "image_sha256", "label": "label_sha256"}
# What a training reads of an entry of the datalist; `slices` are those of a pseudo label alone
READ = ("case", *HASHES, *HASHES.values(), "found", "found_sha256", "slices", ANNOTATES, CODES)


def as_read(cases: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries with what a training reads of them and nothing else: MONAI's statistics take every value for a path."""
    return [{key: case[key] for key in READ if key in case} for case in cases]


def completed(cases: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Cases with a name and the hashes of their files, by which prepared ones are known; what has them stays.

    A name that another case has gets that of the folder before it. Raises InputError where a file is not named, or not
    there.
    """
    given = list(cases)
    named = _names(given)
    return [_completed(case, name) for case, name in zip(given, named, strict=True)]


def _names(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [str(case.get("case") or case_name(_file(case, "image"))) for case in cases]
    twice = {name for name in names if names.count(name) > 1}
    return [
        f"{Path(_file(case, 'image')).parent.name}_{name}" if name in twice and not case.get("case") else name
        for case, name in zip(cases, names, strict=True)
    ]


def _completed(case: Mapping[str, Any], name: str) -> dict[str, Any]:
    missing = {kept: _file(case, key) for key, kept in HASHES.items() if kept not in case}
    for file in missing.values():
        if not Path(file).is_file():
            raise InputError(f"case {name}: there is no {file}.")
    return {**case, "case": name, **{kept: file_sha256(file) for kept, file in missing.items()}}


def _file(case: Mapping[str, Any], key: str) -> str:
    try:
        return str(case[key])
    except KeyError as error:
        raise InputError(
            f"a case has no {key}: {dict(case)}; expected the paths of a scan and of its label."
        ) from error
