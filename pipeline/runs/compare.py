"""Cross-validate several networks on the same folds of the same data and compare them on one page.

    python -m pipeline.runs.compare --networks "unet_3d anam_net unet_3d>enet" --data data/phantom --preset demo

Each network is an ordinary cross-validation, what `make cv` leaves: one that is finished is not repeated, and the same
command goes on where it was interrupted. The comparison is `evaluation.report.compare`'s of their folders.
"""

from __future__ import annotations

import argparse
import logging.config
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.report.compare import PAGE, compare_runs
from pipeline.core.configuration import LOGGING
from pipeline.core.errors import InputError, report_plainly
from pipeline.data.folds import BY_PATIENT
from pipeline.folders.output_folder import claim_output
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.in_turn import Several, run_in_turn
from pipeline.runs.launch import add_launch_options, launch

RUNS = Path("runs")


@dataclass(frozen=True)
class Networks(Several):
    """Several networks on one data set.

    Args:
        networks: folders of `bundles/`, or cascades `a>b`; at least two.
        data_dir: in any layout that `pipeline.folders.layouts` knows.
        folds: of each cross-validation.
        preset: name of a file of `bundles/common/presets`.
        output_dir: gets a folder a network and the comparison; where it is empty, the networks are where `make cv` has
            them, runs/<network>/cv, and the comparison is in runs/compare.
        split: `patients`, `published` or a JSON file.
        seed: of the split and of the trainings.
        overrides: keys of train.yaml and inference.yaml to change in every network, or the text of such a dictionary.
        structures: those on which the networks are tested against each other, all where none is named.
        against: the network that all others are tested against; empty: every two.
        jobs: how many folds of a network run side by side.
        gpus: how many train a fold together.
    """

    networks: Sequence[str]
    data_dir: str
    folds: int
    preset: str
    output_dir: str = ""
    split: str = BY_PATIENT
    seed: int = 0
    overrides: Mapping[str, Any] | str = field(default_factory=dict)
    structures: Sequence[str] = ()
    against: str = ""
    jobs: int = 1
    gpus: int = 1

    def run(self) -> str:
        """Run what is missing, write the comparison and give its tables as text; InputError for what can be mended."""
        finished = [training.output_dir for _, training in run_in_turn("network", self.trainings)]
        shown = compare_runs(finished, self.page, self.structures, self.against)
        return f"{shown}\nThe comparison is {self.page}."

    @property
    def place(self) -> Path:
        return self.page.parent

    @property
    def page(self) -> Path:
        return Path(self.output_dir or RUNS / "compare") / PAGE

    @cached_property
    def trainings(self) -> dict[str, CrossValidation]:
        """The cross-validation of each network; InputError for fewer than two, and for one that is named twice."""
        names = ["".join(name.split()) for name in self.networks]
        twice = [name for name in names if names.count(name) > 1]
        if twice or len(names) < 2:
            found = f"{twice[0]} twice" if twice else repr(" ".join(names))
            raise InputError(f'NETWORKS is {found}, expected at least two different ones: NETWORKS="unet_3d anam_net".')
        if self.against and self.against not in names:
            raise InputError(f"AGAINST is {self.against}, expected one of NETWORKS: {', '.join(names)}.")
        return {
            name: CrossValidation(
                network=name,
                dataset_dir=self.data_dir,
                folds=self.folds,
                preset=self.preset,
                output_dir=str(Path(self.output_dir or RUNS) / name.replace(">", "-") / "cv"),
                split=self.split,
                seed=self.seed,
                overrides=self.overrides,
                jobs=self.jobs,
                gpus=self.gpus,
            )
            for name in names
        }


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    logging.config.fileConfig(LOGGING, disable_existing_loggers=False)
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.runs.compare", description="Compare networks on one data set."
    )
    parser.add_argument("--networks", required=True, help="names or cascades a>b, with spaces between them")
    parser.add_argument("--data", required=True, help="folder with scans and labels")
    parser.add_argument("--folds", type=int, default=5, help="of each cross-validation (default: %(default)s)")
    parser.add_argument("--preset", default="paper", help="paper (default), quick or demo")
    parser.add_argument("--output", default="", help="gets <network>/cv and the comparison (default: runs/)")
    parser.add_argument("--overrides", default="{}", help="a dictionary of keys to change: \"{'max_epochs': 20}\"")
    parser.add_argument("--split", default=BY_PATIENT, help="patients (default), published or a JSON file")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the trainings (default: %(default)s)")
    parser.add_argument("--structures", default="", help="test on these alone; choose before looking")
    parser.add_argument("--against", default="", help="test all others against this network; choose before looking")
    add_launch_options(parser)
    given = parser.parse_args(arguments)
    if given.output:
        claim_output(given.output, given.data)
    networks = Networks(
        networks=given.networks.split(),
        data_dir=given.data,
        folds=given.folds,
        preset=given.preset,
        output_dir=given.output,
        split=given.split,
        seed=given.seed,
        overrides=given.overrides,
        structures=given.structures.split(),
        against=given.against,
        jobs=given.jobs,
        gpus=given.gpus,
    )
    launch(networks, given.launch, given.cluster)


if __name__ == "__main__":
    main()
