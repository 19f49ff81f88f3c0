"""The process of one contestant: prepares, measures one call, writes what it found.

python -m benchmarks.measured benchmarks.module:function '{"argument": 1}' answer.json
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.atomic import write_json

STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The most memory that this process had at once."""
    if STATUS.is_file():
        # getrusage counts a parent's memory too when it has forked this process
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(arguments: Sequence[str]) -> None:
    target, given, answer = arguments
    module, _, function = target.partition(":")
    measured = getattr(importlib.import_module(module), function)(**json.loads(given))
    began = time.perf_counter()
    numbers = measured() or {}
    seconds = time.perf_counter() - began
    write_json(answer, {"seconds": seconds, "peak_bytes": peak_bytes(), "numbers": numbers})


if __name__ == "__main__":
    main(sys.argv[1:])
