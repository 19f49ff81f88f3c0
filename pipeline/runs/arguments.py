"""What the commands that run several cross-validations are given alike: declared once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.data.folds import BY_PATIENT
from pipeline.folders.several import Data

LOCAL, SLURM = "local", "slurm"


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What is the same in every one of several cross-validations.

    Args:
        data_dir: in any layout that `pipeline.folders.layouts` knows; a folder, or several as one data set.
        folds: of each cross-validation.
        preset: name of a file of `bundles/common/presets`.
        output_dir: gets the folders of the cross-validations and what is made of them.
        split: `patients`, `published` or a JSON file.
        seed: of the split and of the trainings.
        overrides: keys of train.yaml and inference.yaml to change in every one, or the text of such a dictionary.
        jobs: how many folds of one run side by side.
        gpus: how many train a fold together.
    """

    data_dir: Data
    folds: int
    preset: str
    output_dir: str = ""
    split: str = BY_PATIENT
    seed: int = 0
    overrides: Mapping[str, Any] | str = field(default_factory=dict)
    jobs: int = 1
    gpus: int = 1
