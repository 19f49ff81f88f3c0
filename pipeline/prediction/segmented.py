"""One scan segmented in memory, with all that is told of it: label, probabilities, severity, flags and warnings."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.statistics.prediction import Found, flag_entries, found_in
from pipeline.check_data.finding import WARNING, of_level
from pipeline.check_data.scan_gate import Passed, refuse_errors
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap, label_map
from pipeline.core.machine import memory_mib
from pipeline.core.provenance import provenance
from pipeline.core.temperature import Temperature
from pipeline.folders.inputs import Input
from pipeline.folders.left_out import LeftOut
from pipeline.inference.chosen_model import Model
from pipeline.inference.segmenter import Answer
from pipeline.prediction.memory_need import check_memory
from pipeline.prediction.probabilities import Probabilities
from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.simpleitk import sitk

logger = logging.getLogger(__name__)
TRAINED_ON = (
    "MODEL was trained on this very scan: what it finds there says nothing about how well it does on new patients."
)


@dataclass(frozen=True)
class MadeBy:
    """What results tell of the model and machine that made them; it outlives the model.

    Args:
        facts: as of `pipeline.inference.evidence.Evidence`.
        label_map: name of what the numbers of labels mean.
        window_hu: in which the scan was seen.
        device: as torch calls it.
        software: and machine, see `pipeline.core.provenance`.
        tells_uncertainty: whether there is a map of where the members of an ensemble disagree.
        temperatures: as of `pipeline.inference.evidence.Evidence`.
    """

    facts: Mapping[str, Any]
    label_map: str
    window_hu: tuple[float, ...]
    device: str
    software: Mapping[str, str]
    tells_uncertainty: bool
    temperatures: tuple[Temperature, ...] = ()

    @classmethod
    def of(cls, model: Model) -> MadeBy:
        segmenter = model.segmenter
        return cls(
            model.facts,
            model.label_map,
            tuple(segmenter.setting("window_hu", Front.window_hu)),
            str(segmenter.device),
            provenance(segmenter.device),
            segmenter.setting("save_uncertainty") is not None,
            model.evidence.temperatures,
        )

    @property
    def labels(self) -> LabelMap:
        return label_map(self.label_map)


@dataclass(frozen=True)
class Source:
    """Where a scan came from.

    Args:
        item: its name and paths.
        sha256: of its file or files; of a program's voxels, of these and their grid.
        state: of its files, see `pipeline.prediction.opened_input.state_of`.
        left_out: what its study holds beside it.
    """

    item: Input
    sha256: str
    state: list[int]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Segmented:
    """A scan and all that was found in it, nothing of which is written yet.

    Args:
        source, made_by: of what, by what.
        scan: as it was read.
        label: class numbers, uint8, on the scan's grid.
        uncertainty: see `pipeline.inference.segmenter.Answer`.
        probabilities: where they were asked for and can be had.
        severity: volumes and shares, as the case's JSON has them.
        flags: as the case's JSON has them.
        anyway: what the gate would have refused.
        seconds: of each stage.
    """

    source: Source
    made_by: MadeBy
    scan: sitk.Image
    label: sitk.Image
    uncertainty: sitk.Image | None
    probabilities: Probabilities | None
    severity: Found
    flags: list[dict[str, Any]]
    anyway: list[str]
    seconds: dict[str, float]


class ScanSegmenter:
    """Segments scans in memory, one at a time, with one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        # What scans have taken since is used again: the allocator keeps it
        self.model_mib = memory_mib() or 0.0

    @cached_property
    def made_by(self) -> MadeBy:
        return MadeBy.of(self.model)

    @cached_property
    def front(self) -> Front:
        return self.model.segmenter.evaluated("front")

    def check_memory(self, case: str, scanner: Geometry) -> None:
        """Raise InputError for a scan on a grid that does not fit into memory."""
        reusable_mib = max((memory_mib() or 0.0) - self.model_mib, 0.0)
        classes = len(self.model.labels.classes)
        check_memory(case, scanner.size, self.front.grid(scanner).size, classes, reusable_mib)

    def check_probabilities(self) -> None:
        """Raise InputError where the model has no probability of infection that could be written."""
        if not (self.model.segmenter.gives_probabilities and self.network_labels.infection_classes):
            raise InputError(
                "PROBABILITIES is given, but MODEL does not tell infection from the rest, or is of an earlier version "
                "that keeps its probabilities; leave it out."
            )

    @staticmethod
    def let_pass(passed: Passed, case: str, anyway: bool, how: str = "ANYWAY=1") -> tuple[sitk.Image, list[str]]:
        """The scan, and what it was let through with `anyway`; InputError where it is not. Doubts are logged."""
        allowed = refuse_errors(passed, case, anyway, how)
        if passed.image is None:
            raise ValueError(f"{case}: was let through the gate without an image")
        for doubt in of_level(passed.findings, WARNING):
            logger.warning("%s: %s; %s", case, doubt.what, doubt.mend)
        return passed.image, allowed

    def segmented(
        self,
        scan: sitk.Image,
        source: Source,
        warned: list[str],
        *,
        file: Path | None = None,
        anyway: Sequence[str] = (),
        clock: Clock,
        probabilities: bool = False,
    ) -> Segmented:
        """All that is found in a scan; sentences that warn of it are added to `warned`.

        `file` is what the scan was read from, `anyway` what the gate would have refused. Raises what goes wrong,
        wrapped by MONAI.
        """
        case = source.item.case
        # Of messages: a case has its name and not its folder's
        answer = self.model.segmenter.segment(source.item.name, scan, file, probabilities)
        clock.add(answer.seconds)
        if source.sha256 in self.model.trained_on:
            warned.append(TRAINED_ON)
        found, flags = found_in(answer.label, scan, self.model.labels, self.model.evidence.held_out, case)
        if self.model.evidence.familiarity:
            flags.append(self.model.evidence.familiarity.flag(answer.traits))
        clock.note("severity")
        return Segmented(
            source=source,
            made_by=self.made_by,
            scan=scan,
            label=answer.label,
            uncertainty=answer.uncertainty,
            probabilities=self._kept(answer, scan),
            severity=found,
            flags=flag_entries(flags),
            anyway=list(anyway),
            seconds=clock.seconds,
        )

    def _kept(self, answer: Answer, scan: sitk.Image) -> Probabilities | None:
        if answer.probabilities is None:
            return None
        # Of a mean each member has its own, and they were tempered before they were averaged
        alone = len(self.model.evidence.temperatures) == 1
        temperature = self.model.evidence.temperatures[0].temperature if alone else None
        grid, labels = Geometry.of(scan), self.network_labels
        return Probabilities(answer.probabilities, self.front, grid, labels, temperature, answer.calibrated)

    @property
    def network_labels(self) -> LabelMap:
        """Of the network itself: the label of a cascade has the first stage's classes too."""
        return label_map(str(self.model.segmenter.setting("label_map")))


class Clock:
    """Seconds by stage."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = dict(seconds or {})
        self.last = time.monotonic()

    def note(self, stage: str) -> None:
        now = time.monotonic()
        self.add({stage: self.seconds.get(stage, 0.0) + now - self.last})

    def add(self, seconds: Mapping[str, float]) -> None:
        self.seconds |= seconds
        self.last = time.monotonic()
