"""Before a model segments in 8 bits: make them where they are not beside it yet, or not any more."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.core.errors import CAUSE_FILE, InputError
from pipeline.core.project import program
from pipeline.inference.eight_bits import NoEightBitsError, read_eight_bits
from pipeline.inference.members import Member
from pipeline.inferers.openvino_network import package

logger = logging.getLogger(__name__)
# Commands of this program
CALIBRATION, FIDELITY = "calibrate", "fidelity"


def make_ready(members: Sequence[Member]) -> None:
    """Calibrate the members that have no 8 bits of their weights, and measure what that changes in a single one.

    Both happens in processes of their own, whose memory ends with them. InputError where it cannot be done.
    """
    package("openvino")
    made = [file for member in members for file in member.weight_files if not is_ready(file)]
    for file in made:
        logger.info("%s: calibrating its 8 bits on its training scans; this happens once, and takes minutes", file)
        run(CALIBRATION, file)
    if made and len(members) == 1:
        logger.info("%s: measuring what 8 bits change in held-out scans, for MODE=auto", members[0].weights)
        try:
            run(FIDELITY, members[0].weights)
        except InputError as error:
            # The 8 bits are of use all the same, MODE=auto alone does without
            logger.warning("%s", error)


def is_ready(model_file: Path) -> bool:
    """Whether the 8 bits beside a model are whole and of its weights; the log says why not."""
    try:
        read_eight_bits(model_file)
    except NoEightBitsError as reason:
        logger.info("%s", reason)
        return False
    except InputError as reason:
        logger.warning("%s It is made anew.", reason)
        return False
    return True


def run(command: str, model_file: Path) -> None:
    """Run a command of this program for a model in a process of its own; InputError with the cause where it fails."""
    with TemporaryDirectory() as folder:
        cause = Path(folder) / "cause.txt"
        status = subprocess.run(
            program(command, str(model_file)), env={**os.environ, CAUSE_FILE: str(cause)}, check=False
        ).returncode
        said = cause.read_text(encoding="utf-8") if cause.is_file() else f"{command} ended with status {status}"
    if status:
        raise InputError(said)
