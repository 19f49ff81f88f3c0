"""How good a label map is beside one that people drew: the rows of metrics.csv, from Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.measures.cases import Job, case_rows, checked_labels
from pipeline.core.annotation import Annotation
from pipeline.core.errors import InputError
from pipeline.core.labels import IGNORE, label_map
from pipeline.scans.geometry import Geometry
from pipeline.scans.given import given_image
from pipeline.scans.scan import read_label
from pipeline.scans.simpleitk import sitk
from pneumobundle.result import Result

CASE = "case"


def evaluate(
    prediction: Any,
    reference: Any,
    spacing_mm: Sequence[float] | None = None,
    *,
    affine: Any | None = None,
    labels: str = "lungs_infection",
    case: str = CASE,
    annotates: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """The rows of metrics.csv for one case, one a structure: overlap, surfaces, volumes, lesions and counts.

    Args:
        prediction: class numbers of `labels`: a `Result`, the path of a label file, an image of SimpleITK or nibabel, a
            MetaTensor, or an array or tensor (W, H, D).
        reference: the same in the project's codes: 1 left lung, 2 right lung, 3 infection, 4 and 5 its kinds, 255
            where nobody knows.
        spacing_mm, affine: one of them for arrays, as of `Model.segment`; what else is given brings its grid.
        labels: name of the label map that the model was trained on.
        case: what the rows and messages call it.
        annotates: the structures that the reference annotates, such as ("infection",), alone of which there are rows;
            None for all.

    Raises InputError where the two lie on different grids, or hold other values. Undefined values are nan.
    """
    classes = label_map(labels)
    expected = _image(reference, f"{case}, the reference", spacing_mm, affine)
    found = _image(prediction, f"{case}, the prediction", spacing_mm, affine)
    if differences := Geometry.of(expected).differences(Geometry.of(found)):
        raise InputError(
            f"{case}: prediction and reference lie on different grids: {'; '.join(differences)}; write the prediction "
            "on the scanner's grid."
        )
    expected = checked_labels(expected, case, "the reference", classes.codes, IGNORE)
    found = checked_labels(found, case, "the prediction", range(len(classes.classes)))
    told = Annotation.of(annotates, f"{case}: ")
    return case_rows(Job(Path(), Path(), case, case, 0, annotation=told), expected, found, classes)


def _image(given: Any, name: str, spacing_mm: Sequence[float] | None, affine: Any) -> sitk.Image:
    if isinstance(given, Result):
        return given.label_image
    if isinstance(given, str | os.PathLike):
        return read_label(Path(given))
    brings_its_own = hasattr(given, "affine") or isinstance(given, sitk.Image)
    return given_image(given, name, *(() if brings_its_own else (spacing_mm, affine)))[0]
