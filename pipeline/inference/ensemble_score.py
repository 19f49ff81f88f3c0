"""Score an ensemble on labelled scans, honestly: a member has no vote on a patient that it was trained on.

What is segmented by whom is a list of entries, {"case", "image", "voters", "folder"}; the ensemble's own and those of
every member alone go through one inference, where a member alone is an ensemble with one voter.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.measures.cases import Job, Row, evaluate_cases, write_metrics_csv
from evaluation.statistics.ensemble_severity import CaseSeverity, case_severity, write_severity_csv
from evaluation.statistics.ensemble_tables import Group, ensemble_summary, ensemble_tables
from evaluation.statistics.findings import Finding, flag_cases, write_findings
from pipeline.core.atomic import read_json, write_json
from pipeline.core.bundle_process import run_bundle
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap, label_map
from pipeline.core.run_files import DATALIST, FOLDS, PREDICTIONS
from pipeline.core.stages import first_stage_model_of, has_first_stage, result_label_map
from pipeline.data.datalist import read_datalist
from pipeline.folders.output_folder import claim_output
from pipeline.inference.ensemble import VOTE, parse_weights
from pipeline.inference.members import Member, ensemble_configuration, find_members, is_among
from pipeline.scans.scan import file_sha256

logger = logging.getLogger(__name__)

CONFIGURATION, WEIGHTS, ENTRIES, SUMMARY = "ensemble.json", "members.json", "entries.json", "summary.json"
METRICS, SEVERITY = "metrics.csv", "ensemble_severity.csv"
MEMBERS, LEAKING = "members", "leaking"
EXTERNAL, OUT_OF_PATIENT = "external test set", "out-of-patient"
LEAKING_NAME = "LEAKING: every member votes, also on patients it was trained on"


@dataclass
class EnsembleScore:
    """An ensemble on one labelled data set.

    Args:
        models: as `pipeline.inference.members.find_members` takes them.
        dataset_dir: in any layout that `pipeline.folders.layouts` knows.
        output_dir: gets `predictions/<case>.nii.gz` with `predictions/uncertainty`, `metrics.csv`, `summary.json`,
            `ensemble_severity.csv`, `flags.csv`, and each member's own label maps and `metrics.csv` in
            `members/<name>`.
        method, weights: of the ensemble; weights also as text, empty for none.
        leaky: let all members vote on patients that they were trained on too, in a row of its own, so named.
    """

    models: str | Sequence[str]
    dataset_dir: str
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
        print(ensemble_tables(self.method, groups, severities), flush=True)
        return groups

    def write_summary(self, groups: Sequence[Group], severities: Sequence[CaseSeverity]) -> None:
        names = [member.name for member in self.members]
        write_json(self.folder / SUMMARY, ensemble_summary(self.method, names, groups, severities))

    def score(self) -> tuple[list[Group], list[CaseSeverity]]:
        """The scores of every group of cases, and the severity of each case; what is missing is segmented first."""
        self.segment()
        return [*self.honest_groups(), *self.leaking_groups()], self.severities()

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
        claim_output(self.output_dir, self.dataset_dir)
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
                f"{self.dataset_dir}: every member was trained on every patient, so none may vote; give scans of other "
                "patients, or LEAKY=1 for scores that say nothing about new patients."
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

    def rows(self, folder: str, cases: Iterable[Mapping[str, Any]]) -> list[Row]:
        """The scores of the label maps in a folder."""
        return evaluate_cases([self.job(folder, case) for case in cases], self.classes)

    def job(self, folder: str, case: Mapping[str, Any], others: Iterable[str] = ()) -> Job:
        """The label map of a case in a folder, beside those in other folders."""
        file, *beside = (self.folder / one / f"{case['case']}.nii.gz" for one in (folder, *others))
        scan = Path(case["image"])
        return Job(Path(case["label"]), file, case["case"], case["patient_id"], 0, scan=scan, others=tuple(beside))

    def findings(self, cases: Iterable[Mapping[str, Any]]) -> list[Finding]:
        """The flags of the ensemble's label maps, a disagreement of its voters among them."""
        jobs = []
        for case in cases:
            voters = self.voters[case["case"]]
            jobs.append(self.job(PREDICTIONS, case, map(self.folder_of, voters) if len(voters) > 1 else ()))
        return flag_cases(jobs, self.classes)

    def honest_groups(self) -> list[Group]:
        """Cases on which every member may vote, and those on which only some may; also in files metrics.csv."""
        places = range(len(self.members))
        kinds = {
            EXTERNAL: [case for case in self.cases if len(self.voters[case["case"]]) == len(places)],
            OUT_OF_PATIENT: [case for case in self.cases if 0 < len(self.voters[case["case"]]) < len(places)],
        }
        rows = self.rows(PREDICTIONS, [case for cases in kinds.values() for case in cases])
        write_metrics_csv(rows, self.folder / METRICS)
        alone = {self.members[place].name: self.rows_alone(place) for place in places}
        groups = []
        for name, cases in kinds.items():
            voters = {case["case"]: len(self.voters[case["case"]]) for case in cases}
            mine = {member: of_cases(found, voters) for member, found in alone.items()}
            if voters:
                voting = {member: found for member, found in mine.items() if found}
                groups.append(Group(name, of_cases(rows, voters), voters, voting, self.findings(cases)))
        write_findings([finding for group in groups for finding in group.findings], self.folder)
        return groups

    def rows_alone(self, member: int) -> list[Row]:
        """What a member scores alone, where it votes with others."""
        voting = [(case, self.voters[case["case"]]) for case in self.cases]
        mine = [case for case, voters in voting if len(voters) > 1 and member in voters]
        if not mine:
            return []
        rows = self.rows(self.folder_of(member), mine)
        write_metrics_csv(rows, self.folder / self.folder_of(member) / METRICS)
        return rows

    def leaking_groups(self) -> list[Group]:
        """Cases on which some member has no honest vote, with the votes of all; none where that is not asked for."""
        seen = [case for case in self.cases if len(self.voters[case["case"]]) < len(self.members)]
        if not (self.leaky and seen):
            return []
        rows = self.rows(LEAKING, seen)
        write_metrics_csv(rows, self.folder / LEAKING / METRICS)
        return [Group(LEAKING_NAME, rows, {case["case"]: len(self.members) for case in seen}, {})]

    def severities(self) -> list[CaseSeverity]:
        """Of every case with an honest vote; also in ensemble_severity.csv."""
        found = []
        for case in self.cases:
            voters = self.voters[case["case"]]
            if not voters:
                continue
            name = f"{case['case']}.nii.gz"
            alone = [self.folder / self.folder_of(voter) / name for voter in voters] if len(voters) > 1 else []
            one = case_severity(
                case["case"], Path(case["label"]), self.folder / PREDICTIONS / name, alone, self.classes
            )
            if one:
                found.append(one)
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
        case, manifest = shared[0], os.path.join(external["dataset_dir"], "manifest.json")
        raise InputError(
            f"TEST {external['dataset_dir']}: case {case['case']} of patient {case['patient_id']} is in the training "
            f"data too, by patient or by its very file ({len(shared)} such case(s)), and would not be external; take "
            f"it out or, where it is another patient, name it so in {manifest}."
        )
