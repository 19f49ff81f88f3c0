"""What a cascade's first stage found in cases, for its second stage to be trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.scans.scan import file_sha256


def with_found(cases: Sequence[dict[str, Any]], found_dir: str | None, fold: int) -> list[dict[str, Any]]:
    """Entries of the datalist with what a first stage found, `<found_dir>/fold<k>/<case>.nii.gz`.

    As they are where there is no such folder: lungs and infection are then those of the reference.
    """
    if found_dir is None:
        return list(cases)
    found = []
    for case in cases:
        file = Path(found_dir) / f"fold{fold}" / f"{case['case']}.nii.gz"
        if not file.is_file():
            raise InputError(f"case {case['case']}: the first stage has not segmented it, there is no {file}.")
        found.append({**case, "found": str(file), "found_sha256": file_sha256(file)})
    return found
