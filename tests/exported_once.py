"""Small bundles, each exported once for all processes of a test run, below a folder that they share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conftest import tiny_overrides
from exported import exported, small_run
from filelock import FileLock

from pipeline.export.build import export
from pipeline.export.source import ensemble_from_run

# A CPU computes alike in float32 whatever else it can
OVERRIDES = {**tiny_overrides(), "mixed_precision": False}


def bundle(shared: Path, network: str) -> Path:
    """A network's bundle."""
    return _once(shared / "bundles" / network, lambda place: exported(network, place, OVERRIDES))


def run(shared: Path, network: str) -> Path:
    """The run of two members of a network."""
    return _once(shared / "runs" / network, lambda place: small_run(network, place / "cv", OVERRIDES))


def ensemble(shared: Path, network: str) -> Path:
    """The bundle of that run's two members."""
    source = ensemble_from_run(network, run(shared, network))
    return _once(shared / "ensembles" / network, lambda place: export(source, place))


def _once(place: Path, make: Callable[[Path], Path]) -> Path:
    """What the first process that asks makes in a folder, for whoever asks."""
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):
        made = place / "made"
        if not made.is_file():
            made.write_text(str(make(place)))
    return Path(made.read_text())
