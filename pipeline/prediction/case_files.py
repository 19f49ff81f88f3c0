"""What is written of a segmented scan: label, map of disagreement, DICOM objects, page, and what its manifest tells."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
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
from pipeline.folders.inputs import Input
from pipeline.folders.manifest import DONE, REPORT, SEGMENTATION, UNCERTAINTY, Manifest
from pipeline.prediction.opened_input import place_of, without_names
from pipeline.prediction.segmented import Clock, MadeBy, Segmented
from pipeline.scans.scan import file_sha256, intensity_domain
from pipeline.scans.simpleitk import sitk
from pipeline.scans.written_image import write_image

if TYPE_CHECKING:
    from pipeline.scans.dicom.stack import Series

logger = logging.getLogger(__name__)
WRITE = "write"
NO_SEGMENTATION = (
    "there is no DICOM segmentation or report, since the files do not tell where their slices lie; the label file has "
    "all of it."
)


@dataclass
class CaseFiles:
    """Writes what was found in scans into a folder.

    Args:
        made_by: what found it.
        output_dir: of all results.
        pages: whether each case gets its page.
        probabilities: whether the infection's probability is written too, of scans that were segmented with it.
    """

    made_by: MadeBy
    output_dir: Path
    pages: bool = True
    probabilities: bool = False

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
            **self.probabilities_told,
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
        """Write the label of a DICOM series as a DICOM segmentation, where that can be, and a report of its volumes;
        their names below OUT.
        """
        if series is None:
            return []
        from pipeline.scans.dicom.measurements import write_measurements
        from pipeline.scans.dicom.segmentation import write_segmentation

        names = [f"{item.case}{SEGMENTATION}", f"{item.case}{REPORT}"]
        segmentation, report = (self.output_dir / name for name in names)
        if series.geometry_assumed:
            logger.warning("%s: %s", item.case, NO_SEGMENTATION)
            for file in (segmentation, report):
                file.unlink(missing_ok=True)
            return []
        made_by = (self.algorithm, self.made_by.software.get("pneumobundle", "unknown"), self.made_by.label_map)
        # It tells which modules of the standard it copies
        written: list[str] = []
        try:
            with quiet("highdicom"):
                write_segmentation(label, series, segmentation, *made_by)
                written.append(names[0])
                write_measurements(label, series, segmentation, report, *made_by)
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

    def files(self, item: Input) -> list[str]:
        """Those that a case has when it is done, below OUT; some of DICOM have two more."""
        folder = f"{item.folder}/" if item.folder else ""
        return [
            f"{item.case}.nii.gz",
            *([f"{folder}{UNCERTAINTY}/{item.name}.nii.gz"] if self.made_by.tells_uncertainty else []),
            *([self.probability_file(item)] if self.probabilities else []),
            *([f"{item.case}.html"] if self.pages else []),
        ]


class KeptResultError(InputError):
    """A result that is there is not replaced, nor is its manifest."""


def described(scan: sitk.Image, name: str) -> dict[str, Any]:
    """All of a scan that results tell: its grid and what its numbers are, nothing else of its header."""
    size, spacing_mm = list(scan.GetSize()), list(scan.GetSpacing())
    return {"size": size, "spacing_mm": spacing_mm, "intensity": intensity_domain(scan, name)}


def utc(seconds: float) -> str:
    """ISO 8601, comparable as text."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
