"""What is written of a segmented scan: label, map of disagreement, DICOM objects, page, and what its manifest tells."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.report.prediction import prediction_page
from evaluation.report.stack import stack_of
from pipeline.core.atomic import replacing
from pipeline.core.errors import InputError
from pipeline.core.machine import peak_memory_mib
from pipeline.core.quiet import quiet
from pipeline.core.run_files import PROBABILITIES
from pipeline.core.temperature import STEPS, calibration_told
from pipeline.folders.inputs import DICOM, ZIP, Input
from pipeline.folders.manifest import DONE, REPORT, SEGMENTATION, STRUCTURE_SET, UNCERTAINTY, Manifest
from pipeline.prediction.opened_input import place_of, without_names
from pipeline.prediction.segmented import Clock, MadeBy, Segmented
from pipeline.scans.intensity import intensity_domain
from pipeline.scans.scan import file_sha256
from pipeline.scans.simpleitk import sitk
from pipeline.scans.written_image import write_image

if TYPE_CHECKING:
    from pipeline.scans.dicom.stack import Series

logger = logging.getLogger(__name__)
WRITE = "write"
NO_PLACES = "since the files do not tell where their slices lie; the label file has all of it."
NO_SERIES = "there is no DICOM structure set, since the scan is no DICOM series; the label file has all of it."
KINDS = {SEGMENTATION: "segmentation", REPORT: "report", STRUCTURE_SET: "structure set"}
# What a manifest says of a DICOM scan for which a structure set was asked for
RTSTRUCT = "rtstruct"


@dataclass
class CaseFiles:
    """Writes what was found in scans into a folder.

    Args:
        made_by: what found it.
        output_dir: of all results.
        pages: whether each case gets its page.
        probabilities: whether the infection's probability is written too, of scans that were segmented with it.
        rtstruct: whether DICOM gets an RT structure set too.
    """

    made_by: MadeBy
    output_dir: Path
    pages: bool = True
    probabilities: bool = False
    rtstruct: bool = False

    def write(self, found: Segmented, series: Series | None, warned: list[str], old: Manifest | None) -> Manifest:
        """Write everything of a scan but its manifest, which comes back.

        `series` is the one that the scan is, of DICOM; `warned` are sentences for the manifest, which may become more;
        `old` is the manifest of an earlier result, what of which is not written now is removed.
        """
        source, clock = found.source, Clock(found.seconds)
        item, label_file = source.item, self.output_dir / f"{source.item.case}.nii.gz"
        write_image(found.label, label_file)
        if found.uncertainty is not None:
            write_image(found.uncertainty, self.output_dir / item.folder / UNCERTAINTY / f"{item.name}.nii.gz")
        if self.probabilities:
            self.write_probability(item, found)
        clock.note(WRITE)
        manifest = {
            **self.told(item),
            "status": DONE,
            "message": "",
            "input": {
                "kind": item.kind,
                "sha256": source.sha256,
                "place": place_of(item, source.sha256),
                "state": source.state,
                **described(found.scan, item.case),
            },
            "label_sha256": file_sha256(label_file),
            "anyway": found.anyway,
            "severity": found.severity,
            "flags": found.flags,
            "warnings": warned,
            "left_out": [asdict(each) for each in source.left_out],
            "device": self.made_by.device,
            "made_with": dict(self.made_by.software),
            **self.asked_told(item),
        }
        written = [self.files(item)[0], *self.dicom_objects(item, series, found.label)]
        if series:
            clock.note("dicom")
        if self.pages:
            self.write_page(item, manifest, found)
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
        place = place_of(item, sha256)
        if old["input"].get("place", place) != place:
            raise KeptResultError(
                f"{item.case}: OUT holds the result of another scan of this name; give OUT= another folder, or rename "
                "one of them."
            )
        warned.append(f"{item.case} has changed since it was segmented before; that result was replaced.")

    def told(self, item: Input) -> Manifest:
        return {
            "case": item.case,
            "model": dict(self.made_by.facts),
            "at": utc(time.time()),
            "job": os.environ.get("SLURM_ARRAY_JOB_ID"),
        }

    def dicom_objects(self, item: Input, series: Series | None, label: sitk.Image) -> list[str]:
        """Write the label of a DICOM series as a DICOM segmentation, where that can be, with a report of its volumes,
        and as a structure set where that is asked for; their names below OUT.
        """
        if series is None:
            if self.rtstruct:
                logger.warning("%s: %s", item.case, NO_SERIES)
            return []
        files = {suffix: self.output_dir / f"{item.case}{suffix}" for suffix in KINDS}
        written: list[str] = []
        groups = self.object_writers(series, label, files)
        if series.geometry_assumed:
            kinds = _any_of(suffix for group in groups for suffix in group)
            logger.warning("%s: there is no DICOM %s, %s", item.case, kinds, NO_PLACES)
        else:
            for group in groups:
                written += self.written_objects(item, group)
        for suffix in {*files} - {*written}:
            files[suffix].unlink(missing_ok=True)
        return [files[suffix].relative_to(self.output_dir).as_posix() for suffix in written]

    def object_writers(
        self, series: Series, label: sitk.Image, files: Mapping[str, Path]
    ) -> list[dict[str, Callable[[], None]]]:
        """What writes the DICOM objects that are asked for, by suffix; in groups, in which each needs those before."""
        from pipeline.scans.dicom.measurements import write_measurements
        from pipeline.scans.dicom.segmentation import write_segmentation

        made_by = (self.algorithm, self.made_by.software.get("pneumobundle", "unknown"), self.made_by.label_map)
        segmentation = files[SEGMENTATION]
        writers: list[dict[str, Callable[[], None]]] = [
            {
                SEGMENTATION: partial(write_segmentation, label, series, segmentation, *made_by),
                REPORT: partial(write_measurements, label, series, segmentation, files[REPORT], *made_by),
            }
        ]
        if self.rtstruct:
            # Loads scikit-image
            from pipeline.scans.dicom.structure_set import write_structure_set

            writers.append({STRUCTURE_SET: partial(write_structure_set, label, series, files[STRUCTURE_SET], *made_by)})
        return writers

    @staticmethod
    def written_objects(item: Input, writers: Mapping[str, Callable[[], None]]) -> list[str]:
        """Write DICOM objects one after the other, up to one that cannot be; the suffixes of those that are there."""
        written: list[str] = []
        try:
            # It tells which modules of the standard it copies
            with quiet("highdicom"):
                for suffix, write in writers.items():
                    write()
                    written.append(suffix)
        except InputError as error:
            # What is finished stays: label, volumes and page are of use without these, and so is each of these
            kinds = _any_of(suffix for suffix in writers if suffix not in written)
            logger.warning("%s: there is no DICOM %s: %s", item.case, kinds, without_names(str(error), item))
        return written

    @property
    def algorithm(self) -> str:
        """What DICOM objects are told to be made by."""
        return str(self.made_by.facts.get("network") or self.made_by.facts.get("bundle") or "PneumoBundle")

    def write_page(self, item: Input, manifest: Manifest, found: Segmented) -> None:
        stack = stack_of(found.scan, found.label, item.case, self.made_by.window_hu)
        page = prediction_page(manifest, stack, self.made_by.labels, self.made_by.window_hu)
        with replacing(self.output_dir / f"{item.case}.html") as temporary:
            temporary.write_text(page, encoding="utf-8")

    def write_probability(self, item: Input, found: Segmented) -> None:
        """The infection's, in 255ths on the scan's own grid, tempered where the model has a temperature."""
        if found.probabilities is None:
            raise ValueError(f"{item.case}: was segmented without probabilities")
        levels = np.rint(found.probabilities.infection() * STEPS).astype(np.uint8)
        image = sitk.GetImageFromArray(levels.transpose(2, 1, 0))
        image.CopyInformation(found.label)
        write_image(image, self.output_dir / self.probability_file(item))

    @staticmethod
    def probability_file(item: Input) -> str:
        """Below OUT."""
        return (Path(item.folder) / PROBABILITIES / f"{item.name}.nii.gz").as_posix()

    @property
    def probabilities_told(self) -> dict[str, Any]:
        """What a manifest says of the probabilities, where they are written."""
        return {PROBABILITIES: calibration_told(self.made_by.temperatures)} if self.probabilities else {}

    def asked_told(self, item: Input) -> dict[str, Any]:
        """What a manifest says of what is written on demand alone, and has to say where that is asked for again."""
        structure_set = {RTSTRUCT: True} if self.rtstruct and item.kind in (DICOM, ZIP) else {}
        return {**self.probabilities_told, **structure_set}

    def files(self, item: Input) -> list[str]:
        """Those that a case has when it is done, below OUT; some of DICOM have two or three more."""
        folder = f"{item.folder}/" if item.folder else ""
        return [
            f"{item.case}.nii.gz",
            *([f"{folder}{UNCERTAINTY}/{item.name}.nii.gz"] if self.made_by.tells_uncertainty else []),
            *([self.probability_file(item)] if self.probabilities else []),
            *([f"{item.case}.html"] if self.pages else []),
        ]


def _any_of(suffixes: Iterable[str]) -> str:
    """The kinds of DICOM objects in words: a, b or c."""
    *first, last = (KINDS[suffix] for suffix in suffixes)
    return f"{', '.join(first)} or {last}" if first else last


class KeptResultError(InputError):
    """A result that is there is not replaced, nor is its manifest."""


def described(scan: sitk.Image, name: str) -> dict[str, Any]:
    """All of a scan that results tell: its grid and what its numbers are, nothing else of its header."""
    size, spacing_mm = list(scan.GetSize()), list(scan.GetSpacing())
    return {"size": size, "spacing_mm": spacing_mm, "intensity": intensity_domain(scan, name)}


def utc(seconds: float) -> str:
    """ISO 8601, comparable as text."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
