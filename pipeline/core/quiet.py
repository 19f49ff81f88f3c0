"""Silence for what a library, or another part of this project, would say to nobody's use."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Let a logger tell of errors alone for as long as the block runs."""
    remarks = logging.getLogger(name)
    level = remarks.level
    remarks.setLevel(logging.ERROR)
    try:
        yield
    finally:
        remarks.setLevel(level)
