"""Processes of tests: forked and not started anew, since importing torch takes longer than what they do."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial

import torch.distributed as dist

from pipeline.core.several_processes import environments, leave


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
    except Exception:
        traceback.print_exc()
    finally:
        # Without pytest's own end
        os._exit(status)


def status_of(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def forked_together(works: list[Callable[[], object]], limit_s: int) -> list[int]:
    """How each of the works ended, each in a process of its own, in a group by gloo."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        each = environments(len(works), free.getsockname()[1])

    def in_group(work: Callable[[], object], environment: dict[str, str]) -> None:
        os.environ |= environment
        dist.init_process_group("gloo")
        work()
        leave()

    started = [forked(partial(in_group, *both), limit_s) for both in zip(works, each, strict=True)]
    return [status_of(number) for number in started]
