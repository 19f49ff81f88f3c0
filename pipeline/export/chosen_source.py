"""Which weights a bundle is made of, where only its network is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.export.source import Source, from_run, initial
from pipeline.training.checkpoint import MODEL


def source_of(network: str, run: str, fold: int, preset: str, overrides: Mapping[str, Any]) -> Source:
    """From a run that is named, else from the network's own where it has trained models, else initial weights.

    Raises InputError where the run that is named, or the fold, does not exist.
    """
    usual = usual_run(network)
    if run or fold >= 0 or any(usual.rglob(f"fold*/{MODEL}")):
        return from_run(network, Path(run) if run else usual, fold)
    return initial(network, preset, overrides)


def usual_run(network: str) -> Path:
    return Path("runs") / network.replace(">", "-") / "cv"
