"""Lungs and COVID-19 infection in chest CT.

In a wheel this package holds all of the project: `pneumobundle.pipeline`, `pneumobundle.transforms`,
`pneumobundle.evaluation` and the YAML files of `pneumobundle/bundles`, so that it needs no other name. In a checkout
these are the folders beside this one, and the names above stand for them: there `pneumobundle.pipeline.scans.front`
is the module `pipeline.scans.front`. Configurations have the long names, and so run in either.

    import pneumobundle as pb

    model = pb.load("runs/unet_3d/cv/fold0")
    result = model.segment("scan.nii.gz")

These names, see docs/python.md, are loaded when they are first asked for: importing the package loads no torch.

Takes from: evaluation/costs, evaluation/measures, evaluation/report, evaluation/statistics, pipeline/bundle_files,
pipeline/check_data, pipeline/core, pipeline/data, pipeline/experiments, pipeline/export, pipeline/folders,
pipeline/inference, pipeline/node, pipeline/phantom, pipeline/prediction, pipeline/runs, pipeline/scans,
pipeline/small_devices.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.core.errors import InputError
    from pneumobundle.model import Model, load
    from pneumobundle.result import Result
    from pneumobundle.scores import evaluate

__all__ = ["InputError", "Model", "Result", "evaluate", "load"]
_HOMES = {
    "InputError": "pneumobundle.pipeline.core.errors",
    "Model": "pneumobundle.model",
    "Result": "pneumobundle.result",
    "evaluate": "pneumobundle.scores",
    "load": "pneumobundle.model",
}

if not (Path(__file__).parent / "pipeline").is_dir():
    from pneumobundle.checkout import serve

    serve(__name__)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
