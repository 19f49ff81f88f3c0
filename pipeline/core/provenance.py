"""What a result was made with: versions, commit and machine, without names of hosts, people or folders."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from pipeline.core.commit import commit
from pipeline.core.device import name_of
from pipeline.core.machine import cores
from pipeline.core.project import ROOT

PACKAGES = ("pneumobundle", "monai", "numpy", "SimpleITK")
CPU_INFO = Path("/proc/cpuinfo")


def provenance(device: torch.device, folder: Path = ROOT) -> dict[str, str]:
    """Name -> version or description; what cannot be found out is left out.

    `folder` lies in the checkout whose commit is told.
    """
    facts = {
        "commit": commit(folder),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": str(cores()),
        "graphics processor": name_of(device),
    }
    return {name: fact for name, fact in facts.items() if fact}


def processor(file: Path = CPU_INFO) -> str:
    """The processor's name and, where Linux tells them, its family and model: virtual ones share a name.

    Where nobody tells a name, the architecture.
    """
    try:
        first = file.read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return platform.processor() or platform.machine()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    name, family = told.get("model name"), told.get("cpu family")
    if name is None:
        return platform.machine()
    return f"{name} (family {family}, model {told.get('model')})" if family else name


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
