"""Which machine a table was measured on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from pipeline.core.machine import cores, instructions
from pipeline.core.provenance import processor

PACKAGES = ("torch", "monai", "SimpleITK", "batchgenerators")


def machine() -> dict[str, str | int | bool]:
    """Processor, cores that this process may use, threads, memory, and the versions of what computes."""
    return {
        "cpu": processor(),
        "cores": cores(),
        "torch_threads": torch.get_num_threads(),
        "instructions": instructions(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
