"""What a cross-validation left in its folder, as far as it is there."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from evaluation.measures.cases import Row, read_metrics_csv
from evaluation.statistics.findings import Finding, read_findings
from evaluation.statistics.reliability import CaseCounts, read_counts
from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap, label_map
from pipeline.core.run_files import (
    DATALIST,
    ENSEMBLE_SCORES,
    FOLDS,
    METRICS_FILE,
    PREDICTIONS,
    PROBABILITIES,
    SCORED,
    SUMMARY_FILE,
)
from pipeline.core.stages import STAGES, result_label_map
from pipeline.folders.several import folders_of

LOSSES = ("train_loss", "val_loss")

# Loss -> [(epoch, value), ...], those epochs alone where it was measured
History = dict[str, list[tuple[int, float]]]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Stage:
    """One training a fold: a network, or one of the two networks of a cascade.

    Args:
        name: of a cascade's stage, else empty.
        settings: of train.json.
        trainings: fold -> training.json of a finished training.
        segmentations: fold -> segmentation.json, its `cases` and the `seconds` that they took.
        histories: fold -> curves of history.csv.
    """

    name: str
    settings: Mapping[str, Any]
    trainings: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    segmentations: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    histories: Mapping[int, History] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A cross-validation's folder.

    Args:
        stages: in the order in which they work; at least one.
        dataset_dir: where the scans lie, or what holds the folders where there are several.
        cases: name -> entry of the datalist; empty where there is no datalist.json.
        datalist: its other keys.
        folds: content of folds.json, {} where there is none.
        rows: of metrics.csv, none where it was not evaluated.
        findings: severity and flags of the cases, of severity.csv and flags.csv.
        counts: of the infection's probability, of reliability.csv; none where no probabilities were scored.
        ensemble: of lopo.json, {} where the run is no leave-one-patient-out ensemble's.
        summary: of summary.json, {} where the run was not evaluated.
        scored: of scored.json, what made label maps that were scored and not made here; {} of a run of trainings.
    """

    folder: Path
    stages: tuple[Stage, ...]
    dataset_dir: Path
    cases: Mapping[str, Mapping[str, Any]]
    datalist: Mapping[str, Any]
    folds: Mapping[str, Any]
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...] = ()
    counts: tuple[CaseCounts, ...] = ()
    ensemble: Mapping[str, Any] = field(default_factory=dict)
    scored: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the last stage, whose predictions are the result."""
        return self.stages[-1].settings

    @property
    def network(self) -> str:
        """`unet_3d`, or of a cascade `unet_3d>anam_net`."""
        return ">".join(str(stage.settings.get("name", "unnamed")) for stage in self.stages)

    @property
    def label_map(self) -> LabelMap:
        """Of the predictions."""
        return label_map(result_label_map(self.settings))

    @property
    def data_folders(self) -> list[Path]:
        """One, or several whose cases are one data set."""
        return folders_of(self.datalist, self.dataset_dir)

    def prediction(self, case: str) -> Path:
        return self.folder / PREDICTIONS / f"{case}.nii.gz"

    def probability(self, case: str) -> Path:
        """Of the infection; there is no such file where the network does not know it."""
        return self.folder / PROBABILITIES / f"{case}.nii.gz"


def read_run(folder: str | Path, dataset_dir: str | Path | None = None) -> Run:
    """The run in a folder that `make cv` wrote; `dataset_dir` where the scans lie elsewhere now.

    Raises InputError where the folder holds no run or a file of it is
    damaged.
    """
    folder = Path(folder)
    # A cascade has a folder a stage, in whose order they work
    homes = [home for home in (folder, *(folder / stage for stage in STAGES)) if (home / "train.json").is_file()]
    scored = _content(folder / SCORED)
    if not homes and not scored:
        raise InputError(
            f"{folder}: holds no cross-validation, there is no train.json; give the folder that make cv wrote, such as "
            "runs/unet_3d/cv."
        )
    datalist = dict(_content(folder / DATALIST))
    cases = {entry["case"]: entry for entry in datalist.pop("training", [])}
    metrics = folder / METRICS_FILE
    return Run(
        folder=folder,
        stages=tuple(_read_stage(home, "" if home == folder else home.name) for home in homes) or (Stage("", scored),),
        dataset_dir=Path(dataset_dir or datalist.get("dataset_dir", folder)),
        cases=cases,
        datalist=datalist,
        folds=_content(folder / FOLDS),
        rows=tuple(read_metrics_csv(metrics)) if metrics.is_file() else (),
        findings=tuple(read_findings(folder)),
        counts=tuple(read_counts(folder)),
        ensemble=_content(folder / ENSEMBLE_SCORES),
        scored=scored,
        summary=_content(folder / SUMMARY_FILE),
    )


def _read_stage(home: Path, name: str) -> Stage:
    folds = sorted((int(path.name[4:]), path) for path in home.glob("fold*") if path.name[4:].isdigit())

    def of_folds(read: Callable[[Path], Found], file: str) -> dict[int, Found]:
        found = {fold: read(path / file) for fold, path in folds}
        return {fold: content for fold, content in found.items() if content}

    return Stage(
        name,
        _content(home / "train.json"),
        trainings=of_folds(_content, "training.json"),
        segmentations=of_folds(_content, "segmentation.json"),
        histories=of_folds(read_history, "history.csv"),
    )


def _content(file: Path) -> dict[str, Any]:
    """Of a JSON file; {} where there is none."""
    if not file.is_file():
        return {}
    try:
        content: dict[str, Any] = read_json(file)
    except ValueError as error:
        raise InputError(f"{file}: is no JSON ({error}); run the cross-validation again.") from error
    return content


def read_history(file: Path) -> History:
    """The losses of a history.csv; {} where there is no file or no finite number in it.

    Raises InputError for a cell that is no number.
    """
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    try:
        curves = {
            loss: [(int(row["epoch"]), float(row[loss])) for row in rows if row.get(loss) not in ("", None)]
            for loss in LOSSES
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: is no history of a training ({error!r}); train that fold again.") from error
    finite = {loss: [point for point in points if math.isfinite(point[1])] for loss, points in curves.items()}
    return {loss: points for loss, points in finite.items() if points}
