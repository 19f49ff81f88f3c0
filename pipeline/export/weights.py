"""The models of a bundle: a plain state dict, and programs made of it from within the bundle, as TorchScript by MONAI's
own command and as torch.export has them.
"""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.bundle_files.archive import without_paths

logger = logging.getLogger(__name__)
PROGRAM = Path(__file__).parent / "program.py"


def write_weights(state: Mapping[str, Any], target: Path) -> None:
    """A state dict that `weights_only` loads; to memory first, as torch writes the name of a file into it."""
    content = io.BytesIO()
    torch.save(dict(state), content)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.getvalue())


def write_torchscript(bundle: Path, config_file: str, weights: str, target: str) -> None:
    """`ckpt_export` of a bundle's `network_def`; file names are below the bundle's folder.

    In a process of its own, that knows the bundle's code alone and scripts nothing before, so that the bytes are equal
    each time. Raises RuntimeError with what the command said where it fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "model.ts"
        arguments = {
            "bundle_root": bundle,
            "config_file": bundle / config_file,
            "meta_file": bundle / "configs" / "metadata.json",
            "ckpt_file": bundle / weights,
            "filepath": made,
        }
        run_monai("ckpt_export", ["network_def"], arguments, Path(scratch))
        (bundle / target).write_bytes(without_paths(made.read_bytes()))


def write_program(bundle: Path, config_file: str, weights: str, target: str) -> None:
    """A bundle's `network_def` as torch.export has it; logs which sizes it takes, or why there is no such program.

    See `pipeline.export.program`; file names are below the bundle's folder.
    """
    with tempfile.TemporaryDirectory() as scratch:
        told = run_python([str(PROGRAM), str(bundle), config_file, weights, target], Path(scratch))
    found = json.loads(told.splitlines()[-1])
    if "cannot" in found:
        logger.warning("%s: no %s, torch.export cannot make one of it: %s", bundle.name, target, found["cannot"])
    else:
        logger.info("%s: %s takes images of sizes %s", bundle.name, target, found["sizes"])


def run_monai(command: str, values: Sequence[str], arguments: Mapping[str, Any], folder: Path) -> str:
    """`python -m monai.bundle <command>`, as `run_python`."""
    options = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    return run_python(["-m", "monai.bundle", command, *values, *options], folder)


def run_python(words: Sequence[str], folder: Path) -> str:
    """Python with these words in a folder, without anything of this project on its path.

    Returns what it printed; raises RuntimeError with that where it ends with another status than 0.
    """
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # The order of sets of strings must not differ from one process to the next
    clean |= {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if told.returncode:
        raise RuntimeError(f"python {' '.join(words[:3])} ended with status {told.returncode}:\n{told.stdout}")
    return told.stdout
