"""What the commands that run several cross-validations are given alike: declared once, as fields and as options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.data.folds import BY_PATIENT

LOCAL, SLURM = "local", "slurm"


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What is the same in every one of several cross-validations.

    Args:
        data_dir: in any layout that `pipeline.folders.layouts` knows.
        folds: of each cross-validation.
        preset: name of a file of `bundles/common/presets`.
        output_dir: gets the folders of the cross-validations and what is made of them.
        split: `patients`, `published` or a JSON file.
        seed: of the split and of the trainings.
        overrides: keys of train.yaml and inference.yaml to change in every one, or the text of such a dictionary.
        jobs: how many folds of one run side by side.
        gpus: how many train a fold together.
    """

    data_dir: str
    folds: int
    preset: str
    output_dir: str = ""
    split: str = BY_PATIENT
    seed: int = 0
    overrides: Mapping[str, Any] | str = field(default_factory=dict)
    jobs: int = 1
    gpus: int = 1


def add_shared_options(parser: argparse.ArgumentParser, output: str) -> None:
    """Those that `shared` reads, but for JOBS and GPUS, which `add_launch_options` adds; `output` is its help."""
    parser.add_argument("--data", required=True, help="folder with scans and labels")
    parser.add_argument("--folds", type=int, default=5, help="of each cross-validation (default: %(default)s)")
    parser.add_argument("--preset", default="paper", help="paper (default), quick or demo")
    parser.add_argument("--output", default="", help=output)
    parser.add_argument("--overrides", default="{}", help="a dictionary of keys to change: \"{'max_epochs': 20}\"")
    parser.add_argument("--split", default=BY_PATIENT, help="patients (default), published or a JSON file")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the trainings (default: %(default)s)")


def add_launch_options(parser: argparse.ArgumentParser) -> None:
    """Where a command runs, as `pipeline.runs.launch.launch` takes it, and how much of it at a time."""
    parser.add_argument("--launch", default=LOCAL, help=f"{LOCAL} (default) or {SLURM}")
    add_cluster_option(parser)
    parser.add_argument("--jobs", type=int, default=1, help="folds side by side, where local (default: %(default)s)")
    parser.add_argument("--gpus", type=int, default=1, help="that train a fold together (default: %(default)s)")


def add_cluster_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cluster", default="{}", help="a dictionary of settings of bundles/common/cluster.yaml")


def shared(given: argparse.Namespace) -> Shared:
    """What was given for the options of `add_shared_options` and `add_launch_options`."""
    named = ("folds", "preset", "split", "seed", "overrides", "jobs", "gpus")
    return Shared(data_dir=given.data, output_dir=given.output, **{name: getattr(given, name) for name in named})
