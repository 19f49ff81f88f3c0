"""Run a paper's experiment and put the results beside the paper's.

    pneumobundle experiment --paper anam_net --exp 2 --preset demo

What an experiment is stands in `bundles/common/experiments/<paper>.yaml`, and how it chooses the slices to train and
test on in `pipeline.experiments.plan` and `pipeline.experiments.random_plan`. Every model is an ordinary one-fold
cross-validation on a data set of prepared slices; the same command goes on where it was interrupted.
OUTPUT/experiment<N>/ gets `data/`, `<network>/model<k>/`, `slices.csv`, `results.csv` and `results.md`.
"""

from __future__ import annotations

import json
import logging
import logging.config
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.measures.cases import Job, Row
from evaluation.measures.slices import averaged, case_slice_rows
from evaluation.tables.paper_table import published, slice_columns, text, with_references, write_results
from pipeline.core.annotation import Annotation
from pipeline.core.atomic import read_json, write_csv, write_json
from pipeline.core.configuration import INFERENCE, TRAIN, merged, parse_overrides
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.core.run_files import PREDICTIONS
from pipeline.core.stages import stage_overrides, stages_of
from pipeline.data.study import check_unchanged, open_study
from pipeline.experiments.description import PAPER
from pipeline.experiments.notes import notes, title
from pipeline.experiments.plan import Model
from pipeline.experiments.prepared_slices import check_preparation, is_written, write_dataset
from pipeline.experiments.setting import Setting
from pipeline.runs.cross_validation import CrossValidation
from pipeline.scans.scan import file_sha256
from pipeline.training.checkpoint import MODEL

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Experiment(Setting):
    """One experiment of a paper with some networks, at work."""

    def run(self) -> str:
        """Do what is missing, write the results and give them as text; InputError for what the user can mend."""
        check_preparation(self.prepared, self.description.preparations)
        for network in self.networks:
            self.settings(network)
        for experiment in (self, self.training):
            experiment.prepare()
        rows: list[Row] = []
        shown = ""
        for network in self.networks:
            rows += self.network_rows(network)
            # After each network: the table of the first ones may be wanted days before the last
            shown = self.results(rows)
        return shown

    def prepare(self) -> None:
        """Write the slices; InputError where models were trained on others."""
        wanted = (self.dataset_dir, self.plan.pieces, self.prepared)
        if any(self.folder.glob("*/model*")) and not is_written(*wanted):
            raise InputError(
                f"{self.folder}: was begun with other slices than {self.data_dir} now gives; choose another "
                "OUT, or delete that folder."
            )
        write_dataset(*wanted)

    @property
    def folder(self) -> Path:
        """Of this experiment; settings that make other data of the same sets have a folder of their own."""
        name = f"experiment{self.number}"
        if self.by_patient and self.outline.by_patient:
            name += "_by_patient"
        if self.prepared != self.description.preparation:
            name += f"_{self.prepared}"
        return Path(self.output_dir) / name

    @property
    def dataset_dir(self) -> Path:
        return self.folder / "data"

    def model_folder(self, network: str, model: Model) -> Path:
        return self.folder / network.replace(">", "-") / f"model{model.number}"

    def settings(self, network: str) -> dict[str, Any]:
        """What a network's models change of its preset; InputError for a network or override that cannot be."""
        given, classes = parse_overrides(self.overrides), self.description.label_map
        if "label_map" in given:
            raise InputError(f"OVERRIDES sets label_map, which the experiment sets to {classes!r}; leave it out.")
        stages = stages_of(network)
        # A cascade's stages have label maps of their own
        settings: dict[str, Any] = {} if len(stages) > 1 else {"label_map": classes}
        for stage in stages:
            own = self.description.changes(stage.network, self.preset)
            asked = stage_overrides({**own, **given}, stage)
            content = merged(TRAIN, stage.network, self.preset, asked, {}, stage.name, stage.cascade)
            if content["spatial_dims"] != 2:
                names = " ".join(self.description.networks)
                raise InputError(f"NETWORKS has {network}, which is not a 2D network; expected such as {names}.")
            # Neighbouring slices may be of different patients: nothing is interpolated between them.
            own["spacing_mm"] = [*content["spacing_mm"][:2], 0]
            prefix = f"{stage.name}::" if stage.name else ""
            settings |= {f"{prefix}{key}": value for key, value in own.items() if key not in given}
        return {**settings, **given}

    def cross_validation(self, network: str, model: Model) -> CrossValidation:
        """The training of a model, its one fold tested on the plan's test part."""
        overrides, epoch = self.settings(network), self.description.epoch
        if epoch and self.preset == PAPER:
            steps = math.ceil(epoch["copies"] * self.plan.slices(model.train) / epoch["batch_size"])
            overrides = {"iterations_per_epoch": steps, **overrides}
        split = self.folder / f"split{model.number}.json"
        write_json(split, self.plan.split(model.train, model.validation))
        return CrossValidation(
            network=network,
            dataset_dir=str(self.dataset_dir),
            folds=1,
            preset=self.preset,
            output_dir=str(self.model_folder(network, model)),
            split=str(split),
            seed=model.number,
            only_fold=0,
            overrides=overrides,
        )

    def network_rows(self, network: str) -> list[Row]:
        """Train and test a network's models as far as that is missing; a row a model, case, slice and class."""
        rows: list[Row] = []
        for model in self.training.plan.models:
            logger.info("%s: model %d of experiment %d", network, model.number, self.training.number)
            trained = self.training.cross_validation(network, model)
            trained.run()
            if self.training is not self:
                self.predict(trained, self.model_folder(network, model))
            rows += self.model_rows(network, model, trained.result_label_map())
        return rows

    def predict(self, trained: CrossValidation, folder: Path) -> None:
        """Segment this experiment's cases with another one's model, as a study of their own."""
        split = self.folder / "split.json"
        write_json(split, self.plan.split(()))
        study = open_study(folder, self.dataset_dir, 1, str(split))
        check_unchanged(study)
        weights = Path(trained.output_dir) / "fold0" / MODEL
        refuse_other_model(folder, weights)
        if missing := study.unpredicted(0):
            cases = f"$studies.unpredicted({json.dumps(str(folder))}, 0)"
            arguments = {"model_file": weights, "cases": cases, "output_dir": folder / PREDICTIONS}
            trained.bundle_run(f"segmenting {len(missing)} cases of set II", INFERENCE, arguments)

    def model_rows(self, network: str, model: Model, classes: str) -> list[Row]:
        """The scores of a model's predictions, slice by slice; `classes` is the name of their label map."""
        rows = []
        for piece in self.plan.of(self.plan.test):
            file = f"{piece.case}.nii.gz"
            reference = self.dataset_dir / "labels" / file
            prediction = self.model_folder(network, model) / PREDICTIONS / file
            metrics = self.description.metrics
            annotation = Annotation.of(piece.stack.annotates, f"case {piece.case}: ")
            job = Job(reference, prediction, piece.case, piece.stack.patient_id, 0, annotation=annotation)
            for row in case_slice_rows(job, label_map(classes), metrics):
                place = {"case": piece.case, "source_slice": piece.slices[row["slice"]]}
                rows.append({"network": network, "model": model.number, **place, **row})
        return rows

    def results(self, rows: Sequence[Row]) -> str:
        """Write slices.csv, results.csv and results.md; the table and its notes as text."""
        # Here and not while training, so that finished networks need no configuration of their own
        done = list(dict.fromkeys(row["network"] for row in rows))
        trainings = {
            network: [
                self.training.cross_validation(network, model).configuration(TRAIN)
                for model in self.training.plan.models
            ]
            for network in done
        }
        said, paper = notes(self, trainings, rows), published(self.outline.table)
        means = averaged(rows, self.description.metrics, self.description.averagings)
        shown = with_references(means, paper) if self.description.references else means
        write_csv(self.folder / "slices.csv", slice_columns(self.description.metrics), rows)
        write_results(self.folder, title(self), said, shown, paper)
        return text(title(self), said, shown, paper)


def refuse_other_model(folder: Path, weights: Path) -> None:
    """Note which model the predictions in a folder are of; InputError where they are of another one."""
    note, sha256 = folder / "model.json", file_sha256(weights)
    if not note.exists():
        write_json(note, {"model": str(weights), "sha256": sha256})
    if read_json(note)["sha256"] != sha256:
        raise InputError(f"{folder}: holds predictions of an earlier {weights}; delete that folder and run again.")
