"""Files that another process may be reading: Windows renames and removes none of these until that one is done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

# How long each further attempt is waited for; none elsewhere, where what is not permitted stays so
WAITS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if os.name == "nt" else ()


def moved(source: Path, target: Path) -> None:
    """Rename a file, over one of the new name too; PermissionError where that one stays open."""
    _attempt(lambda: os.replace(source, target))


def removed(file: Path) -> None:
    """Remove a file unless it is gone; PermissionError where it stays open."""
    _attempt(lambda: file.unlink(missing_ok=True))


def _attempt(action: Callable[[], None]) -> None:
    for wait_s in WAITS_S:
        try:
            action()
            return
        except PermissionError:
            time.sleep(wait_s)
    action()
