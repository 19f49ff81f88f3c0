"""The models of a bundle: a plain state dict, and TorchScript made by MONAI's own command from within the bundle."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.bundle_files.archive import without_paths


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


def run_monai(
    command: str,
    values: Sequence[str],
    arguments: Mapping[str, Any],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> str:
    """`python -m monai.bundle <command>` in a folder, without anything of this project on Python's path.

    Returns what it printed; raises RuntimeError with that where it ends with another status than 0.
    """
    words = [sys.executable, "-m", "monai.bundle", command, *values]
    for name, value in arguments.items():
        words += [f"--{name}", str(value)]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # The order of sets of strings must not differ from one process to the next
    clean |= {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
    told = subprocess.run(
        words, cwd=folder, env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if told.returncode:
        raise RuntimeError(f"monai.bundle {command} ended with status {told.returncode}:\n{told.stdout}")
    return told.stdout
