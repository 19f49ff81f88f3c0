"""One scan of `make predict`: segmented, with everything that is written of it but its manifest."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from evaluation.report.prediction import prediction_page
from evaluation.report.stack import stack_of
from evaluation.statistics.prediction import flag_entries, found_in
from pipeline.check_data.finding import WARNING, of_level
from pipeline.check_data.scan_gate import look_at_scan, refuse_errors
from pipeline.core.atomic import replacing
from pipeline.core.errors import InputError
from pipeline.core.machine import forget_peak_memory, memory_mib, peak_memory_mib
from pipeline.core.provenance import provenance
from pipeline.core.quiet import quiet
from pipeline.folders.inputs import DICOM, Input
from pipeline.folders.manifest import (
    BEGUN,
    DONE,
    REPORT,
    SEGMENTATION,
    UNCERTAINTY,
    Manifest,
    is_of,
    manifest_file,
    read_manifest,
    write_manifest,
)
from pipeline.inference.chosen_model import Model
from pipeline.prediction.memory_need import check_memory
from pipeline.prediction.opened_input import Opened, opened, state_of, without_names
from pipeline.scans.front import Front
from pipeline.scans.scan import Geometry, file_sha256, intensity_domain, read_scan
from pipeline.scans.simpleitk import sitk

logger = logging.getLogger(__name__)
TRAINED_ON = (
    "MODEL was trained on this very scan: what it finds there says nothing about how well it does on new patients."
)
NO_SEGMENTATION = (
    "there is no DICOM segmentation or report, since the files do not tell where their slices lie; the label file has "
    "all of it."
)


@dataclass
class CaseSegmenter:
    """What turns an input into results.

    Args:
        model: that segments.
        output_dir: of all results.
        pages: whether each case gets its page.
        anyway: whether scans are segmented that the gate of `pipeline.check_data.scan_gate` refuses.
    """

    model: Model
    output_dir: Path
    pages: bool = True
    anyway: bool = False

    def __post_init__(self) -> None:
        # What scans have taken since is used again: the allocator keeps it
        self.model_mib = memory_mib() or 0.0

    def segmented(self, item: Input, warned: list[str]) -> Manifest:
        """The manifest of a scan of which everything else is written; as it was where the scan was only touched.

        `warned` are sentences for it; more of them come meanwhile, by what is logged as a warning too.
        """
        forget_peak_memory()
        clock = Clock()
        state = state_of(item)
        with opened(item, partial(self.check_memory, item.case)) as scan:
            old = read_manifest(manifest_file(self.output_dir, item.case))
            if old and self.is_finished(old, item) and old["input"]["sha256"] == scan.sha256:
                told = {"left_out": [asdict(each) for each in scan.left_out]}
                return {**old, **told, "input": {**old["input"], "state": state, "place": place_of(item)}}
            self.check_kept(old, item, scan.sha256, warned)
            passed = look_at_scan(scan.image, item.case)
            allowed = refuse_errors(passed, item.case, self.anyway)
            warned += allowed
            for doubt in of_level(passed.findings, WARNING):
                logger.warning("%s: %s; %s", item.case, doubt.what, doubt.mend)
            clock.note("read")
            if old and old["status"] == DONE:
                # Killed from here on, its new label must not look like one that was changed by hand
                write_manifest(self.output_dir, {**old, "status": BEGUN})
            case = {"case": item.name, "image": str(scan.image), "folder": item.folder}
            clock.add(self.model.segmenter.segment(case))
            if scan.sha256 in self.model.trained_on:
                warned.append(TRAINED_ON)
            label_file = self.output_dir / f"{item.case}.nii.gz"
            # Of what the gate let pass
            voxels, label = cast("sitk.Image", passed.image), read_scan(label_file)
            found, flags = found_in(label, voxels, self.model.labels, self.model.errors, item.case)
            clock.note("severity")
            manifest = {
                **self.told(item),
                "status": DONE,
                "message": "",
                "input": {
                    "kind": item.kind,
                    "sha256": scan.sha256,
                    "place": place_of(item),
                    "state": state,
                    **described(voxels, item.case),
                },
                "label_sha256": file_sha256(label_file),
                "anyway": allowed,
                "severity": found,
                "flags": flag_entries(flags),
                "warnings": warned,
                "left_out": [asdict(each) for each in scan.left_out],
                "device": str(self.model.segmenter.device),
                "made_with": self.made_with,
            }
            written = [self.files(item)[0], *self.dicom_objects(item, scan, label)]
            if scan.series:
                clock.note("dicom")
            if self.pages:
                self.write_page(item, manifest, voxels, label)
                clock.note("page")
        files = [*dict.fromkeys([*written, *self.files(item)])]
        for name in {*(old or {}).get("files", ())} - {*files}:
            # A page of the result that was replaced tells of another label
            (self.output_dir / name).unlink(missing_ok=True)
        peak_mib = peak_memory_mib()
        return {
            **manifest,
            "files": files,
            "seconds": {stage: round(value, 3) for stage, value in clock.seconds.items()},
            "peak_memory_mib": None if peak_mib is None else round(peak_mib),
        }

    def check_kept(self, old: Manifest | None, item: Input, sha256: str, warned: list[str]) -> None:
        """Raise KeptResultError where an earlier result is of another scan, or was changed by hand since."""
        if old is None or old["status"] != DONE:
            return
        label = self.output_dir / f"{item.case}.nii.gz"
        if old.get("label_sha256") and label.is_file() and file_sha256(label) != old["label_sha256"]:
            raise KeptResultError(
                f"{item.case}: its label in OUT was changed since it was written, by hand perhaps; move it away, or "
                "give OUT= another folder."
            )
        if old["input"]["sha256"] == sha256:
            return
        if old["input"].get("place", place_of(item)) != place_of(item):
            raise KeptResultError(
                f"{item.case}: OUT holds the result of another scan of this name; give OUT= another folder, or rename "
                "one of them."
            )
        warned.append(f"{item.case} has changed since it was segmented before; that result was replaced.")

    def check_memory(self, case: str, scanner: Geometry) -> None:
        """Raise InputError for a scan on a grid that does not fit into memory."""
        prepared = self.front.grid(scanner)
        reusable_mib = max((memory_mib() or 0.0) - self.model_mib, 0.0)
        check_memory(case, scanner.size, prepared.size, len(self.model.labels.classes), reusable_mib)

    @cached_property
    def front(self) -> Front:
        return self.model.segmenter.evaluated("front")

    def is_finished(self, manifest: Manifest | None, item: Input) -> bool:
        if manifest and manifest.get("anyway") and not self.anyway:
            return False
        return is_of(manifest, self.model.facts, self.output_dir, self.files(item))

    @cached_property
    def made_with(self) -> dict[str, str]:
        return provenance(self.model.segmenter.device)

    def told(self, item: Input) -> Manifest:
        return {
            "case": item.case,
            "model": self.model.facts,
            "at": utc(time.time()),
            "job": os.environ.get("SLURM_ARRAY_JOB_ID"),
        }

    def dicom_objects(self, item: Input, scan: Opened, label: sitk.Image) -> list[str]:
        """Write the label of a DICOM series as a DICOM segmentation, where that can be, and a report of its volumes;
        their names below OUT.
        """
        if scan.series is None:
            return []
        from pipeline.scans.dicom.measurements import write_measurements
        from pipeline.scans.dicom.segmentation import write_segmentation

        names = [f"{item.case}{SEGMENTATION}", f"{item.case}{REPORT}"]
        segmentation, report = (self.output_dir / name for name in names)
        if scan.series.geometry_assumed:
            logger.warning("%s: %s", item.case, NO_SEGMENTATION)
            for file in (segmentation, report):
                file.unlink(missing_ok=True)
            return []
        made_by = (self.algorithm, self.made_with.get("pneumobundle", "unknown"), self.model.label_map)
        # It tells which modules of the standard it copies
        written: list[str] = []
        try:
            with quiet("highdicom"):
                write_segmentation(label, scan.series, segmentation, *made_by)
                written.append(names[0])
                write_measurements(label, scan.series, segmentation, report, *made_by)
                written.append(names[1])
        except InputError as error:
            # What is finished stays: label, volumes and page are of use without these, and so is one of the two
            what = "report" if written else "segmentation or report"
            logger.warning("%s: there is no DICOM %s: %s", item.case, what, without_names(str(error), item))
            for name in {*names} - {*written}:
                (self.output_dir / name).unlink(missing_ok=True)
        return written

    @property
    def algorithm(self) -> str:
        """What DICOM objects are told to be made by."""
        return str(self.model.facts.get("network") or self.model.facts.get("bundle") or "PneumoBundle")

    def write_page(self, item: Input, manifest: Manifest, scan: sitk.Image, label: sitk.Image) -> None:
        window_hu = self.model.segmenter.setting("window_hu", Front.window_hu)
        stack = stack_of(scan, label, item.case, window_hu)
        page = prediction_page(manifest, stack, self.model.labels, window_hu)
        with replacing(self.output_dir / f"{item.case}.html") as temporary:
            temporary.write_text(page, encoding="utf-8")

    def files(self, item: Input) -> list[str]:
        """Those that a case has when it is done, below OUT; some of DICOM have two more."""
        folder = f"{item.folder}/" if item.folder else ""
        uncertain = self.model.segmenter.setting("save_uncertainty") is not None
        return [
            f"{item.case}.nii.gz",
            *([f"{folder}{UNCERTAINTY}/{item.name}.nii.gz"] if uncertain else []),
            *([f"{item.case}.html"] if self.pages else []),
        ]


class KeptResultError(InputError):
    """A result that is there is not replaced, nor is its manifest."""


def place_of(item: Input) -> str:
    """Where a scan lies, hashed, since results hold no path; of a DICOM study its number, wherever it is."""
    place = item.case if item.kind == DICOM else os.path.realpath(item.paths[0])
    return hashlib.sha256(os.fsencode(place)).hexdigest()[:16]


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.monotonic()

    def note(self, stage: str) -> None:
        now = time.monotonic()
        self.add({stage: now - self.last})

    def add(self, seconds: Mapping[str, float]) -> None:
        self.seconds |= seconds
        self.last = time.monotonic()


def described(scan: sitk.Image, name: str) -> dict[str, Any]:
    """All of a scan that results tell: its grid and what its numbers are, nothing else of its header."""
    size, spacing_mm = list(scan.GetSize()), list(scan.GetSpacing())
    return {"size": size, "spacing_mm": spacing_mm, "intensity": intensity_domain(scan, name)}


def utc(seconds: float) -> str:
    """ISO 8601, comparable as text."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
