"""The processes of contestants: each prepares, measures one call, writes what it found.

python -m benchmarks.measured module [module ...]

Imports the modules once, then forks for every line of its input, a JSON object of function, arguments, answer and
errors: importing PyTorch and MONAI 75 times would take five minutes. Forked before anything was computed, a process has
no threads, no memory and no allocator settings of another one.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.atomic import write_json

STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The most memory that this process had at once."""
    if STATUS.is_file():
        # getrusage counts a parent's memory too when it has forked this process
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(request: Mapping[str, Any]) -> None:
    """Prepare, measure, and write `seconds`, `peak_bytes` and `numbers` to the request's `answer`."""
    module, _, function = request["function"].partition(":")
    measured = getattr(importlib.import_module(module), function)(**request["arguments"])
    began = time.perf_counter()
    numbers = measured() or {}
    seconds = time.perf_counter() - began
    write_json(request["answer"], {"seconds": seconds, "peak_bytes": peak_bytes(), "numbers": numbers})


def in_child(request: Mapping[str, Any]) -> int:
    """Measure in a process of its own, which writes what it says to the request's `errors`; its exit status."""
    child = os.fork()
    if not child:
        status = 1
        try:
            with Path(request["errors"]).open("w") as errors:
                os.dup2(errors.fileno(), 1)
                os.dup2(errors.fileno(), 2)
            measure(request)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    for line in sys.stdin:
        print(in_child(json.loads(line)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
