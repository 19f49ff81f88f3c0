"""What is on the disk once a function has returned, whatever becomes of the process or of the machine."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def keep(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk now."""
    # A folder cannot be opened on Windows, which writes names by itself
    if os.name == "nt" and path.is_dir():
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write(file: Path, text: str) -> None:
    """Write a file that is whole or not there, and lasts."""
    temporary = file.with_name(f".{uuid.uuid4().hex}.{file.name}")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    move(temporary, file)


def move(source: Path, target: Path) -> None:
    """Rename a file or a folder for good."""
    os.replace(source, target)
    keep(target.parent)
