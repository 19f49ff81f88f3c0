"""Leave one patient out: a cross-validation with as many folds as patients, whose models then vote on other patients.

The EAMC paper's ensemble (Pal Das et al. 2022, section 2.2). Training and validation are
`pipeline.runs.cross_validation.CrossValidation`, the vote is `pipeline.inference.ensemble_score.EnsembleScore`.
"""

from __future__ import annotations

import logging
import time
from ast import literal_eval
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.measures.cases import Row, read_metrics_csv
from evaluation.report.cross_validation import write_report
from evaluation.statistics.ensemble_severity import CaseSeverity
from evaluation.statistics.ensemble_tables import Group, ensemble_summary, ensemble_tables, leave_one_out_table
from pipeline.core import logs
from pipeline.core.atomic import write_json
from pipeline.core.configuration import COMMON, load, parse_overrides
from pipeline.core.errors import InputError
from pipeline.core.progress_bar import duration
from pipeline.core.run_files import ENSEMBLE_SCORES, METRICS_FILE
from pipeline.core.stages import STAGES
from pipeline.data.datalist import read_datalist
from pipeline.data.folds import ONE_PATIENT_OUT, patients_of
from pipeline.data.study import Study, open_study
from pipeline.folders.output_folder import check_output
from pipeline.folders.several import Data, data_folders, folders_of, list_all, told
from pipeline.inference.ensemble import VOTE, check_method
from pipeline.inference.ensemble_score import OUT_OF_PATIENT, EnsembleScore, refuse_overlap
from pipeline.inference.members import ANSWERED, SEEN, WINDOWS
from pipeline.runs.cross_validation import REFERENCE, CrossValidation
from pipeline.runs.units import Unit

logger = logging.getLogger(__name__)

MEMBERS = COMMON / "members"
NO_TEST = (
    "There is no TEST, a labelled data set of other patients, so what the members' vote is worth was not measured."
)


@dataclass
class LeaveOneOut:
    """One network or cascade, one data set, a member a patient.

    Args:
        network, dataset_dir, preset, overrides, lungs, jobs, gpus: as `CrossValidation` takes them; what
            `bundles/common/members/<preset>.yaml` says stands below the overrides.
        output_dir: gets what a cross-validation leaves, `external/` as `EnsembleScore` leaves it, and `lopo.json`, all
            the numbers that are printed.
        test_dir: a data set of other patients, in any layout, in one folder or several; None for none.
        seed: member k is trained with seed + k.
        members: number of a member, or its place in a list -> overrides for it alone; or such a text.
        method: `vote` or `mean`.
        leaky: score all members on the patients that they were trained on too.
    """

    network: str
    dataset_dir: Data
    preset: str
    output_dir: str
    test_dir: Data | None = None
    seed: int = 0
    overrides: Mapping[str, Any] | str = field(default_factory=dict)
    members: Mapping[int, Mapping[str, Any]] | Sequence[Mapping[str, Any]] | str = field(default_factory=dict)
    lungs: str = REFERENCE
    method: str = VOTE
    leaky: bool = False
    jobs: int = 1
    gpus: int = 1

    def run(self) -> None:
        """Do what is missing, then print the tables; InputError for what the user can mend."""
        began = time.monotonic()
        study = self.check()
        self.cross_validation.run()
        rows = read_metrics_csv(Path(self.output_dir) / METRICS_FILE)
        groups, severities = self.scores(study, rows)
        summary = ensemble_summary(self.method, [f"fold{fold}" for fold in self.seeds], groups, severities)
        write_json(Path(self.output_dir) / ENSEMBLE_SCORES, {**summary, "seeds": list(self.seeds.values())})
        tables = [leave_one_out_table(rows, self.seeds), ensemble_tables(self.method, groups, severities)]
        shown = "\n\n".join(("", *tables, *([] if self.test_dir else [NO_TEST])))
        logs.result(shown, folder=self.output_dir, summary=summary)
        # Again, now with the ensemble
        logger.info("Report: %s", write_report(Path(self.output_dir)))
        logger.info("Done in %s. Results are in %s", duration(time.monotonic() - began), self.output_dir)

    def check(self) -> Study:
        """Refuse what cannot be scored in the end, before days of training; the study."""
        check_method(self.method, None, self.count)
        self.check_members()
        check_output(self.output_dir, *(data_folders(self.test_dir) if self.test_dir else []))
        study = open_study(self.output_dir, self.dataset_dir, self.count, ONE_PATIENT_OUT, self.seed)
        if self.test_dir is not None:
            # The last that is read of it until the trainings are over
            refuse_overlap(read_datalist(self.test_dir), study.datalist["training"])
        return study

    def prepare(self) -> list[Unit]:
        """As `CrossValidation.prepare`."""
        self.check()
        return self.cross_validation.prepare()

    def units(self) -> list[Unit]:
        return self.cross_validation.units()

    @property
    def place(self) -> Path:
        return Path(self.output_dir)

    @cached_property
    def count(self) -> int:
        """Of patients, and so of members."""
        patients = patients_of([{"patient_id": case.patient_id} for case in list_all(self.dataset_dir).cases])
        if len(patients) < 2:
            raise InputError(
                f"{told(self.dataset_dir)}: has scans of {len(patients)} patient(s); leaving one out needs 2 or more; "
                "add patients, or name them in manifest.json."
            )
        return len(patients)

    @property
    def seeds(self) -> dict[int, int]:
        return {member: self.seed + member for member in range(self.count)}

    @cached_property
    def cross_validation(self) -> CrossValidation:
        layer = MEMBERS / f"{self.preset}.yaml"
        return CrossValidation(
            network=self.network,
            dataset_dir=self.dataset_dir,
            folds=self.count,
            preset=self.preset,
            output_dir=self.output_dir,
            split=ONE_PATIENT_OUT,
            seed=self.seed,
            overrides={**(load([layer]) if layer.is_file() else {}), **parse_overrides(self.overrides)},
            lungs=self.lungs,
            # A fold's weights begin from seed + fold already; so that its patches are others too
            fold_overrides={
                member: {"train::sampler::seed": seed, **self.own_overrides.get(member, {})}
                for member, seed in self.seeds.items()
            },
            jobs=self.jobs,
            gpus=self.gpus,
        )

    @cached_property
    def own_overrides(self) -> dict[int, Mapping[str, Any]]:
        """Number of a member -> what is changed for it alone; InputError for anything else."""
        given: Any = self.members
        if isinstance(given, str):
            try:
                given = literal_eval(given)
            except (SyntaxError, ValueError) as error:
                given = error
        expected = "expected {3: {'learning_rate': 0.002}}, or a list with one such dictionary a member"
        if isinstance(given, Sequence):
            if len(given) != self.count:
                raise InputError(f"MEMBERS lists {len(given)} members, but there are {self.count}; {expected}.")
            given = dict(enumerate(given))
        if not isinstance(given, Mapping) or not all(isinstance(own, Mapping) for own in given.values()):
            raise InputError(f"MEMBERS is {self.members}; {expected}.")
        # A configuration file's keys are texts
        numbered = {int(member) if str(member).isdigit() else member: own for member, own in given.items()}
        if unknown := [member for member in numbered if member not in self.seeds]:
            raise InputError(f"MEMBERS names member {unknown[0]!r}; expected 0 to {self.count - 1}.")
        return numbered

    def check_members(self) -> None:
        """Raise InputError where a member's own overrides would keep it from sharing a window with the others."""
        shared = {"spatial_dims", *SEEN, *ANSWERED, *(key for keys in WINDOWS.values() for key in keys)}
        for member, own in self.own_overrides.items():
            for key in own:
                parts = key.replace("#", "::").split("::")
                name = parts[1] if parts[0] in STAGES and len(parts) > 1 else parts[0]
                if name in shared:
                    raise InputError(
                        f"MEMBERS: member {member} changes {key}, but all members look at the same windows and name "
                        "the same classes; change it for all in OVERRIDES."
                    )

    def scores(self, study: Study, rows: list[Row]) -> tuple[list[Group], list[CaseSeverity]]:
        """On the patients left out, on the external ones and, where asked for, the leaking ones."""
        groups = [Group(OUT_OF_PATIENT, rows, {row["case"]: 1 for row in rows}, {})]
        severities: list[CaseSeverity] = []
        if self.test_dir is not None:
            external = self.ensemble("external", self.test_dir)
            found, severities = external.score()
            external.write_summary(found, severities)
            groups += found
        if self.leaky:
            # In this very folder, where the honest predictions are already
            everywhere = self.ensemble("", folders_of(study.datalist), leaky=True)
            everywhere.segment()
            groups += everywhere.leaking_groups()
        return groups, severities

    def ensemble(self, name: str, dataset_dir: Data, leaky: bool = False) -> EnsembleScore:
        return EnsembleScore(
            models=self.output_dir,
            dataset_dir=dataset_dir,
            output_dir=str(Path(self.output_dir) / name),
            method=self.method,
            leaky=leaky,
        )
