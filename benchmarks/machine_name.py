"""Which machine a table was measured on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from pipeline.core.machine import cores, instructions

CPU_INFO = Path("/proc/cpuinfo")
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


def processor() -> str:
    """The processor's name and, where Linux tells them, its family and model, which tell virtual ones apart."""
    if not CPU_INFO.is_file():
        return platform.processor() or platform.machine()
    pairs = (line.split(":", 1) for line in CPU_INFO.read_text().split("\n\n")[0].splitlines() if ":" in line)
    found = {key.strip(): value.strip() for key, value in pairs}
    name = found.get("model name", platform.machine())
    return f"{name} (family {found['cpu family']}, model {found['model']})" if "cpu family" in found else name


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
