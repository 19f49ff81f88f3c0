"""Cross-validate several networks on the same folds of the same data and compare them on one page.

    pneumobundle compare unet_3d anam_net "unet_3d>enet"

Each network is an ordinary cross-validation, what `make cv` leaves: one that is finished is not repeated, and the same
command goes on where it was interrupted. The comparison is `evaluation.report.compare`'s of their folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from evaluation.report.compare import PAGE, compare_runs
from pipeline.core.errors import InputError
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.in_turn import Several, run_in_turn

RUNS = Path("runs")


@dataclass(frozen=True)
class Networks(Several):
    """Several networks on one data set.

    Args:
        networks: folders of `bundles/`, or cascades `a>b`; at least two.
        structures: those on which the networks are tested against each other, all where none is named.
        against: the network that all others are tested against; empty: every two.

    `output_dir` gets a folder a network and the comparison; where it is empty, the networks are where `make cv` has
    them, runs/<network>/cv, and the comparison is in runs/compare.
    """

    networks: Sequence[str]
    structures: Sequence[str] = ()
    against: str = ""

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
        runs = Path(self.output_dir or RUNS)
        return {name: self.training(name, runs / name.replace(">", "-") / "cv", self.overrides) for name in names}
