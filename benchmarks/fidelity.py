"""How much the modes of inference change labels: Dice against `exact`, with trained weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from monai.bundle import run

from benchmarks.own_inference import segment
from benchmarks.row import Row
from benchmarks.settings import Settings
from evaluation.measures.metrics import dice
from pipeline.core.configuration import COMMON, METADATA
from pipeline.core.labels import STRUCTURES
from pipeline.phantom.dataset import write_phantom
from pipeline.training.checkpoint import MODEL

logger = logging.getLogger(__name__)
# Other patients than those of data/phantom, one of them a thin slab and one cropped
FIRST, PATIENTS = 12, 6
# Those that the model's label map names
NAMES = ("left_lung", "right_lung", "infection")
LEAST_DICE, MOST_CHANGE = 0.99, 0.002


def measure_fidelity(settings: Settings, modes: Sequence[str]) -> list[Row]:
    """Rows of Dice against `exact`, and of the change of Dice against the reference, a structure each: means."""
    fold = trained_fold(settings)
    images = write_phantom(settings.scratch / "phantom_test", PATIENTS, first=FIRST)
    found = {mode: segmented(fold, images, settings.scratch / "fidelity" / mode, mode) for mode in ("exact", *modes)}
    references = [read(image.parents[1] / "labels" / image.name) for image in images]
    rows = []
    for mode in modes:
        for name in NAMES:
            same, change = compared(found["exact"], found[mode], references, STRUCTURES[name])
            structure = name.replace("_", " ")
            rows.append(
                Row(1, f"MODE={mode}: Dice against exact, {structure}, mean of {PATIENTS} patients", same, "",
                    target="over 0.99", met=same > LEAST_DICE)
            )  # fmt: skip
            rows.append(
                Row(1, f"MODE={mode}: change of Dice against the reference, {structure}", change, "",
                    target="within 0.002", met=abs(change) < MOST_CHANGE)
            )  # fmt: skip
    return rows


def compared(
    exact: Sequence[np.ndarray], other: Sequence[np.ndarray], references: Sequence[np.ndarray], codes: Sequence[int]
) -> tuple[float, float]:
    """Mean Dice of the codes between two ways, and by how much the second one's Dice against the references is higher.

    All are label maps, a list by patient; found ones have the infection's code for all of its kinds.
    """
    one, two, true = ([np.isin(label, codes) for label in labels] for labels in (exact, other, references))
    same = [dice(a, b) for a, b in zip(one, two, strict=True)]
    change = [dice(reference, b) - dice(reference, a) for a, b, reference in zip(one, two, true, strict=True)]
    return float(np.mean(same)), float(np.mean(change))


def trained_fold(settings: Settings) -> Path:
    """The fold that was given; where there is none, one that is trained now as `make cv` does on the phantom."""
    if (settings.run / MODEL).is_file():
        return settings.run
    output = settings.scratch / "trained"
    if not (output / "fold0" / MODEL).is_file():
        logger.info("there is no %s: training one on the phantom, which takes minutes", settings.run / MODEL)
        write_phantom(settings.scratch / "phantom")
        run(
            config_file=str(COMMON / "cross_validation.yaml"),
            meta_file=str(METADATA),
            network="unet_3d",
            dataset_dir=str(settings.scratch / "phantom"),
            preset="demo",
            folds=5,
            only_fold=0,
            output_dir=str(output),
        )
    return output / "fold0"


def segmented(fold: Path, images: Sequence[Path], output: Path, mode: str) -> list[np.ndarray]:
    """Labels of the scans, (D, H, W)."""
    segment(fold, images, output, mode)
    return [read(output / image.name) for image in images]


def read(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
