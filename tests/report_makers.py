"""A finished cross-validation in miniature: its folder as `make cv` leaves it, on the shared tiny chests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import SimpleITK as sitk
from conftest import dataset

from evaluation.measures.cases import COLUMNS, Job, evaluate_cases, write_metrics_csv
from pipeline.core.labels import INFECTION, LEFT_LUNG, label_map
from pipeline.data.datalist import write_datalist
from pipeline.data.study import load_study

SETTINGS = {
    "name": "unet_3d",
    "preset": "demo",
    "split": "patients",
    "seed": 7,
    "window_hu": [-1250, 250],
    "spacing_mm": [4.0, 4.0, 0],
    "spatial_dims": 3,
    "patch_size": [64, 64, 32],
    "loss": "@dice_cross_entropy",
    "cases": "$secret",
    "augmentations": ["@mirror_once"],
}


def write_run(folder: Path, cases: int = 4, folds: int = 2, labels: str = "lungs_infection") -> Path:
    """The folder of a run; the predictions miss more of the infection from case to case."""
    data = dataset(folder / "data", [f"patient_{number}" for number in range(cases)])
    return write_cv(data, folder / "cv", cases, folds, labels)


def write_network(
    folder: Path, name: str, cases: int = 4, labels: str = "lungs_infection", missed: int = 0, **settings: Any
) -> Path:
    """The run of one of several networks on the same cases; it misses so many slices more than `write_run`'s."""
    data = folder / "data"
    if not data.exists():
        dataset(data, [f"patient_{number}" for number in range(cases)])
    out = folder / "runs" / name.replace(">", "-") / "cv"
    return write_cv(data, out, cases, 2, labels, missed, {"name": name, **settings})


def write_cv(
    data: Path,
    out: Path,
    cases: int,
    folds: int,
    labels: str,
    missed: int = 0,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    write_datalist(data, out / "datalist.json")
    names = [f"case_{number}" for number in range(cases)]
    members = [{"fold": fold, "test": names[fold::folds]} for fold in range(folds)]
    write_json(out / "folds.json", {"split": "patients", "seed": 7, "folds": members, "leaking_patients": []})
    write_json(out / "train.json", {**SETTINGS, "label_map": labels, "folds": folds, **settings})
    for number, name in enumerate(names):
        write_prediction(
            data / "labels" / f"{name}.nii.gz", out / "predictions" / f"{name}.nii.gz", number + missed, labels
        )
    for fold in range(folds):
        write_fold(out / f"fold{fold}", fold)
    score(out, labels)
    return out


def write_json(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def write_prediction(reference: Path, file: Path, missed: int, labels: str) -> None:
    """The reference without so many slices of its infection, which become lung."""
    image = sitk.ReadImage(str(reference))
    codes = sitk.GetArrayFromImage(image)
    infected = np.flatnonzero((codes == INFECTION).any((1, 2)))[:missed]
    codes[infected] = np.where(codes[infected] == INFECTION, LEFT_LUNG, codes[infected])
    predicted = sitk.GetImageFromArray(label_map(labels).class_of_code()[codes])
    predicted.CopyInformation(image)
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(predicted, str(file))


def write_fold(folder: Path, fold: int, epochs: int = 6) -> None:
    """The files that a finished training leaves; validation every second epoch."""
    write_json(
        folder / "training.json",
        {"epochs": epochs, "max_epochs": 10, "steps": 60, "seconds": 90.0, "peak_memory_mib": 2048, "device": "cpu"},
    )
    lines = ["epoch,train_loss,val_loss,learning_rate"]
    for epoch in range(1, epochs + 1):
        validation = f"{1.2 / epoch + 0.1 * fold}" if epoch % 2 == 0 else ""
        lines.append(f"{epoch},{1 / epoch + 0.1 * fold},{validation},0.001")
    (folder / "history.csv").write_text("\n".join(lines) + "\n")


def score(out: Path, labels: str) -> None:
    study = load_study(out)
    jobs = [
        Job(Path(case["label"]), study.prediction(case), case["case"], case["patient_id"], fold["fold"])
        for fold in study.folds["folds"]
        for case in study.held_out(fold["fold"])
    ]
    write_metrics_csv(evaluate_cases(jobs, label_map(labels)), out / "metrics.csv")


def rows(dice, **changed):
    """A row a value: case_0, case_1 and so on."""
    return [row(f"case_{number}", value, **changed) for number, value in enumerate(dice)]


def row(case, dice, fold=0, structure="infection", **changed):
    """A row of metrics.csv; what is not given is 1."""
    mine = {"case": case, "patient_id": case, "fold": fold, "structure": structure, "dice": dice}
    return dict.fromkeys(COLUMNS, 1) | mine | changed
