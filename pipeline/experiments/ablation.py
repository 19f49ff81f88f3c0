"""Run the rows of a paper's ablation table on one data set and put the results beside the paper's.

    pneumobundle ablation --paper chs_net --preset demo --folds 2

A row is a network with overrides, listed in `bundles/common/ablations/<paper>.yaml`, and an ordinary cross-validation:
all rows have the same cases and folds, and the same command goes on where it was interrupted. OUTPUT/<row>/ is what
`make cv` leaves; OUTPUT gets `results.csv` and `results.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.measures.averaging import DEVIATION, mean_scores, pooled_scores
from evaluation.measures.cases import Row, read_metrics_csv
from evaluation.measures.metrics import EMPTY_RULE
from evaluation.measures.slices import EMPTY_SLICE_RULE, case_slice_rows
from evaluation.tables.paper_table import Means, Published, published, text, with_references, write_results
from pipeline.core.configuration import COMMON, load, parse_overrides
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.core.run_files import METRICS_FILE
from pipeline.core.stages import STAGES
from pipeline.data.study import Study, load_study
from pipeline.folders.public_set import are_public
from pipeline.folders.several import folders_of, told
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.in_turn import Several, run_in_turn
from pipeline.runs.scores import job_of

ABLATIONS = COMMON / "ablations"
HEADS = ("row", "structure")
CASES, SLICES, POOLED = "cases", "slices", "pooled"
AVERAGINGS = {
    CASES: "Mean over cases",
    SLICES: "Mean ± standard deviation over all slices of all cases",
    POOLED: "All voxels of all cases together",
}
# What belongs beside the numbers of each
RULES = {
    CASES: f"{EMPTY_RULE}; precision is undefined where nothing is predicted, Jaccard where Dice is",
    SLICES: EMPTY_SLICE_RULE,
    POOLED: "the counts of all cases are added up first, so that a large infection counts for more than a small one",
}


@dataclass(frozen=True)
class Ablation(Several):
    """A paper's ablation table on one data set.

    Args:
        paper: name of a file of `bundles/common/ablations`.

    Of the presets only `paper` is the paper's. `output_dir` gets a folder a row, `results.csv` and `results.md`.
    """

    paper: str

    def run(self) -> str:
        """Do what is missing, write the results and give them as text; InputError for what the user can mend."""
        means: list[dict[str, Any]] = []
        shown = ""
        for name, training in run_in_turn(f"{self.paper}, row", self.trainings):
            means += self.means(name, training)
            shown = self.results(means, training)
        return f"{shown}\nResults are in {self.output_dir}."

    @property
    def place(self) -> Path:
        return Path(self.output_dir)

    @cached_property
    def trainings(self) -> dict[str, CrossValidation]:
        """The cross-validation of each row."""
        return {row["name"]: self.cross_validation(row) for row in self.description["rows"]}

    @cached_property
    def description(self) -> dict[str, Any]:
        """What bundles/common/ablations says of the paper."""
        if self.paper not in ablations():
            raise InputError(f"PAPER is {self.paper!r}, expected one of: {', '.join(ablations())}.")
        return load([ABLATIONS / f"{self.paper}.yaml"])

    @cached_property
    def published(self) -> Published:
        return published(self.description["table"])

    def cross_validation(self, row: Mapping[str, Any]) -> CrossValidation:
        """A row's; InputError where an override of the user's would undo what the row is there for."""
        given, own = parse_overrides(self.overrides), row["overrides"]
        if taken := [key for key in given if any(_overlap(key, other) for other in own)]:
            raise InputError(
                f"OVERRIDES sets {taken[0]}, which the row {row['name']} of the ablation sets itself; leave it out."
            )
        return self.training(row["network"], self.place / folder_name(row["name"]), {**given, **own})

    def means(self, name: str, training: CrossValidation) -> list[dict[str, Any]]:
        """A finished row's numbers: one entry an averaging and structure."""
        folder, means = Path(training.output_dir), []
        by_case = read_metrics_csv(folder / METRICS_FILE)
        for averaging, metrics in self.description["averagings"].items():
            score = pooled_scores if averaging == POOLED else mean_scores
            rows = slice_rows_of(training, metrics) if averaging == SLICES else by_case
            for structure, mine in _by_structure(rows).items():
                head = {"row": name, "structure": structure, "averaging": AVERAGINGS[averaging]}
                means.append({**head, "scored": len(mine), **score(mine, metrics)})
        return means

    def results(self, means: Means, training: CrossValidation) -> str:
        """Write results.csv and results.md; the tables and their notes as text."""
        names = [AVERAGINGS[name] for name in self.description["averagings"]]
        ordered = [row for name in names for row in means if row["averaging"] == name]
        shown = with_references(ordered, self.published, HEADS)
        title, notes = self.description["title"], self.notes(load_study(training.output_dir))
        write_results(Path(self.output_dir), title, notes, shown, self.published, HEADS)
        return text(title, notes, shown, self.published, HEADS)

    def notes(self, study: Study) -> list[str]:
        """What has to be said beside the numbers, for them to be read rightly."""
        cases, folders = study.datalist["training"], told(folders_of(study.datalist))
        patients = {case["patient_id"] for case in cases}
        public = are_public(case["case"] for case in cases)
        leaking = ", ".join(study.folds["leaking_patients"])
        what = "the public 20 CTs (Zenodo 3757476)" if public else "the scans"
        return [
            f"Data: {what} in {folders}, {len(cases)} cases of {len(patients)} patients; {self.folds} folds (split "
            f"{self.split}), the same for every row; seed {self.seed}.",
            *([f"Patients that were trained on and tested: {leaking}; the numbers flatter."] if leaking else []),
            f"Training: preset {self.preset}{self._overridden()}; each row's whole configuration is in its folder.",
            *(f"{AVERAGINGS[name]}: {RULES[name]}." for name in self.description["averagings"]),
            *self.description["remarks"],
            self._compared(public),
        ]

    def _overridden(self) -> str:
        given = parse_overrides(self.overrides)
        return f", overrides {dict(given)}" if given else ""

    def _compared(self, public: bool) -> str:
        """Whether the paper's numbers can be compared with ours, which were never got as they were."""
        other = "a part of that, and split otherwise" if public else "other data"
        short = "" if self.preset == "paper" and not parse_overrides(self.overrides) else ", and trained otherwise"
        return (
            f"The paper's numbers are of {self.description['papers_data']}. Ours are of {other}{short}: compare the "
            "order of the rows, NOT the numbers."
        )


def ablations() -> list[str]:
    """Names of the papers' ablations that can be run."""
    return sorted(file.stem for file in ABLATIONS.glob("*.yaml"))


def folder_name(row: str) -> str:
    """A row's name in small letters, digits and underlines: `BU+RIB direct` is `bu_rib_direct`."""
    return re.sub(r"[^a-z0-9]+", "_", row.lower()).strip("_")


def slice_rows_of(training: CrossValidation, metrics: Sequence[str]) -> list[Row]:
    """The metrics of every structure in every slice of the tested cases; `structure` tells which."""
    single = [metric for metric in metrics if not metric.endswith(DEVIATION)]
    study, scored = load_study(training.output_dir), label_map(training.result_label_map())
    jobs = [job_of(study, case, fold) for fold in range(training.folds) for case in study.held_out(fold)]
    return [{"structure": row["class"], **row} for job in jobs for row in case_slice_rows(job, scored, single)]


def _by_structure(rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["structure"], []).append(row)
    return groups


def _overlap(one: str, other: str) -> bool:
    """Whether two override keys set the same, or one sets what the other is a part of; stages of a cascade apart."""
    first, second = (_without_stage(key).split("::") for key in (one, other))
    return all(here == there for here, there in zip(first, second, strict=False))


def _without_stage(key: str) -> str:
    stage, _, rest = key.replace("#", "::").partition("::")
    return rest if stage in STAGES and rest else key.replace("#", "::")
