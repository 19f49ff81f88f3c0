"""Complete series are segmented one after the other, the oldest first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from pipeline.folders.inputs import DICOM, Input
from pipeline.folders.manifest import FAILED, REPORT, SEGMENTATION, STRUCTURE_SET, Manifest
from pipeline.node.series import Series
from pipeline.node.spool import IMAGES, Spool

logger = logging.getLogger(__name__)
# What is written of an input, as `pipeline.prediction.batch` does: everything, the manifest of it last
Segment = Callable[[Input], Manifest]


class Worker:
    """Takes series from the spool.

    Args:
        spool: of the node.
        results: folder of what is found, as `make predict` leaves it.
        segment: what does one series.
    """

    def __init__(self, spool: Spool, results: Path, segment: Segment) -> None:
        self.spool, self.results, self.segment = spool, results, segment
        self.at = ""

    def step(self) -> bool:
        """Segment one series; whether there was one.

        Raises OSError where nothing can be written, as where the disk is full: the series stays in the queue.
        """
        series = self.spool.next()
        if series is None:
            return False
        self.at = series.case
        try:
            manifest = self.segment(self.input_of(series))
        finally:
            self.at = ""
        if manifest["status"] == FAILED:
            self.spool.fail(series.case, manifest["message"])
        else:
            logger.info("%s: segmented, %.1f s", series.case, sum(manifest["seconds"].values()))
            self.spool.send(series.case, self.objects(series))
        return True

    def input_of(self, series: Series) -> Input:
        return Input(series.case, DICOM, (self.spool.place(series.case) / IMAGES,), series.study_uid)

    def objects(self, series: Series) -> list[Path]:
        """What goes back: segmentation, report and structure set, as far as there are."""
        every = [self.results / f"{series.case}{suffix}" for suffix in (SEGMENTATION, REPORT, STRUCTURE_SET)]
        return [file for file in every if file.exists()]
