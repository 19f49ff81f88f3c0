"""Run an experiment of the Anam-Net paper and put the results beside the paper's.

    python -m pipeline.experiment --paper anam_net --experiment 2 --data data/phantom --preset demo

What the experiments are stands in `pipeline.experiment_plan`. Every model is an ordinary one-fold cross-validation on a
data set of prepared slices; the same command goes on where it was interrupted. OUTPUT/experiment<N>/ gets `data/`,
`<network>/model<k>/`, `slices.csv`, `results.csv` and `results.md`.
"""

from __future__ import annotations

import argparse
import json
import logging
import logging.config
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.cases import Row
from evaluation.paper_table import published, text, write_results
from evaluation.slices import file_slice_rows, model_means
from pipeline.atomic import read_json, write_json
from pipeline.checkpoint import MODEL
from pipeline.configuration import INFERENCE, LOGGING, TRAIN, merged, parse_overrides
from pipeline.cross_validation import CrossValidation
from pipeline.errors import InputError, report_plainly
from pipeline.experiment_notes import TABLES, notes, title
from pipeline.experiment_plan import Model, Plan, make_plan
from pipeline.labels import label_map
from pipeline.prepared_slices import PAPER, PREPARATIONS, check_preparation, is_written, write_dataset
from pipeline.scan import file_sha256
from pipeline.study import PREDICTIONS, check_unchanged, open_study

logger = logging.getLogger(__name__)

ANAM_NET = "anam_net"
NETWORKS = "anam_net unet_2d enet unet_plus_plus segnet attention_unet lednet deeplab_v3_plus"
CLASSES = "abnormal_normal"
NORMALISATION = "unit"  # the paper's: the prepared slices' 8-bit grey over 255
# The paper's slices in a step, and how often an epoch sees each: as it is and mirrored both ways
BATCH, COPIES = 5, 3


@dataclass(frozen=True)
class Experiment:
    """One experiment with some networks.

    Args:
        number: 1, 2 or 3.
        data_dir: holds the sets that the experiment needs, see `pipeline.slice_sets`.
        networks: names of folders of `bundles/`, 2D networks all.
        preset: name of a file of `bundles/common/presets`; only `paper` is the paper's.
        output_dir: of all experiments, since experiment 3 tests the models of experiment 2.
        overrides: keys of train.yaml and inference.yaml to change, or the text of such a dictionary.
        preparation: `paper` or `window`, see `pipeline.prepared_slices`.
        by_patient: in experiments 2 and 3, cut set III between patients.
    """

    number: int
    data_dir: str
    networks: Sequence[str]
    preset: str
    output_dir: str
    overrides: Mapping[str, Any] | str = field(default_factory=dict)
    preparation: str = PAPER
    by_patient: bool = False

    def run(self) -> str:
        """Do what is missing, write the results and give them as text; InputError for what the user can mend."""
        check_preparation(self.preparation)
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
        wanted = (self.dataset_dir, self.plan.pieces, self.preparation)
        if any(self.folder.glob("*/model*")) and not is_written(*wanted):
            raise InputError(
                f"{self.folder}: was begun with other slices than {self.data_dir} now gives; choose another "
                "OUT, or delete that folder."
            )
        write_dataset(*wanted)

    @cached_property
    def plan(self) -> Plan:
        return make_plan(self.number, self.data_dir, self.preparation, self.by_patient)

    @cached_property
    def training(self) -> Experiment:
        """The experiment whose models are tested: experiment 2 for experiment 3, else this one."""
        return replace(self, number=2) if self.number == 3 else self

    @property
    def folder(self) -> Path:
        """Of this experiment; settings that make other data of the same sets have a folder of their own."""
        name = f"experiment{self.number}"
        if self.by_patient and self.number != 1:
            name += "_by_patient"
        return Path(self.output_dir) / (name if self.preparation == PAPER else f"{name}_{self.preparation}")

    @property
    def dataset_dir(self) -> Path:
        return self.folder / "data"

    def model_folder(self, network: str, model: Model) -> Path:
        return self.folder / network / f"model{model.number}"

    def settings(self, network: str) -> dict[str, Any]:
        """What a network's models change of its preset; InputError for a network or override that cannot be."""
        given = parse_overrides(self.overrides)
        if "label_map" in given:
            raise InputError(f"OVERRIDES sets label_map, which the experiment sets to {CLASSES!r}; leave it out.")
        content = merged(TRAIN, network, self.preset, given, {})
        if content["spatial_dims"] != 2:
            raise InputError(f"NETWORKS has {network}, which is not a 2D network; expected such as {NETWORKS}.")
        # Neighbouring slices may be of different patients: nothing is interpolated between them.
        spacing_mm = [*content["spacing_mm"][:2], 0]
        return {"spacing_mm": spacing_mm, "normalisation": NORMALISATION, **given, "label_map": CLASSES}

    def cross_validation(self, network: str, model: Model) -> CrossValidation:
        """The training of a model, its one fold tested on the plan's test part."""
        overrides = self.settings(network)
        if self.preset == PAPER:
            steps = math.ceil(COPIES * self.plan.slices(model.train) / BATCH)
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
            rows += self.model_rows(network, model)
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

    def model_rows(self, network: str, model: Model) -> list[Row]:
        """The scores of a model's predictions, slice by slice."""
        rows = []
        for piece in self.plan.of(self.plan.test):
            file = f"{piece.case}.nii.gz"
            reference = self.dataset_dir / "labels" / file
            prediction = self.model_folder(network, model) / PREDICTIONS / file
            for row in file_slice_rows(reference, prediction, piece.case, label_map(CLASSES)):
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
        said = notes(self, trainings, rows)
        means, paper = model_means(rows), published(TABLES.get(self.number))
        write_results(self.folder, title(self.number), said, rows, means, paper)
        return text(title(self.number), said, means, paper)


def refuse_other_model(folder: Path, weights: Path) -> None:
    """Note which model the predictions in a folder are of; InputError where they are of another one."""
    note, sha256 = folder / "model.json", file_sha256(weights)
    if not note.exists():
        write_json(note, {"model": str(weights), "sha256": sha256})
    if read_json(note)["sha256"] != sha256:
        raise InputError(f"{folder}: holds predictions of an earlier {weights}; delete that folder and run again.")


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    logging.config.fileConfig(LOGGING, disable_existing_loggers=False)
    parser = argparse.ArgumentParser(prog="python -m pipeline.experiment", description="Run a paper's experiment.")
    parser.add_argument("--paper", default=ANAM_NET, help="anam_net, the only one (default)")
    parser.add_argument("--experiment", type=int, required=True, help="1, 2 or 3")
    parser.add_argument("--data", required=True, help="folder with the sets, or with folders of them")
    parser.add_argument("--networks", default=NETWORKS, help="names with spaces between (default: %(default)s)")
    parser.add_argument("--preset", default="paper", help="paper (default), quick or demo")
    parser.add_argument("--output", default="", help="folder for the results (default: runs/<paper>_paper/<preset>)")
    parser.add_argument("--overrides", default="{}", help="a dictionary of keys to change: \"{'max_epochs': 20}\"")
    parser.add_argument("--preparation", default=PAPER, help=f"of the slices: {' or '.join(PREPARATIONS)}")
    parser.add_argument(
        "--by-patient", action="store_true", help="experiments 2, 3: no patient in two parts of set III"
    )
    given = parser.parse_args(arguments)
    if given.paper != ANAM_NET:
        raise InputError(f"PAPER is {given.paper!r}, expected {ANAM_NET}, the only one so far.")
    networks = tuple(dict.fromkeys(given.networks.split()))
    if not networks:
        raise InputError(f"NETWORKS is empty; expected names such as {NETWORKS}.")
    output = given.output or f"runs/{given.paper}_paper/{given.preset}"
    experiment = Experiment(
        given.experiment,
        given.data,
        networks,
        given.preset,
        output,
        parse_overrides(given.overrides),
        given.preparation,
        given.by_patient,
    )
    print(experiment.run(), flush=True)
    print(f"Results are in {experiment.folder}.", flush=True)


if __name__ == "__main__":
    main()
