"""What Windows tells of memory and processes, as `/proc` and `resource` do elsewhere; None on any other system.

By its own libraries, kernel32 and psapi, whose structures stand here as Microsoft documents them. No Windows machine
was there to try this on.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

# Of processthreadsapi.h and minwinbase.h
QUERY_LIMITED_INFORMATION, STILL_ACTIVE = 0x1000, 259


class ProcessMemory(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of psapi.h; sizes are in bytes."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("faults", ctypes.c_uint32),
        ("peak_resident", ctypes.c_size_t),
        ("resident", ctypes.c_size_t),
        ("pools_and_pages", ctypes.c_size_t * 6),
    ]


class SystemMemory(ctypes.Structure):
    """MEMORYSTATUSEX of sysinfoapi.h; sizes are in bytes."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("percent", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("available", ctypes.c_uint64),
        ("pages_and_addresses", ctypes.c_uint64 * 5),
    ]


@cache
def library(name: str) -> Any:
    """A library of Windows; None elsewhere."""
    return getattr(ctypes, "WinDLL", lambda _: None)(name)


def peak_memory_mib() -> float | None:
    """Largest resident memory of this process so far."""
    told = _process_memory()
    return None if told is None else told.peak_resident / 2**20


def memory_mib() -> float | None:
    """Resident memory of this process now."""
    told = _process_memory()
    return None if told is None else told.resident / 2**20


def available_mib() -> float | None:
    """Memory that the machine could still give to processes."""
    kernel, told = library("kernel32"), SystemMemory(size=ctypes.sizeof(SystemMemory))
    if kernel is None or not kernel.GlobalMemoryStatusEx(ctypes.byref(told)):
        return None
    return float(told.available) / 2**20


def _process_memory() -> ProcessMemory | None:
    kernel, psapi = library("kernel32"), library("psapi")
    told = ProcessMemory(size=ctypes.sizeof(ProcessMemory))
    if kernel is None or psapi is None:
        return None
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    own = ctypes.c_void_p(kernel.GetCurrentProcess())
    return told if psapi.GetProcessMemoryInfo(own, ctypes.byref(told), told.size) else None


def process_began(pid: int) -> str | None:
    """When a process began, in 100 ns since 1601; None where none of that number runs, or it may not be asked."""
    kernel = library("kernel32")
    if kernel is None:
        return None
    kernel.OpenProcess.restype = ctypes.c_void_p
    opened = ctypes.c_void_p(kernel.OpenProcess(QUERY_LIMITED_INFORMATION, False, pid))
    if not opened:
        return None
    try:
        status, times = ctypes.c_uint32(), [ctypes.c_uint64() for _ in range(4)]
        kernel.GetExitCodeProcess(opened, ctypes.byref(status))
        if status.value != STILL_ACTIVE or not kernel.GetProcessTimes(opened, *map(ctypes.byref, times)):
            return None
        return str(times[0].value)
    finally:
        kernel.CloseHandle(opened)
