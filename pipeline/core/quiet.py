"""Silence for what a library, or another part of this project, would say to nobody's use."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Let a logger tell of errors alone for as long as the block runs."""
    with at_level(logging.getLogger(name), logging.ERROR):
        yield


@contextmanager
def silent(logger: logging.Logger) -> Iterator[None]:
    """Let a logger tell of nothing for as long as the block runs."""
    with at_level(logger, logging.CRITICAL + 1):
        yield


@contextmanager
def at_level(remarks: logging.Logger, level_of_block: int) -> Iterator[None]:
    """Let a logger tell of what is at least so grave for as long as the block runs."""
    level = remarks.level
    remarks.setLevel(level_of_block)
    try:
        yield
    finally:
        remarks.setLevel(level)
