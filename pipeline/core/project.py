"""Where this project lies, and what its modules are called in configurations."""

from __future__ import annotations

import sys
from pathlib import Path

PROJECT = "pneumobundle"
# Of the checkout; in a wheel the folder of the package PROJECT
ROOT = Path(__file__).resolve().parents[2]
# That configurations name classes of
FOLDERS = ("pipeline", "transforms", "evaluation")


def program(*words: str) -> list[str]:
    """The words that start a command of this program in another process of this Python."""
    return [sys.executable, "-m", PROJECT, *words]


def inner_name(name: str) -> str:
    """A dotted name from one of FOLDERS on: `pipeline.scans.front` of `pneumobundle.pipeline.scans.front` too.

    Empty for a name of another package.
    """
    inner = name.removeprefix(f"{PROJECT}.")
    return inner if inner.partition(".")[0] in FOLDERS else ""
