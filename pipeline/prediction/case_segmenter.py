"""One scan of `make predict`: segmented, with everything that is written of it but its manifest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from pipeline.check_data.scan_gate import look_at_scan
from pipeline.core.machine import forget_peak_memory
from pipeline.folders.inputs import Input
from pipeline.folders.manifest import BEGUN, DONE, Manifest, is_of, manifest_file, read_manifest, write_manifest
from pipeline.inference.chosen_model import Model
from pipeline.prediction.case_files import CaseFiles
from pipeline.prediction.opened_input import opened, place_of, state_of
from pipeline.prediction.segmented import Clock, ScanSegmenter, Source


@dataclass
class CaseSegmenter:
    """What turns an input into results.

    Args:
        model: that segments.
        output_dir: of all results.
        pages: whether each case gets its page.
        probabilities: whether each case gets the infection's probability as a file.
        anyway: whether scans are segmented that the gate of `pipeline.check_data.scan_gate` refuses.
        rtstruct: whether DICOM gets an RT structure set.
    """

    model: Model
    output_dir: Path
    pages: bool = True
    probabilities: bool = False
    anyway: bool = False
    rtstruct: bool = False

    def __post_init__(self) -> None:
        self.scans = ScanSegmenter(self.model)
        self.files = CaseFiles(self.scans.made_by, self.output_dir, self.pages, self.probabilities, self.rtstruct)

    def segmented(self, item: Input, warned: list[str]) -> Manifest:
        """The manifest of a scan of which everything else is written; as it was where the scan was only touched.

        `warned` are sentences for it; more of them come meanwhile, by what is logged as a warning too.
        """
        forget_peak_memory()
        clock = Clock()
        state = state_of(item)
        with opened(item, partial(self.scans.check_memory, item.case)) as scan:
            old = read_manifest(manifest_file(self.output_dir, item.case))
            if old and self.is_finished(old, item) and old["input"]["sha256"] == scan.sha256:
                told = {"left_out": [asdict(each) for each in scan.left_out]}
                place = place_of(item, scan.sha256)
                return {**old, **told, "input": {**old["input"], "state": state, "place": place}}
            self.files.check_kept(old, item, scan.sha256, warned)
            image, allowed = self.scans.let_pass(look_at_scan(scan.image, item.case), item.case, self.anyway)
            warned += allowed
            clock.note("read")
            if old and old["status"] == DONE:
                # Killed from here on, its new label must not look like one that was changed by hand
                write_manifest(self.output_dir, {**old, "status": BEGUN})
            source = Source(item, scan.sha256, state, scan.left_out)
            found = self.scans.segmented(
                image,
                source,
                warned,
                file=scan.image,
                anyway=allowed,
                clock=clock,
                probabilities=self.probabilities,
            )
            return self.files.write(found, scan.series, warned, old)

    def is_finished(self, manifest: Manifest | None, item: Input) -> bool:
        if manifest and manifest.get("anyway") and not self.anyway:
            return False
        told = self.files.asked_told(item)
        if manifest and {key: manifest.get(key) for key in told} != told:
            # Not asked for then, or written by another temperature
            return False
        return is_of(manifest, self.model.facts, self.output_dir, self.files.files(item))

    def told(self, item: Input) -> Manifest:
        return self.files.told(item)
