"""Which version of this program it is, and of what it stands on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from pipeline.core.commit import commit

PACKAGES = ("torch", "monai")


def versions() -> str:
    """One line: `pneumobundle 0.2.0 (commit 0123456789ab), torch 2.13.0, monai 1.6.1, Python 3.11.8`."""
    built = commit()
    own = f"pneumobundle {_version('pneumobundle')}" + (f" (commit {built})" if built else "")
    others = [f"{name} {_version(name)}" for name in PACKAGES]
    return ", ".join([own, *others, f"Python {platform.python_version()}"])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"
