"""Small bundles, each exported once for all processes of a test run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_overrides
from exported import exported, small_run
from filelock import FileLock

from pipeline.export.build import export
from pipeline.export.source import ensemble_from_run

# A CPU computes alike in float32 whatever else it can
OVERRIDES = {**tiny_overrides(), "mixed_precision": False}


@pytest.fixture(scope="module")
def overrides() -> dict[str, Any]:
    return dict(OVERRIDES)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run have."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def bundle_of(shared: Path) -> Callable[[str], Path]:
    """A network's bundle."""
    return lambda network: _once(shared / "bundles" / network, lambda place: exported(network, place, OVERRIDES))


@pytest.fixture(scope="session")
def run_of(shared: Path) -> Callable[[str], Path]:
    """The run of two members of a network."""

    def made(network: str) -> Path:
        return _once(shared / "runs" / network, lambda place: small_run(network, place / "cv", OVERRIDES))

    return made


@pytest.fixture(scope="session")
def ensemble_of(shared: Path, run_of: Callable[[str], Path]) -> Callable[[str], Path]:
    """The bundle of that run's two members."""

    def made(network: str) -> Path:
        source = ensemble_from_run(network, run_of(network))
        return _once(shared / "ensembles" / network, lambda place: export(source, place))

    return made


def _once(place: Path, make: Callable[[Path], Path]) -> Path:
    """What the first process that asks makes in a folder, for whoever asks."""
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):
        made = place / "made"
        if not made.is_file():
            made.write_text(str(make(place)))
    return Path(made.read_text())
