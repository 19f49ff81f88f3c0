"""What this project warns of while a scan is segmented, as sentences of its result."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.folders.inputs import Input
from pipeline.prediction.opened_input import without_names

# Loggers of this project's modules; of a bundle and a wheel they are below a package of its own
_OWN = re.compile(r"(\w+\.)?(pipeline|transforms)\.")


@contextmanager
def warnings_told(item: Input, told: list[str] | None = None) -> Iterator[list[str]]:
    """What this project's modules warn of meanwhile, as sentences; the log has it too, as it is told here.

    They are added to `told`. Of other threads, which may be at other scans, nothing is.
    """
    told = [] if told is None else told
    thread = threading.get_ident()

    def tell(record: logging.LogRecord) -> bool:
        """False: this handler writes nothing; the others get the record as it is now."""
        if record.thread == thread:
            record.msg, record.args = without_names(record.getMessage(), item), ()
            # A file may be read more than once
            if record.levelno >= logging.WARNING and _OWN.match(record.name) and record.msg not in told:
                told.append(record.msg)
        return False

    # Before all others, which then get what it makes of a message
    first = logging.Handler()
    first.addFilter(tell)
    root = logging.getLogger()
    root.handlers.insert(0, first)
    try:
        yield told
    finally:
        root.removeHandler(first)
