"""Lungs and COVID-19 infection in chest CT.

In a wheel this package holds all of the project: `pneumobundle.pipeline`, `pneumobundle.transforms`,
`pneumobundle.evaluation` and the YAML files of `pneumobundle/bundles`, so that it needs no other name. In a checkout
these are the folders beside this one, and the names above stand for them: there `pneumobundle.pipeline.scans.front`
is the module `pipeline.scans.front`. Configurations have the long names, and so run in either.

Takes from: evaluation/costs, evaluation/measures, evaluation/report, evaluation/statistics, pipeline/bundle_files,
pipeline/check_data, pipeline/core, pipeline/data, pipeline/experiments, pipeline/export, pipeline/folders,
pipeline/inference, pipeline/phantom, pipeline/prediction, pipeline/runs, pipeline/small_devices.
"""

from __future__ import annotations

from pathlib import Path

if not (Path(__file__).parent / "pipeline").is_dir():
    from pneumobundle.checkout import serve

    serve(__name__)
