"""A stand-in for what trains and segments in a cross-validation: two test files use it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from pipeline.core.atomic import write_json
from pipeline.core.configuration import COMMON, METADATA, TRAIN
from pipeline.core.labels import label_map
from pipeline.core.project import ROOT
from pipeline.core.run_files import PREDICTIONS
from pipeline.core.stages import Stage
from pipeline.data.study import load_study
from pipeline.runs.cross_validation import CrossValidation
from pipeline.training.checkpoint import FINISHED, MODEL


def segment_perfectly(classes: np.ndarray) -> np.ndarray:
    return classes


def find_nothing(classes: np.ndarray) -> np.ndarray:
    return np.zeros_like(classes)


class Bundles:
    """Stands in for `CrossValidation.bundle_run`: notes what it is asked for, and writes what it would.

    `segment` makes what is predicted, class numbers, from those of the reference.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.segment: Callable[[np.ndarray], np.ndarray] = segment_perfectly

    def run(
        self,
        cross_validation: CrossValidation,
        what: str,
        name: str,
        arguments: dict[str, Any],
        stage: Stage | None = None,
        overlays: Sequence[Path] = (),
    ) -> None:
        stage = stage or cross_validation.stages[-1]
        folder = cross_validation.folder(stage)
        self.asked.append((name, str(arguments.get("output_dir", folder))))
        if name == TRAIN:
            fold = folder / f"fold{arguments['fold']}"
            fold.mkdir(exist_ok=True)
            (fold / MODEL).write_text(str(folder))
            write_json(fold / FINISHED, {})
            return
        study, number = re.fullmatch(r"\$studies\.unpredicted\((.+), (\d)\)", arguments["cases"]).groups()
        classes = label_map(cross_validation.result_label_map()).class_of_code()
        for case in load_study(json.loads(study)).unpredicted(int(number)):
            label = sitk.ReadImage(case["image"].replace("images", "labels"))
            found = sitk.GetImageFromArray(self.segment(classes[sitk.GetArrayFromImage(label)]))
            found.CopyInformation(label)
            predictions = Path(cross_validation.output_dir) / PREDICTIONS
            target = Path(arguments.get("output_dir", predictions)) / f"{case['case']}.nii.gz"
            target.parent.mkdir(exist_ok=True)
            sitk.WriteImage(found, str(target))

    def count(self, name: str) -> int:
        return sum(asked == name for asked, _ in self.asked)


def run_here(what: str, arguments: dict[str, Any], threads: int = 0, processes: int = 1) -> None:
    """Stands in for `pipeline.core.bundle_process.run_bundle`: the same run in this process, without a start."""
    from monai.bundle import run

    plain = {key: str(value) if isinstance(value, Path) else value for key, value in arguments.items()}
    hook = sys.excepthook
    try:
        run(**{**plain, "meta_file": str(METADATA), "logging_file": False})
    finally:
        # A bundle reports its errors plainly, which is for a process of its own
        sys.excepthook = hook


def cross_validate(tiny: dict, out: Path, data: Path, *more: str, **overrides) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "monai.bundle", "run"]
    command += ["--config_file", str(COMMON / "cross_validation.yaml"), "--meta_file", str(COMMON / "metadata.json")]
    command += ["--preset", "demo", "--dataset_dir", str(data), "--output_dir", str(out), "--folds", "2"]
    command += ["--overrides", repr(str({**tiny, "cache_dir": str(out.parent / "cache"), **overrides})), *more]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
