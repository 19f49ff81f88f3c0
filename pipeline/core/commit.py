"""The commit that this code is of: of the checkout that it lies in, or that its wheel was built from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pipeline.core.project import ROOT

# In a wheel, in place of a checkout's history; written when it is built
BUILT_FROM = "COMMIT"


def commit(folder: Path = ROOT) -> str | None:
    """Twelve digits of a commit, `with changes` where files differ from it; None where it is not known.

    `folder` is that of a wheel's files, or lies in a checkout.
    """
    built_from = folder / BUILT_FROM
    if built_from.is_file():
        # Not asked of git: a wheel may be installed below some other project's checkout
        return built_from.read_text(encoding="utf-8").strip() or None
    try:
        asked = ["git", "-C", os.fspath(folder), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.replace("-dirty", " with changes")
