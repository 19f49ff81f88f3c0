"""A stand-in for what trains and segments in a semi-supervised run: it notes what it is asked for and leaves files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from pipeline.core.atomic import read_json, write_json
from pipeline.core.configuration import TRAIN
from pipeline.core.run_files import PREDICTIONS
from pipeline.data.pseudo_labels import unfinished
from pipeline.data.study import load_study
from pipeline.runs.cross_validation import CrossValidation
from pipeline.scans.scan import read_scan
from pipeline.training.checkpoint import FINISHED, MODEL


class SemiRuns:
    """Every training leaves its own name as its weights; every segmentation finds class 1 in all voxels.

    After `dies_at` of its calls it is interrupted: the next one raises KeyboardInterrupt.
    """

    def __init__(self, dies_at: int = 1000) -> None:
        self.trainings: list[dict[str, Any]] = []
        self.segmentations: list[dict[str, Any]] = []
        self.dies_at = dies_at

    def run(
        self,
        run: CrossValidation,
        what: str,
        name: str,
        arguments: dict[str, Any],
        stage: Any = None,
        overlays: Sequence[Path] = (),
    ) -> None:
        if len(self.trainings) + len(self.segmentations) == self.dies_at:
            raise KeyboardInterrupt
        if name == TRAIN:
            folder = Path(arguments.get("fold_dir", Path(run.output_dir) / f"fold{arguments['fold']}"))
            record = Path(run.output_dir) / f"fold{arguments['fold']}" / "pseudo_labels.json"
            known = len(read_json(record)) if record.exists() else 0
            self.trainings.append({**arguments, "fold_dir": folder, "entries": known})
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MODEL).write_text(str(folder))
            write_json(folder / FINISHED, {"steps": 1})
            return
        self.segmentations.append(dict(arguments))
        file = arguments["model_file"]
        assert Path(file).exists(), f"{what}: there is no {file}"
        if "confidence_dir" in arguments:
            found = Path(arguments["output_dir"])
            cases = unfinished(found.parent / "drawn.json", found)
        else:
            found = Path(run.output_dir) / PREDICTIONS
            cases = load_study(run.output_dir).unpredicted(int(arguments["cases"].rstrip(")").split(",")[-1]))
        found.mkdir(parents=True, exist_ok=True)
        for case in cases:
            image = read_scan(case["image"])
            label = sitk.GetImageFromArray(np.ones(image.GetSize()[::-1], np.uint8))
            label.CopyInformation(image)
            sums = dict.fromkeys(("voxels", "probability", "structure_voxels", "structure_probability"), [4.0] * 99)
            if "confidence_dir" in arguments:
                write_json(found / f"{case['case']}.json", {**sums, "probability": [3.0] * 99})
            sitk.WriteImage(label, str(found / f"{case['case']}.nii.gz"))
