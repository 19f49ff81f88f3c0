"""Score an ensemble on labelled scans, honestly: a member has no vote on a patient that it was trained on.

What is segmented by whom is a list of entries, {"case", "image", "voters", "folder"}; the ensemble's own and those of
every member alone go through one inference, where a member alone is an ensemble with one voter.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.measures.cases import (
    Job,
    Row,
    case_rows,
    evaluate_cases,
    read_pair,
    read_prediction,
    write_metrics_csv,
)
from evaluation.statistics.ensemble_severity import CaseSeverity, case_severity, write_severity_csv
from evaluation.statistics.ensemble_tables import Group, ensemble_summary, ensemble_tables
from evaluation.statistics.findings import Finding, job_flags, write_findings
from pipeline.core import logs
from pipeline.core.annotation import Annotation, annotation_of
from pipeline.core.atomic import read_json, write_json
from pipeline.core.bundle_process import run_bundle
from pipeline.core.errors import InputError
from pipeline.core.labels import CODES, LabelMap, label_map
from pipeline.core.progress_bar import progress_bar
from pipeline.core.run_files import DATALIST, FOLDS, METRICS_FILE, PREDICTIONS, SUMMARY_FILE
from pipeline.core.stages import first_stage_model_of, has_first_stage, result_label_map
from pipeline.data.datalist import read_datalist
from pipeline.folders.output_folder import claim_output
from pipeline.folders.several import Data, data_folders, folders_of, told
from pipeline.inference.ensemble import VOTE, parse_weights
from pipeline.inference.members import Member, ensemble_configuration, find_members, is_among
from pipeline.scans.geometry import Geometry
from pipeline.scans.scan import file_sha256
from pipeline.scans.simpleitk import sitk

logger = logging.getLogger(__name__)

CONFIGURATION, WEIGHTS, ENTRIES = "ensemble.json", "members.json", "entries.json"
SEVERITY = "ensemble_severity.csv"
MEMBERS, LEAKING = "members", "leaking"
EXTERNAL, OUT_OF_PATIENT = "external test set", "out-of-patient"
LEAKING_NAME = "LEAKING: every member votes, also on patients it was trained on"


@dataclass(frozen=True)
class Measured:
    """All that is told of a case with an honest vote.

    Args:
        rows: of the ensemble.
        alone: place of a member -> its own rows, where it votes with others.
        finding: the flags of the ensemble's label map, a disagreement of its voters among them.
        severity: None where the label map has no infection.
    """

    rows: list[Row]
    alone: Mapping[int, list[Row]]
    finding: Finding
    severity: CaseSeverity | None


@dataclass
class EnsembleScore:
    """An ensemble on one labelled data set.

    Args:
        models: as `pipeline.inference.members.find_members` takes them.
        dataset_dir: in any layout that `pipeline.folders.layouts` knows; a folder, or several as one data set.
        output_dir: gets `predictions/<case>.nii.gz` with `predictions/uncertainty`, `metrics.csv`, `summary.json`,
            `ensemble_severity.csv`, `flags.csv`, and each member's own label maps and `metrics.csv` in
            `members/<name>`.
        method, weights: of the ensemble; weights also as text, empty for none.
        leaky: let all members vote on patients that they were trained on too, in a row of its own, so named.
    """

    models: str | Sequence[str]
    dataset_dir: Data
    output_dir: str
    method: str = VOTE
    weights: Sequence[float] | str | None = None
    leaky: bool = False

    def run(self) -> list[Group]:
        """Segment what is missing, score, print the tables; InputError for what the user can mend."""
        if (self.folder / FOLDS).exists():
            raise InputError(
                f"OUT is {self.folder}, the folder of a cross-validation, whose scores would be replaced; give OUT= "
                "another one."
            )
        groups, severities = self.score()
        self.write_summary(groups, severities)
        logs.result(ensemble_tables(self.method, groups, severities))
        return groups

    def write_summary(self, groups: Sequence[Group], severities: Sequence[CaseSeverity]) -> None:
        names = [member.name for member in self.members]
        write_json(self.folder / SUMMARY_FILE, ensemble_summary(self.method, names, groups, severities))

    def score(self) -> tuple[list[Group], list[CaseSeverity]]:
        """The scores of every group of cases, and the severity of each case; what is missing is segmented first."""
        self.segment()
        cases = [case for case in self.cases if self.voters[case["case"]]]
        honest = {case["case"]: self.measure(case) for case in progress_bar(cases, len(cases), "evaluating")}
        return [*self.honest_groups(honest), *self.leaking_groups()], self.severities(honest)

    def segment(self) -> None:
        """Write every label map that is wanted and not there yet."""
        weights = parse_weights(self.weights) if isinstance(self.weights, str) else self.weights
        self.keep(ensemble_configuration(self.members, self.method, weights))
        write_json(self.folder / ENTRIES, self.entries())
        if missing := unsegmented(self.folder):
            cases = f"$ensemble_score.unsegmented({json.dumps(str(self.folder))})"
            arguments = {"config_file": self.folder / CONFIGURATION, "output_dir": self.folder, "cases": cases}
            run_bundle(f"ensemble of {len(self.members)}: segmenting, {len(missing)} label maps", arguments)

    @property
    def folder(self) -> Path:
        return Path(self.output_dir)

    @cached_property
    def members(self) -> list[Member]:
        return find_members(self.models)

    @cached_property
    def datalist(self) -> dict[str, Any]:
        return read_datalist(self.dataset_dir)

    @cached_property
    def cases(self) -> list[dict[str, Any]]:
        """The datalist's entries with absolute paths."""
        root = Path(self.datalist["dataset_dir"])
        return [
            {**case, "image": str(root / case["image"]), "label": str(root / case["label"])}
            for case in self.datalist["training"]
        ]

    @cached_property
    def voters(self) -> dict[str, list[int]]:
        """Name of a case -> places of the members that were not trained on its patient."""
        return {
            case["case"]: [place for place, member in enumerate(self.members) if not member.has_seen(case)]
            for case in self.datalist["training"]
        }

    def keep(self, configuration: dict[str, Any]) -> None:
        """Write what the results follow from; InputError when the folder was begun with something else."""
        claim_output(self.output_dir, *data_folders(self.dataset_dir))
        files = [member.weights for member in self.members]
        if has_first_stage(configuration):
            files += [Path(first_stage_model_of(file)) for file in files]
        hashes = {str(file): file_sha256(file) for file in files}
        for name, now in ((CONFIGURATION, configuration), (WEIGHTS, hashes), (DATALIST, self.datalist)):
            file = self.folder / name
            if file.exists() and read_json(file) != now:
                raise InputError(
                    f"{self.folder}: was begun with other members, another METHOD or other scans ({file.name} "
                    "differs); choose another OUT, or delete that folder."
                )
            if not file.exists():
                write_json(file, now)

    def entries(self) -> list[dict[str, Any]]:
        """Every label map that is wanted; a case's stand together, so that its files are still in memory."""
        if not (self.leaky or any(self.voters.values())):
            raise InputError(
                f"{told(self.dataset_dir)}: every member was trained on every patient, so none may vote; give scans of "
                "other patients, or LEAKY=1 for scores that say nothing about new patients."
            )
        every = list(range(len(self.members)))
        entries = []
        for case in self.cases:
            voters, own = self.voters[case["case"]], {"case": case["case"], "image": case["image"]}
            if voters:
                entries.append({**own, "voters": voters, "folder": PREDICTIONS})
            if len(voters) > 1:
                entries += [{**own, "voters": [one], "folder": self.folder_of(one)} for one in voters]
            if self.leaky and voters != every:
                entries.append({**own, "voters": every, "folder": LEAKING})
        return entries

    def folder_of(self, member: int) -> str:
        return f"{MEMBERS}/{self.members[member].name}"

    @cached_property
    def classes(self) -> LabelMap:
        return label_map(self.label_map_name())

    def label_map_name(self) -> str:
        return result_label_map(read_json(self.members[0].configuration))

    def job(self, folder: str, case: Mapping[str, Any]) -> Job:
        """The label map of a case in a folder."""
        file, scan = self.folder / folder / f"{case['case']}.nii.gz", Path(case["image"])
        told, codes = annotation_of(case), case.get(CODES)
        return Job(Path(case["label"]), file, case["case"], case["patient_id"], 0, None, scan, told, codes)

    def measure(self, case: Mapping[str, Any]) -> Measured:
        """A case's scores, flags and severity; each of its files is read once, and all are in memory together."""
        job, voters = self.job(PREDICTIONS, case), self.voters[case["case"]]
        reference, prediction = read_pair(job, self.classes)
        grid = Geometry.of(reference)
        alone = [self.job(self.folder_of(voter), case) for voter in voters] if len(voters) > 1 else []
        members = [read_prediction(one, grid, self.classes) for one in alone]

        def rows_of(one: Job, found: sitk.Image) -> list[Row]:
            return case_rows(one, reference, found, self.classes)

        # The scores of one case side by side, not whole cases, whose label maps are as many as the members
        with ThreadPoolExecutor(2) as pool:
            rows, *own = pool.map(rows_of, (job, *alone), (prediction, *members))
        return Measured(
            rows,
            dict(zip(voters, own, strict=False)),
            Finding(job.case, job.fold, None, job_flags(job, prediction, self.classes, members)),
            case_severity(job.case, reference, prediction, members, self.classes)
            if job.annotation == Annotation()
            else None,
        )

    def honest_groups(self, measured: Mapping[str, Measured]) -> list[Group]:
        """Cases on which every member may vote, and those on which only some may; also in files metrics.csv."""
        kinds: dict[str, list[str]] = {EXTERNAL: [], OUT_OF_PATIENT: []}
        for case in measured:
            kinds[EXTERNAL if len(self.voters[case]) == len(self.members) else OUT_OF_PATIENT].append(case)
        rows = [row for cases in kinds.values() for case in cases for row in measured[case].rows]
        write_metrics_csv(rows, self.folder / METRICS_FILE)
        alone = {member.name: self.rows_alone(place, measured) for place, member in enumerate(self.members)}
        groups = []
        for name, cases in kinds.items():
            if cases:
                voters = {case: len(self.voters[case]) for case in cases}
                mine = {member: of_cases(found, voters) for member, found in alone.items()}
                voting = {member: found for member, found in mine.items() if found}
                findings = [measured[case].finding for case in cases]
                groups.append(Group(name, of_cases(rows, voters), voters, voting, findings))
        write_findings([finding for group in groups for finding in group.findings], self.folder)
        return groups

    def rows_alone(self, member: int, measured: Mapping[str, Measured]) -> list[Row]:
        """What a member scores alone, where it votes with others; also in its file metrics.csv."""
        rows = [row for one in measured.values() for row in one.alone.get(member, [])]
        if rows:
            write_metrics_csv(rows, self.folder / self.folder_of(member) / METRICS_FILE)
        return rows

    def leaking_groups(self) -> list[Group]:
        """Cases on which some member has no honest vote, with the votes of all; none where that is not asked for."""
        seen = [case for case in self.cases if len(self.voters[case["case"]]) < len(self.members)]
        if not (self.leaky and seen):
            return []
        rows = evaluate_cases([self.job(LEAKING, case) for case in seen], self.classes)
        write_metrics_csv(rows, self.folder / LEAKING / METRICS_FILE)
        return [Group(LEAKING_NAME, rows, {case["case"]: len(self.members) for case in seen}, {})]

    def severities(self, measured: Mapping[str, Measured]) -> list[CaseSeverity]:
        """Of every case with an honest vote; also in ensemble_severity.csv."""
        found = [one.severity for one in measured.values() if one.severity]
        write_severity_csv(found, self.folder / SEVERITY)
        return found


def of_cases(rows: Iterable[Row], cases: Container[str]) -> list[Row]:
    return [row for row in rows if row["case"] in cases]


def unsegmented(folder: str | Path) -> list[dict[str, Any]]:
    """The entries of a folder's list that have no label map yet, for the configuration."""
    return [entry for entry in read_json(Path(folder) / ENTRIES) if not label_file(folder, entry).exists()]


def label_file(folder: str | Path, entry: Mapping[str, Any]) -> Path:
    return Path(folder) / entry["folder"] / f"{entry['case']}.nii.gz"


def refuse_overlap(external: dict[str, Any], training: Iterable[dict[str, Any]]) -> None:
    """Raise InputError for the first case of an external data set whose patient or image is in the training data."""
    others = list(training)
    if shared := [case for case in external["training"] if is_among(case, others)]:
        case, folders = shared[0], folders_of(external)
        manifest = " or ".join(str(folder / "manifest.json") for folder in folders)
        raise InputError(
            f"TEST {told(folders)}: case {case['case']} of patient {case['patient_id']} is in the training "
            f"data too, by patient or by its very file ({len(shared)} such case(s)), and would not be external; take "
            f"it out or, where it is another patient, name it so in {manifest}."
        )
