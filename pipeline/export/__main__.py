"""Export networks as bundles of MONAI's Model Zoo.

python -m pipeline.export --network unet_3d --run runs/unet_3d/cv
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.configuration import cascades, networks, parse_overrides
from pipeline.core.errors import InputError, report_plainly
from pipeline.export.build import Details, export
from pipeline.export.source import Source, ensemble_from_run, from_run, initial
from pipeline.inference.ensemble import parse_weights
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


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m pipeline.export", description="Export networks as MONAI bundles.")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--network", help="such as unet_3d, chs_net or 'unet_3d>enet'")
    chosen.add_argument("--all", action="store_true", help="every network and cascade of the project")
    parser.add_argument("--run", default="", help="folder of a cross-validation (default: runs/<network>/cv, if any)")
    parser.add_argument("--fold", type=int, default=-1, help="whose model is exported (default: the first)")
    parser.add_argument("--ensemble", action="store_true", help="all finished folds of the run as one bundle")
    parser.add_argument("--method", default="", help="of an ensemble: vote or mean (default: the run's own, or vote)")
    parser.add_argument("--weights", default="", help="of a mean, one number a member: '2 1 1'")
    parser.add_argument("--preset", default="paper", help="of the configuration where there is no run")
    parser.add_argument("--overrides", default="{}", help="of the configuration where there is no run")
    parser.add_argument("--output", type=Path, default=Path("build/bundles"))
    parser.add_argument("--url", default="", help="of the folder that files over 25 MB can be had from")
    parser.add_argument("--version", default="", help="of the bundle (default: the project's)")
    parser.add_argument("--changes", default="", help="the changelog's line for --version")
    parser.add_argument("--data-license", type=Path, help="text file with the terms of the data")
    given = parser.parse_args(arguments)
    if given.all and given.run:
        raise InputError(f"RUN is {given.run}, the run of one network; name it: NETWORK=...")
    if given.ensemble and (given.all or given.fold >= 0):
        raise InputError("ENSEMBLE exports all finished folds of one network's run; leave out FOLD, name one NETWORK.")
    details = Details(given.url, given.version, given.changes, given.data_license)
    if given.ensemble:
        run = Path(given.run) if given.run else usual_run(given.network)
        source = ensemble_from_run(given.network, run, given.method, parse_weights(given.weights))
        export(source, given.output, details)
        return
    overrides = parse_overrides(given.overrides)
    for network in [given.network] if given.network else [*networks(), *cascades()]:
        export(source_of(network, given.run, given.fold, given.preset, overrides), given.output, details)


if __name__ == "__main__":
    main()
