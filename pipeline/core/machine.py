"""What this machine has, and how to use it."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from pipeline.core import windows
from pipeline.core.errors import InputError

try:
    import resource
except ModuleNotFoundError:
    # Windows has none
    resource = None  # type: ignore[assignment]

# Numbers of glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD_BYTES = 64 * 2**20
MEMORY_INFO = Path("/proc/meminfo")
# Where Linux tells the control groups of this process, and their limits
CONTROL_GROUPS, CONTROLLED = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
# torch's names of instructions and people's, the best first
AMX, BFLOAT16 = "AMX with bfloat16", "AVX-512 with bfloat16"
BEYOND_AVX2 = {"amx_bf16": AMX, "avx512_bf16": BFLOAT16, "avx512_vnni": "AVX-512 with VNNI", "avx512_f": "AVX-512"}
INSTRUCTIONS = {**BEYOND_AVX2, "avx_vnni": "AVX2 with VNNI", "avx2": "AVX2"}


def cores() -> int:
    """Processor cores that this process may use, which on a cluster are fewer than the machine has."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Not every SLURM binds its jobs to the cores that it gives them
    return min(allowed, int(os.environ.get("SLURM_CPUS_PER_TASK", allowed)))


def peak_memory_mib() -> float | None:
    """Largest resident memory of this process so far; None where the system does not tell."""
    if resource is None:
        return windows.peak_memory_mib()
    largest: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, others KiB
    return largest / 2**20 if sys.platform == "darwin" else largest / 2**10


def forget_peak_memory() -> None:
    """Let `peak_memory_mib` begin anew from now on, where the system can do that (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def memory_left_mib() -> float:
    """What this process may still allocate: the least that system, control groups, SLURM and ulimit leave it.

    Infinite where none of them tells.
    """
    used = memory_mib() or 0.0
    left = [available_mib(), *(limit - usage for limit, usage in _control_groups())]
    job = os.environ.get("SLURM_MEM_PER_NODE"), os.environ.get("SLURM_MEM_PER_CPU")
    if job[0] and float(job[0]):
        left.append(float(job[0]) - used)
    elif job[1] and float(job[1]):
        left.append(float(job[1]) * int(os.environ.get("SLURM_CPUS_ON_NODE", "1")) - used)
    if resource is not None:
        addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
        if addresses != resource.RLIM_INFINITY and (mapped := _mapped_mib()):
            left.append(addresses / 2**20 - mapped)
    return max(min(left), 0.0)


def check_memory_left(needed_mib: float, said: Callable[[float, float], str], reusable_mib: float = 0.0) -> None:
    """Raise InputError where more memory is needed than is left; `said` words it, from both figures in MiB.

    `reusable_mib` this process has already and does not need for anything else: it counts as left.
    """
    left_mib = memory_left_mib() + reusable_mib
    if needed_mib > left_mib:
        raise InputError(said(needed_mib, left_mib))


def available_mib() -> float:
    """Memory that this machine could still give to processes; infinite where the system does not tell, as macOS."""
    try:
        lines = MEMORY_INFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return windows.available_mib() or math.inf
    facts = dict(line.split(":", 1) for line in lines)
    return int(facts["MemAvailable"].split()[0]) / 1024 if "MemAvailable" in facts else math.inf


def _mapped_mib() -> float:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * mmap.PAGESIZE / 2**20
    except OSError:
        return 0.0


def _control_groups(groups: Path = CONTROL_GROUPS, root: Path = CONTROLLED) -> Iterator[tuple[float, float]]:
    """Limit and use in MiB of every control group that this process is in; files that can be dropped are no use."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        # Of version 2 there is one line without controllers
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        top = root / "memory" if controllers else root
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        place = top / name.lstrip("/")
        # A container may see its own group as the top one
        for folder in (place, *place.parents):
            try:
                limit, usage = ((folder / each).read_text("ascii").strip() for each in names)
                statistics = dict(each.split() for each in (folder / "memory.stat").read_text("ascii").splitlines())
            except (OSError, ValueError):
                pass
            else:
                if limit != "max":
                    dropped = int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0)))
                    yield int(limit) / 2**20, (int(usage) - dropped) / 2**20
            if folder == top:
                break


def memory_mib() -> float | None:
    """Resident memory of this process now; the largest so far, or None, where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        now_mib = windows.memory_mib()
        return peak_memory_mib() if now_mib is None else now_mib
    return pages * mmap.PAGESIZE / 2**20


def memory_in_words() -> str:
    """Of `memory_mib`."""
    now_mib = memory_mib()
    return "memory unknown" if now_mib is None else f"{now_mib:.0f} MiB"


def instructions() -> str:
    """The best of a CPU's instructions that networks gain from, such as `AVX2`; ATEN_CPU_CAPABILITY may hold it back.

    Where torch is too old to tell, the architecture alone.
    """
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    most = os.environ.get("ATEN_CPU_CAPABILITY", "avx512")
    usable = {key for key, has in capabilities.items() if has is True and not (most != "avx512" and key in BEYOND_AVX2)}
    return next((name for key, name in INSTRUCTIONS.items() if key in usable), platform.machine())


def computes_bfloat16() -> bool:
    """Whether this CPU has bfloat16 instructions; without them bfloat16 is slower than float32.

    False where torch is too old to tell.
    """
    return instructions() in (AMX, BFLOAT16)


def in_words(count: float) -> str:
    """Bytes in a unit that a person reads: `3.2 GiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.4g} TiB"


def keep_allocations() -> bool:
    """Let glibc reuse freed memory instead of returning it to the system; whether that could be set.

    PyTorch on a CPU otherwise spends 40-47 % of its time in page faults on large 3D tensors. Costs 10-60 % more memory.
    Other C libraries (macOS, musl, Windows) do without.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1), mallopt(M_TOP_PAD, TOP_PAD_BYTES)])


def give_memory_back() -> None:
    """Return to the system what is free, which `keep_allocations` keeps; of glibc alone."""
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
