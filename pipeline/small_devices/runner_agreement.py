"""Does `run_onnx.py`, on its own in a process, give the labels of `make predict MODE=exact`?"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evaluation.measures.metrics import dice
from pipeline.core.errors import InputError
from pipeline.inference.auto_mode import EXACT
from pipeline.inference.features import Model
from pipeline.inference.fidelity import segmented
from pipeline.inference.fold_scans import Case, Scans
from pipeline.inference.members import find_members
from pipeline.scans.scan import read_scan
from pipeline.scans.simpleitk import sitk

RUN_ONNX = Path(__file__).with_name("run_onnx.py")


def beside_predict(model: Model, chosen: Scans, kind: str, file: Path) -> Iterator[str]:
    """For the table: how far the two agree on the first compared scan; nothing without trained weights."""
    if model.weights is None:
        return
    case = chosen.compared[0]
    try:
        yield f"{RUN_ONNX.name}, {kind}: {agreement_with_predict(model.weights, file, case)}"
    except InputError as error:
        yield f"{RUN_ONNX.name}, {kind}: not compared with make predict: {error}"


def agreement_with_predict(weights: Path, file: Path, case: Case) -> str:
    """Dice of each class but the first on the scanner's grid, and the voxels that differ, in words.

    Raises InputError with what `run_onnx.py` says where it refuses.
    """
    own = run_alone(file, Path(case["image"]))
    (member,) = find_members(weights.parent)
    exact = segmented(member, [case], EXACT)
    found = exact.classes[case["case"]]
    names = list(exact.labels.classes)[1:]
    dices = {name: dice(found == number, own == number) for number, name in enumerate(names, 1)}
    told = [f"{name} {value:.5f}" for name, value in dices.items() if not math.isnan(value)]
    return (
        f"beside the label of make predict MODE={EXACT} of {case['case']}, {np.count_nonzero(found != own)} of "
        f"{found.size} voxels differ; Dice {', '.join(told) or 'undefined, as neither finds anything'}."
    )


def run_alone(file: Path, scan: Path) -> np.ndarray:
    """The label values (D, H, W) that `run_onnx.py` writes of a scan."""
    with tempfile.TemporaryDirectory() as folder:
        label = Path(folder) / "label.nii.gz"
        command = [sys.executable, str(RUN_ONNX), str(file), str(scan), str(label)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(done.stderr.strip().splitlines()[-1])
        voxels: np.ndarray = sitk.GetArrayFromImage(read_scan(label))
        return voxels
