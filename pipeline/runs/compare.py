"""Cross-validate several networks on the same folds of the same data and compare them on one page.

    pneumobundle compare unet_3d anam_net "unet_3d>enet"

Each network is an ordinary cross-validation, what `make cv` leaves: one that is finished is not repeated, and the same
command goes on where it was interrupted. Label files of another program, or of a reader, may stand beside them, scored
as `make score` scores them. The comparison is `evaluation.report.compare`'s of all these folders.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from evaluation.report.compare import PAGE, check_page, compare_runs
from pipeline.core.errors import InputError
from pipeline.core.run_files import SCORED
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.in_turn import Several, check_all, run_in_turn
from pipeline.runs.score_labels import LabelScore

RUNS = Path("runs")
WITH = 'WITH="nnunet=folder reader2=folder"'


@dataclass(frozen=True)
class Networks(Several):
    """Several networks on one data set.

    Args:
        networks: folders of `bundles/`, or cascades `a>b`; at least two, or one beside `outside`.
        structures: those on which the networks are tested against each other, all where none is named.
        against: the network that all others are tested against; empty: every two.
        outside: name -> folder of label files that were made elsewhere, or of what `make score` made of them.

    `output_dir` gets a folder a network and the comparison; where it is empty, the networks are where `make cv` has
    them, runs/<network>/cv, and the comparison is in runs/compare.
    """

    networks: Sequence[str]
    structures: Sequence[str] = ()
    against: str = ""
    outside: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> str:
        """Run what is missing, write the comparison and give its tables as text; InputError for what can be mended."""
        # Before the first is trained, which may take days
        check_page(self.page)
        check_all(self.trainings)
        scored = {self.scored(name, Path(folder)): name for name, folder in self.outside.items()}
        finished = [Path(training.output_dir) for _, training in run_in_turn("network", self.trainings)]
        shown = compare_runs([*finished, *scored], self.page, self.structures, self.against, scored)
        return f"{shown}\nThe comparison is {self.page}."

    def scored(self, name: str, folder: Path) -> Path:
        """The folder of the scores of label files; these are scored unless they are."""
        if (folder / SCORED).is_file():
            return folder
        place = Path(self.output_dir or RUNS) / "score" / name
        LabelScore(folder, self.data_dir, place, name).run()
        return place

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
        both = [name for name in names if name in self.outside]
        if twice or not names or len(names) + len(self.outside) < 2:
            found = f"{twice[0]} twice" if twice else repr(" ".join(names))
            raise InputError(f'NETWORKS is {found}, expected at least two different ones: NETWORKS="unet_3d anam_net".')
        if both:
            raise InputError(f"WITH calls a folder {both[0]}, as one of NETWORKS is called; give it another name.")
        if self.against and self.against not in (*names, *self.outside):
            expected = f"one of NETWORKS: {', '.join(names)}"
            more = f"; or of WITH: {', '.join(self.outside)}" if self.outside else ""
            raise InputError(f"AGAINST is {self.against}, expected {expected}{more}.")
        runs = Path(self.output_dir or RUNS)
        return {name: self.training(name, runs / name.replace(">", "-") / "cv", self.overrides) for name in names}


def outside_of(text: str) -> dict[str, str]:
    """What WITH says, "nnunet=folder reader2='another folder'": name -> folder; InputError for anything else."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"WITH is {text!r}, whose quotes do not end; expected {WITH}.") from error
    found: dict[str, str] = {}
    for word in words:
        name, _, folder = word.partition("=")
        if not name or not folder or "/" in name or name in found:
            twice = f", which names {name} twice" if name in found else ""
            raise InputError(f"WITH is {text!r}{twice}; expected names with a folder each: {WITH}.")
        if not Path(folder).is_dir():
            raise InputError(f"WITH calls {folder} {name}, but there is no such folder; check the path.")
        found[name] = folder
    return found
