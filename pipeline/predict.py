"""Segment scans with a trained model, or with several as an ensemble.

python -m pipeline.predict --model runs/unet_3d/cv/fold0 --input scan.nii.gz
"""

from __future__ import annotations

import argparse
import errno
import logging
import logging.config
import os
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from evaluation.prediction import flag_entries, found_in
from pipeline.chosen_model import Model, open_model
from pipeline.claims import FOLDER, Claims
from pipeline.configuration import LOGGING
from pipeline.ensemble import MEAN, VOTE, parse_weights
from pipeline.errors import (
    SHOW_TRACEBACK,
    InputError,
    innermost,
    input_error_in,
    last_line,
    one_sentence,
    report_plainly,
)
from pipeline.inputs import Input, find_inputs
from pipeline.machine import forget_peak_memory, peak_memory_mib
from pipeline.manifest import (
    DONE,
    FAILED,
    Manifest,
    is_of,
    manifest_file,
    manifests,
    read_manifest,
    same_state,
    state_of,
    table,
    write_manifest,
    write_results,
)
from pipeline.provenance import provenance
from pipeline.scan import file_sha256, intensity_domain, read_scan

logger = logging.getLogger(__name__)

TRAINED_ON = (
    "MODEL was trained on this very scan: what it finds there says nothing about how well it does on new patients."
)
DEFAULT_MODE = ""
# Of the system, where nothing that is written next would fare better
HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ESTALE, errno.EIO)
WAIT_S = 2.0
# Loggers of this project's modules; of a bundle they are below a package of its own
_OWN = re.compile(r"(\w+_code\.)?(pipeline|transforms)\.")


def predict(
    models: str | Path,
    source: str | Path,
    output_dir: str | Path,
    method: str = VOTE,
    weights: Sequence[float] | None = None,
    mode: str = "",
) -> list[Manifest]:
    """Write `<output_dir>/<case>.nii.gz` for a scan, or for every scan of a folder, on the scan's own grid.

    `models` names one trained fold or several, see `pipeline.members.find_members`; several segment together, and
    `<output_dir>/uncertainty/<case>.nii.gz` tells where they disagree. Or it is an exported bundle, a folder or a zip
    file. `mode` names a file of bundles/common/modes; "" does what the model's configuration says.

    A scan that cannot be segmented does not keep the others from it: see the manifests, one a scan, that come back.
    What is done already is not done again, and any number of processes may share an `output_dir`. Raises InputError
    where model and settings do not fit, there is nothing to segment, or `output_dir` cannot be written.
    """
    inputs = find_inputs(source, output_dir)
    with told_plainly(output_dir), open_model(models, output_dir, method, weights, mode) as model:
        return Prediction(model, Path(output_dir)).run(inputs)


@contextmanager
def told_plainly(output_dir: str | Path) -> Iterator[None]:
    """InputError for what the system says of the output folder as a whole."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"OUT is {output_dir}, which cannot be written ({error.strerror or error}); make room or choose another "
            "folder, and give the same command again: what is done stays."
        ) from error


@dataclass
class Prediction:
    """One process' work on an output folder.

    Args:
        model: that segments.
        output_dir: of all results.
    """

    model: Model
    output_dir: Path
    began: float = field(default_factory=time.time)

    @cached_property
    def made_with(self) -> dict[str, str]:
        return provenance(self.model.segmenter.device)

    def run(self, inputs: Sequence[Input]) -> list[Manifest]:
        """Segment all that is not done and that no other process works on, wait for those, and write results.csv."""
        claims = Claims(self.output_dir / FOLDER)
        finished: dict[str, Manifest] = {}
        left = self.in_turn(inputs)
        with progress(len(inputs)) as step:
            while left:
                busy = []
                for item in left:
                    if (manifest := self.settled(item) or self.claimed(claims, item)) is None:
                        busy.append(item)
                        continue
                    finished[item.case] = manifest
                    step(manifest, len(finished), len(inputs))
                if len(busy) == len(left):
                    time.sleep(WAIT_S)
                elif busy:
                    logger.info("waiting for %d scans that other processes work on", len(busy))
                left = busy
        claims.close()
        write_results(self.output_dir, manifests(self.output_dir))
        return [finished[item.case] for item in inputs]

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
            return manifest if mine or manifest["at"] >= _time(self.began) else None
        try:
            state = state_of(item.path)
        except OSError:
            return None
        return manifest if self.is_finished(manifest) and same_state(manifest, state) else None

    def is_finished(self, manifest: Manifest | None) -> bool:
        return is_of(manifest, self.model.facts, self.output_dir, [])

    def claimed(self, claims: Claims, item: Input) -> Manifest | None:
        """The manifest of a scan after this process has done it; None where another one is at it."""
        with claims.held(item.case) as mine:
            if not mine:
                return None
            # Another process may have finished it between our looking and our claiming
            return self.settled(item) or self.done(item)

    def done(self, item: Input) -> Manifest:
        """Segment a scan and write everything of it; what goes wrong with this scan alone is in its manifest."""
        began = time.monotonic()
        try:
            with warnings_told() as told:
                manifest = self.segmented(item, told)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            cause = innermost(error)
            if isinstance(cause, OSError) and cause.errno in HOPELESS and not input_error_in(error):
                raise cause from error
            seconds = {"failed": round(time.monotonic() - began, 3)}
            manifest = {**self.told(item), "status": FAILED, "message": said(error, item), "seconds": seconds}
        write_manifest(self.output_dir, manifest)
        return manifest

    def told(self, item: Input) -> Manifest:
        return {
            "case": item.case,
            "model": self.model.facts,
            "at": _time(time.time()),
            "job": os.environ.get("SLURM_ARRAY_JOB_ID"),
        }

    def segmented(self, item: Input, told: list[str]) -> Manifest:
        forget_peak_memory()
        began = time.monotonic()
        state, sha256 = state_of(item.path), file_sha256(item.path)
        old = read_manifest(manifest_file(self.output_dir, item.case))
        if self.is_finished(old) and old and old["input"]["sha256"] == sha256:
            # Copied or touched since, but the same scan
            return {**old, "input": {**old["input"], "state": state}}
        read_s = time.monotonic() - began
        case = {"case": item.name, "image": str(item.path), "folder": item.folder}
        seconds = {"read": read_s, **self.model.segmenter.segment(case)}
        began = time.monotonic()
        label_file = self.output_dir / f"{item.case}.nii.gz"
        label, scan = read_scan(label_file), read_scan(item.path)
        found, flags = found_in(label, scan, self.model.labels, self.model.errors, item.case)
        seconds["severity"] = time.monotonic() - began
        if sha256 in self.model.trained_on:
            told.append(TRAINED_ON)
        return {
            **self.told(item),
            "status": DONE,
            "message": "",
            "input": {
                "kind": item.kind,
                "sha256": sha256,
                "state": state,
                "size": list(scan.GetSize()),
                "spacing_mm": list(scan.GetSpacing()),
                "intensity": intensity_domain(scan, item.case),
            },
            "files": self.files(item),
            "severity": found,
            "flags": flag_entries(flags),
            "warnings": told,
            "device": str(self.model.segmenter.device),
            "made_with": self.made_with,
            "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
            "peak_memory_mib": round(peak_memory_mib()),
        }

    def files(self, item: Input) -> list[str]:
        """Those that a case has when it is done, below OUT."""
        folder = f"{item.folder}/" if item.folder else ""
        uncertain = self.model.segmenter.setting("save_uncertainty") is not None
        return [f"{item.case}.nii.gz", *([f"{folder}uncertainty/{item.name}.nii.gz"] if uncertain else [])]


def said(error: BaseException, item: Input) -> str:
    """One sentence on what is wrong with a scan, in which it has its name and not its path."""
    if os.environ.get(SHOW_TRACEBACK):
        traceback.print_exception(error)
    mistake = input_error_in(error)
    text = one_sentence(mistake) if mistake else f"{item.case}: {last_line(innermost(error))}."
    return text.replace(str(item.path), item.case)


@contextmanager
def warnings_told() -> Iterator[list[str]]:
    """What this project's modules warn of meanwhile, as sentences; the log has it too."""
    told: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING and _OWN.match(record.name):
                told.append(record.getMessage())

    keep = Keep()
    logging.getLogger().addHandler(keep)
    try:
        yield told
    finally:
        logging.getLogger().removeHandler(keep)


@contextmanager
def progress(total: int) -> Iterator[Any]:
    """A function that is told of each case: a bar on a terminal, a line a case elsewhere."""

    def line(manifest: Manifest, done: int, of: int) -> None:
        if manifest["status"] == FAILED:
            logger.warning("%s failed, %d of %d: %s", manifest["case"], done, of, manifest["message"])
        elif not sys.stderr.isatty():
            seconds = sum(manifest["seconds"].values())
            logger.info("segmented %s, %d of %d, %.1f s", manifest["case"], done, of, seconds)

    if not sys.stderr.isatty():
        yield line
        return
    with logging_redirect_tqdm(), tqdm(total=total, unit="scan") as bar:

        def step(manifest: Manifest, done: int, of: int) -> None:
            line(manifest, done, of)
            bar.update()

        yield step


def _time(seconds: float) -> str:
    """UTC, comparable as text."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


def summarised(every: Sequence[Manifest]) -> bool:
    """Print the table of all scans, and what holds for several of them; whether all are segmented."""
    print(table(every), flush=True)
    if known := [manifest["case"] for manifest in every if TRAINED_ON in manifest.get("warnings", ())]:
        logger.warning("MODEL was trained on %d of these scans: %s", len(known), ", ".join(known))
    return all(manifest["status"] == DONE for manifest in every)


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    logging.config.fileConfig(LOGGING, disable_existing_loggers=False)
    # What is asked to end gives its claim back
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # MONAI warns on every run that a configuration is code; the README says so once.
    warnings.filterwarnings("ignore", category=UserWarning, module="monai.bundle.scripts")
    parser = argparse.ArgumentParser(prog="python -m pipeline.predict", description="Segment lungs and infection.")
    parser.add_argument(
        "--model",
        help="folder of a trained fold, such as runs/unet_3d/cv/fold0; several, or a folder of folds, are an ensemble; "
        "or an exported bundle",
    )
    parser.add_argument("--input", help="a scan (.nii.gz, .nii, .mha, .nrrd), or a folder of scans, and those below it")
    parser.add_argument("--output", default="predictions", help="folder for the results (default: predictions)")
    parser.add_argument("--method", default=VOTE, help=f"of an ensemble: {VOTE} (default) or {MEAN}")
    parser.add_argument("--weights", default="", help=f"of a {MEAN}, one number a member: '2 1 1'")
    parser.add_argument(
        "--mode",
        default=DEFAULT_MODE,
        help="exact, whole, windows or fast (default: what the model's configuration says)",
    )
    parser.add_argument("--merge", action="store_true", help="only write results.csv from what is in the output folder")
    given = parser.parse_args(arguments)
    if given.merge:
        every = manifests(given.output)
        with told_plainly(given.output):
            write_results(given.output, every)
    else:
        if not given.model or not given.input:
            parser.error("--model and --input are required unless --merge is given")
        weights = parse_weights(given.weights)
        every = predict(given.model, given.input, given.output, given.method, weights, given.mode)
    if not summarised(every):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
