"""`python -m monai.bundle run` in a process of its own; its memory and settings end with it."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue

from pipeline.configuration import LOGGING, METADATA
from pipeline.errors import InputError

logger = logging.getLogger(__name__)


def run_bundle(what: str, arguments: Mapping[str, Any], threads: int = 0) -> None:
    """Run a bundle with `--key value` of each argument, `config_file` among them; InputError where it fails.

    `what` is said before it starts and where it fails. `threads` is how many it computes with, 0 for as many as it
    likes; what the environment says comes first.
    """
    command = [sys.executable, "-m", "monai.bundle", "run"]
    for key, value in {"meta_file": METADATA, "logging_file": LOGGING, **arguments}.items():
        command += [f"--{key}", as_word(str(value))]
    shown = shlex.join(["python", *command[1:]]).replace(f"{Path.cwd()}{os.sep}", "")
    logger.info("%s\n  %s", what, shown)
    # MONAI warns on every run that a configuration is code; the README says so once.
    settings = {"PYTHONWARNINGS": "ignore::UserWarning:monai.bundle.scripts"}
    if threads:
        settings["OMP_NUM_THREADS"] = str(threads)
    status = subprocess.run(command, env={**settings, **os.environ}, check=False).returncode
    if status:
        raise InputError(f"{what} ended with status {status}, see above; run the same command again to go on.")


def as_word(text: str) -> str:
    """Text as a command-line word that fire reads back as this text; a path such as `a,b` would become a tuple."""
    return text if str(DefaultParseValue(text)) == text else json.dumps(text)
