"""Prepared cases on disk: memory-mapped arrays, keyed by what they were made from."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.claims import FOLDER as CLAIMS
from pipeline.core.claims import Claims, each_when_done
from pipeline.core.errors import InputError
from pipeline.core.labels import CODES, LABEL_CODES
from pipeline.core.progress_bar import progress_bar
from pipeline.core.several_processes import first_alone
from pipeline.scans.front import Front
from pipeline.scans.scan import read_label, read_scan

logger = logging.getLogger(__name__)
WAIT_S = 0.5


class CaseCache:
    """Prepares each case once and keeps it as `.npy`.

    A case is an entry of the datalist, with `found` and `found_sha256` where a cascade's second network sees what the
    first one found, the lungs or the infection, in that file instead of the reference's; `slices` keeps those axial
    slices of the prepared scan alone, by number.

    An entry is a folder `<case>-<key>` with `image.npy` (float16, (C, H, W, D)), `label.npy` (uint8, (1, H, W, D)) and
    `counts.npy`, how many voxels of each label code a slice has, (D, codes). The key is a hash of both source files'
    content and of every setting of the front, so a changed setting or file never finds a stale entry. A folder is
    renamed into place when it is complete; several processes may fill one cache.
    """

    def __init__(self, folder: str | Path, front: Front) -> None:
        self.folder = Path(folder)
        self.front = front

    def path(self, case: dict[str, Any]) -> Path:
        """Folder of a case; `case` is an entry of the datalist."""
        made_from = [case["image_sha256"], case["label_sha256"], self.front.settings()]
        if self.front.second:
            made_from.append(case.get("found_sha256", case["label_sha256"]))
        # Told apart by their kinds, a list and a table
        made_from += [case[key] for key in ("slices", CODES) if key in case]
        key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]
        return self.folder / f"{case['case']}-{key}"

    def fill(self, cases: Sequence[dict[str, Any]], threads: int = 2) -> None:
        """Prepare what is missing; SimpleITK works outside Python's lock, so threads suffice.

        Of several processes of one training the first one prepares. Others that fill the same folder, as the tasks of a
        SLURM array do, share the work: each scan is claimed by one of them, and what others are at is waited for.
        """
        with first_alone():
            self._fill(cases, threads)

    def _fill(self, cases: Sequence[dict[str, Any]], threads: int) -> None:
        missing = [case for case in cases if not self.path(case).is_dir()]
        if not missing:
            return
        for case in missing:
            if not Path(case["image"]).is_file():
                raise InputError(
                    f"case {case['case']}: is not prepared in {self.folder} with these settings, and its scan "
                    f"{case['image']} is not there; fill the cache with `make cache` where the scans are, and copy it."
                )
        logger.info("Preparing %d of %d scans into %s", len(missing), len(cases), self.folder)
        with Claims(self.folder / CLAIMS) as claims, ThreadPoolExecutor(threads) as pool:
            there = each_when_done(missing, partial(self._claimed, claims), WAIT_S, pool.map)
            for _ in progress_bar(there, total=len(missing), what="preparing scans"):
                pass

    def _claimed(self, claims: Claims, case: dict[str, Any]) -> Path | None:
        """The folder of a case that is prepared, by this process or another one; None where another is at it."""
        target = self.path(case)
        with claims.held(target.name) as claim:
            if claim and not target.is_dir():
                self._prepare(case)
        return target if claim or target.is_dir() else None

    def load(self, case: dict[str, Any]) -> dict[str, np.ndarray]:
        """Memory maps of `image` and `label`; only the voxels that are touched are read."""
        folder = self.path(case)
        # Copy-on-write: torch refuses read-only memory, and the files stay as they are.
        return {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("image", "label")}

    def counts(self, case: dict[str, Any]) -> np.ndarray:
        """Voxels of each label code in each axial slice, int64 (D, codes)."""
        return np.load(self.path(case) / "counts.npy")

    def _prepare(self, case: dict[str, Any]) -> None:
        scan, annotation = read_scan(case["image"]), read_label(case["label"], case.get(CODES))
        # The datalist lets their headers differ by rounding, which may be a voxel on the prepared grid.
        annotation.CopyInformation(scan)
        # Where no network has found anything, it is what the reference has
        found = read_scan(case["found"]) if "found" in case else self.front.found_by_reference(annotation)
        image = self.front.image(scan, f"case {case['case']}", found)
        label = self.front.label(annotation)
        if "slices" in case:
            image, label = image[..., case["slices"]], label[..., case["slices"]]
        target = self.path(case)
        temporary = target.with_name(f".{uuid.uuid4().hex}")
        temporary.mkdir(parents=True)
        try:
            np.save(temporary / "image.npy", image.astype(np.float16))
            np.save(temporary / "label.npy", label[None])
            np.save(temporary / "counts.npy", np.stack([(label == code).sum((0, 1)) for code in LABEL_CODES], axis=1))
            if not target.is_dir():
                os.rename(temporary, target)
        except OSError:
            # Another process was faster; anything else (a full disk) is an error.
            if not target.is_dir():
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
