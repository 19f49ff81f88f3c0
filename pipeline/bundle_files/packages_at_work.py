"""The packages of the bundles that are open in this process: each name stands for one code, while that is there."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from pipeline.core.errors import InputError

# Name of a package -> the folders of the bundles that are open and have it, each with the hash of its code
_OPEN: dict[str, dict[Path, str]] = {}
_LOCK = threading.Lock()


@contextmanager
def imported_from(folder: Path, bundle: str) -> Iterator[None]:
    """Let the packages of a bundle's copy be importable while the block runs, and no longer.

    Else another bundle of the same name, in the same process, would run this one's code, or look for the rest of it
    where nothing is any more. Several that have the same code may be open at a time. InputError, calling it `bundle`,
    where one of the name is open that has other code.
    """
    codes = {path.parent.name: _code_sha256(path.parent) for path in folder.glob("*/__init__.py")}
    with _LOCK:
        for package, code in codes.items():
            if any(code != other for other in _OPEN.get(package, {}).values()):
                raise InputError(
                    f"MODEL is {bundle}, and a bundle is open in this process whose code has the same name, {package}, "
                    "and is another one; close that model first, or use a process for each."
                )
        for package, code in codes.items():
            if package not in _OPEN:
                _forget(package)
            _OPEN.setdefault(package, {})[folder] = code
    try:
        yield
    finally:
        with _LOCK:
            for package in codes:
                _close(package, folder)
            sys.path[:] = [place for place in sys.path if place != str(folder)]


def _close(package: str, folder: Path) -> None:
    others = _OPEN[package]
    del others[folder]
    if not others:
        del _OPEN[package]
        _forget(package)
        return
    # What of it was not imported yet lies beside the others too
    other = next(iter(others))
    for module in _modules(package):
        if hasattr(module, "__path__"):
            module.__path__ = [str(_moved(Path(place), folder, other)) for place in module.__path__]


def _moved(place: Path, folder: Path, other: Path) -> Path:
    return other / place.relative_to(folder) if place.is_relative_to(folder) else place


def _modules(package: str) -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.partition(".")[0] == package]


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def _code_sha256(package: Path) -> str:
    """Of the names and contents of all files of code."""
    files = sorted(package.rglob("*.py"))
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()} {file.relative_to(package).as_posix()}" for file in files
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
