"""Many scans, one after the other, in one of any number of processes that share an output folder."""

from __future__ import annotations

import errno
import logging
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipeline.core.atomic import remove_unfinished
from pipeline.core.claims import FOLDER, Claims, each_when_done
from pipeline.core.errors import SHOW_TRACEBACK, innermost, input_error_in, last_line, one_sentence
from pipeline.core.progress_bar import Form, Progress
from pipeline.core.run_files import PROBABILITIES
from pipeline.folders.inputs import Input
from pipeline.folders.manifest import (
    BEGUN,
    FAILED,
    RESULTS,
    UNCERTAINTY,
    Manifest,
    brief,
    manifest_file,
    manifests,
    printable,
    read_manifest,
    same_state,
    write_manifest,
    write_results,
)
from pipeline.prediction.case_files import KeptResultError, utc
from pipeline.prediction.case_segmenter import CaseSegmenter
from pipeline.prediction.opened_input import state_of, without_names
from pipeline.prediction.warnings_told import warnings_told

logger = logging.getLogger(__name__)
# Of the system, where nothing that is written next would fare better
HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ESTALE, errno.EIO)
WAIT_S = 2.0
# Processes that may end while they work on one scan; a scan that kills each of them would hold up all others
MOST_ENDED = 3
KILLS = "{} processes ended while they worked on it; it probably needs more memory than there is."
# What torch says where there is no memory beside a processor's
_ALLOCATION = "DefaultCPUAllocator"


@dataclass
class Batch:
    """One process' work on an output folder.

    Args:
        cases: what does one scan.
        merged: whether results.csv is written at the end, from what all processes left.
    """

    cases: CaseSegmenter
    merged: bool = True
    began: float = field(default_factory=time.time)

    @property
    def output_dir(self) -> Path:
        return self.cases.output_dir

    def run(self, inputs: Sequence[Input]) -> list[Manifest]:
        """Segment all that is not done and that no other process works on, wait for those, and write results.csv."""
        with Claims(self.output_dir / FOLDER) as claims:
            finished = self.all_finished(inputs, claims)
            if self.merged:
                self.merge(claims)
        return [finished[item.case] for item in inputs]

    def all_finished(self, inputs: Sequence[Input], claims: Claims) -> dict[str, Manifest]:
        finished: dict[str, Manifest] = {}
        attempt = partial(self.settled_or_claimed, claims)
        every = each_when_done(self.in_turn(inputs), attempt, WAIT_S, waiting=_tell_waiting)
        with progress(len(inputs)) as step:
            for item, (manifest, is_own) in every:
                finished[item.case] = brief(manifest)
                step(manifest, len(finished), is_own)
        return finished

    def settled_or_claimed(self, claims: Claims, item: Input) -> tuple[Manifest, bool] | None:
        """The manifest of a scan, and whether this process did it just now; None where another one is at it, or was."""
        if settled := self.settled(item):
            return settled, False
        manifest = self.claimed(claims, item)
        return None if manifest is None else (manifest, True)

    def merge(self, claims: Claims) -> None:
        """Write results.csv of all that is in the folder, one process at a time: the last one has all of it."""
        for _ in each_when_done([RESULTS], partial(self.merged_claim, claims), WAIT_S):
            pass

    def merged_claim(self, claims: Claims, results: str) -> int | None:
        """The number of the claim under which results.csv was written; None where another process is at it."""
        with claims.held(results) as claim:
            if claim > 1:
                remove_unfinished(self.output_dir, results)
            if claim:
                write_results(self.output_dir, manifests(self.output_dir))
        return claim or None

    @staticmethod
    def in_turn(inputs: Sequence[Input]) -> Sequence[Input]:
        """The tasks of a SLURM array begin at different places, so as not to meet at every scan."""
        task, tasks = (int(os.environ.get(f"SLURM_ARRAY_TASK_{name}", 0)) for name in ("ID", "COUNT"))
        first = len(inputs) * (task % tasks) // tasks if tasks else 0
        return [*inputs[first:], *inputs[:first]]

    def settled(self, item: Input) -> Manifest | None:
        """The manifest of a scan that needs nothing more: it is done, or failed since this work began."""
        manifest = read_manifest(manifest_file(self.output_dir, item.case))
        if manifest is None:
            return None
        if manifest["status"] == FAILED:
            job = os.environ.get("SLURM_ARRAY_JOB_ID")
            mine = job is not None and manifest.get("job") == job
            return manifest if mine or manifest["at"] >= utc(self.began) else None
        try:
            state = state_of(item)
        except OSError:
            return None
        return manifest if self.cases.is_finished(manifest, item) and same_state(manifest, state) else None

    def claimed(self, claims: Claims, item: Input) -> Manifest | None:
        """The manifest of a scan after this process has done it; None where another one is at it, or was."""
        with claims.held(item.case) as claim:
            if not claim:
                return None
            if claim > 1:
                logger.warning("%s: a process ended while it worked on this; done again", item.case)
                for below in ("", UNCERTAINTY, PROBABILITIES):
                    remove_unfinished(self.output_dir / item.folder / below, f"{item.name}.")
            # Another process may have finished it between our looking and our claiming
            if self.settled(item):
                return None
            return (
                self.done(item) if claim <= MOST_ENDED else self.told(self.failure(item, KILLS.format(claim - 1), 0.0))
            )

    def done(self, item: Input) -> Manifest:
        """Segment a scan and write everything of it; what goes wrong with this scan alone is in its manifest."""
        began = time.monotonic()
        try:
            if read_manifest(manifest_file(self.output_dir, item.case)) is None:
                write_manifest(self.output_dir, {**self.cases.told(item), "status": BEGUN, "message": ""})
            with warnings_told(item) as told:
                manifest = self.cases.segmented(item, told)
        except Exception as error:
            cause = innermost(error)
            if isinstance(cause, OSError) and cause.errno in HOPELESS and not input_error_in(error):
                self.forget_begun(item)
                raise cause from error
            failure = self.failure(item, said(error, item), time.monotonic() - began)
            # The manifest that is there is of the result that is kept
            return failure if isinstance(input_error_in(error), KeptResultError) else self.told(failure)
        return self.told(manifest)

    def told(self, manifest: Manifest) -> Manifest:
        """The manifest, written."""
        write_manifest(self.output_dir, manifest)
        return manifest

    def forget_begun(self, item: Input) -> None:
        """Remove what says that a case was begun where nothing of it was written."""
        file = manifest_file(self.output_dir, item.case)
        manifest = read_manifest(file)
        if manifest and manifest["status"] == BEGUN and not (self.output_dir / f"{item.case}.nii.gz").exists():
            file.unlink()

    def failure(self, item: Input, message: str, seconds: float) -> Manifest:
        told = {"status": FAILED, "message": message, "seconds": {"failed": round(seconds, 3)}}
        return {**self.cases.told(item), **told}


def _tell_waiting(busy: int) -> None:
    logger.info("waiting for %d scans that other processes work on", busy)


def said(error: BaseException, item: Input) -> str:
    """One sentence on what is wrong with a scan, in which it has its name and not its path."""
    if os.environ.get(SHOW_TRACEBACK):
        traceback.print_exception(error)
    mistake = input_error_in(error)
    cause = innermost(error)
    if mistake:
        text = one_sentence(mistake)
    elif isinstance(cause, OSError):
        text = f"{item.case}: cannot be read or its results not written ({cause.strerror or cause})."
    elif isinstance(cause, (MemoryError, torch.OutOfMemoryError)) or _ALLOCATION in str(cause):
        text = f"{item.case}: needs more memory than there was; give it more, or a MODE that needs less (windows)."
    else:
        text = f"{item.case}: {last_line(cause)}."
    return printable(without_names(text, item))


@contextmanager
def progress(total: int) -> Iterator[Any]:
    """A function that is told of each case, how many are done, and whether this process did it.

    A bar on a terminal, a line a case elsewhere.
    """
    # The lines of the cases say how far it is
    with Progress("segmenting", total, with_lines=False) as bar:

        def step(manifest: Manifest, done: int, is_own: bool) -> None:
            case = printable(manifest["case"])
            if manifest["status"] == FAILED:
                logger.warning("%s failed, %d of %d: %s", case, done, total, manifest["message"])
            elif is_own and bar.form is not Form.BAR:
                seconds = sum(manifest["seconds"].values())
                logger.info("segmented %s, %d of %d, %.1f s", case, done, total, seconds)
            bar.advance()

        yield step
