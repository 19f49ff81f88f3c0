"""Processes of tests: forked and not started anew, since importing torch takes longer than what they do."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable


def forked(work: Callable[[], object], limit_s: int = 0) -> int:
    """The number of a process that does some work and ends with 0, the status of its SystemExit, or 1.

    After `limit_s` seconds it ends by SIGALRM; 0 for no limit.
    """
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    signal.alarm(limit_s)
    status = 1
    try:
        work()
        status = 0
    except SystemExit as end:
        status = end.code
    finally:
        # Without pytest's own end
        os._exit(status)


def status_of(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
