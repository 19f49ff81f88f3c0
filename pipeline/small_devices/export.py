"""Export a trained network for small devices, compare every format with the network itself, and time it.

pneumobundle export --network anam_net --format "onnx onnx-int8 torchscript"
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch

from evaluation.costs.export_table import Exported, text, write_tables
from evaluation.costs.network_cost import parameters
from pipeline.core import logs
from pipeline.core.configuration import optional_networks
from pipeline.core.errors import InputError
from pipeline.core.machine import cores
from pipeline.core.progress_bar import working
from pipeline.core.provenance import processor
from pipeline.folders.output_folder import claim_output
from pipeline.inference.features import UNTRAINED, Model, chosen_model
from pipeline.inference.fold_scans import (
    CALIBRATION,
    Scans,
    calibration_inputs,
    chosen_scans,
    inputs_of,
    prepared,
    present,
)
from pipeline.small_devices.deployed import Probabilities, changed, metadata
from pipeline.small_devices.formats import (
    FILE_NAMES,
    ONNX,
    ONNX_INT8,
    TORCHSCRIPT,
    package,
    write_int8,
    write_onnx,
    write_torchscript,
)
from pipeline.small_devices.parity import (
    EAGER,
    LARGEST_CHANGE,
    LARGEST_DICE_LOSS,
    LARGEST_DIFFERENCE,
    Agreement,
    agreements,
    complaint,
)
from pipeline.small_devices.prepared import with_fixed_size
from pipeline.small_devices.runner_agreement import RUN_ONNX, beside_predict
from pipeline.small_devices.runners import RUNNERS, Runner, passes, spread, torch_runner

ALL_FORMATS = tuple(FILE_NAMES)


def export(
    model: Model, source: str | Path | None, formats: Sequence[str], output: str | Path, repeats: int = 5
) -> str:
    """Write a model's files in these formats, and export.md, .json and .csv beside them; the tables as text.

    Beside ONNX files lies `run_onnx.py`, which segments scans with them and needs nothing of this project.

    `source` is what it is compared on in place of the scans held out from its fold. Raises InputError for a network
    that cannot be exported, and, with the tables written, for a format beyond its tolerance, whose file is not kept.
    """
    check_formats(formats)
    model = changed(model, {"device": "$torch.device('cpu')", "mixed_precision": False})
    chosen = chosen_scans(model, source)
    model, size = with_fixed_size(model, [*present(chosen.calibration), *present(chosen.compared)])
    network = Probabilities(model.network()).eval()
    name = model.setting("name")
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    # Beside it, then renamed: nothing is there that has not been compared
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export") as unfinished:
        files = write_formats(model, network, size, chosen, formats, Path(unfinished))
        rows, complaints, differing = measured(model, network, chosen, files, repeats)
        of_onnx = [kind for kind in (ONNX, ONNX_INT8) if kind in files]
        beside = [told for kind in of_onnx for told in beside_predict(model, chosen, kind, files[kind])]
        if {*of_onnx} - {*complaints}:
            shutil.copyfile(RUN_ONNX, Path(unfinished) / RUN_ONNX.name)
            os.replace(Path(unfinished) / RUN_ONNX.name, folder / RUN_ONNX.name)
        for kind in formats:
            kept = folder / FILE_NAMES[kind].format(name)
            kept.unlink(missing_ok=True)
            if kind not in complaints:
                os.replace(files[kind], kept)
    title, remarks = f"{name} for small devices", [*notes(model, chosen, size, repeats, differing), *beside]
    told = {"network": name, "metadata": metadata(model, size), "parameters": parameters(network)}
    write_tables(folder, title, rows, cores(), remarks, told)
    table = text(title, rows, cores(), remarks)
    if complaints:
        logs.result(table)
        raise InputError(f"{name}: beyond tolerance and not kept: {'; '.join(complaints.values())}.")
    return table


def check_formats(formats: Sequence[str]) -> None:
    """Raise InputError for an unknown format, none at all, and one whose packages are not installed."""
    unknown = [kind for kind in formats if kind not in FILE_NAMES]
    if unknown or not formats:
        raise InputError(f"FORMAT is {' '.join(formats)!r}, expected some of: {', '.join(FILE_NAMES)}.")
    if ONNX in formats or ONNX_INT8 in formats:
        for name in ("onnx", "onnxscript", "onnxruntime"):
            package(name)


@working("writing the files")
def write_formats(
    model: Model, network: torch.nn.Module, size: Sequence[int], chosen: Scans, formats: Sequence[str], folder: Path
) -> dict[str, Path]:
    """The file of each format."""
    told = metadata(model, size)
    name = model.setting("name")
    files = {kind: folder / FILE_NAMES[kind].format(name) for kind in formats}
    if ONNX in formats or ONNX_INT8 in formats:
        whole = files.get(ONNX, folder / FILE_NAMES[ONNX].format(name))
        write_onnx(network, name, size, told, whole, model.setting("front").channels)
        if ONNX_INT8 in formats:
            wanted = CALIBRATION[model.setting("spatial_dims")]
            calibration = calibration_inputs(model, chosen.calibration, wanted)
            write_int8(whole, calibration, {**told, "calibrated_on": chosen.calibrated_on}, files[ONNX_INT8])
    if TORCHSCRIPT in formats:
        write_torchscript(network, told, files[TORCHSCRIPT])
    return files


def measured(
    model: Model, network: torch.nn.Module, chosen: Scans, files: dict[str, Path], repeats: int
) -> tuple[list[Exported], dict[str, str], float]:
    """A row for the network itself and one a format; what is wrong with a format, by its name; how far times differ."""
    # What agrees is found with as many threads as the process was given, which on a shared machine may be fewer
    every, given = cores(), torch.get_num_threads()
    runners: dict[tuple[str, int], Runner] = {}
    for threads in {1, every, given}:
        runners[EAGER, threads] = torch_runner(network, threads)
        for kind, file in files.items():
            runners[kind, threads] = RUNNERS[kind](file, threads)
    kinds = (EAGER, *files)
    found = agreements(model, chosen.compared, {kind: runners[kind, given] for kind in kinds})
    inputs = inputs_of(model, prepared(model, chosen.compared[0]))
    middle = inputs[len(inputs) // 2][None]
    timed = {(kind, threads): runners[kind, threads] for threads in (1, every) for kind in kinds}
    every_pass = passes(timed, middle, repeats)
    times = {key: median(seconds) for key, seconds in every_pass.items()}
    complaints = {
        kind: told
        for kind in files
        if (told := complaint(kind, found[kind], found[EAGER], model.weights is not None)) is not None
    }
    sizes = {EAGER: 4 * parameters(network), **{kind: file.stat().st_size for kind, file in files.items()}}
    rows = [
        _row(kind, agreement, files.get(kind), sizes[kind], (times[kind, 1], times[kind, every]), complaints)
        for kind, agreement in found.items()
    ]
    return rows, complaints, spread(every_pass.values())


def _row(
    kind: str,
    agreement: Agreement,
    file: Path | None,
    size_bytes: int,
    times: tuple[float, float],
    complaints: dict[str, str],
) -> Exported:
    refused = complaints.get(kind, "")
    name = "refused" if refused else file.name if file else ""
    dice = {structure: agreement.mean_dice(structure) for structure in agreement.dice}
    return Exported(kind, name, size_bytes / 1e6, *times, agreement.difference, agreement.changed_share, dice, refused)


def notes(model: Model, chosen: Scans, size: Sequence[int], repeats: int, differing: float) -> list[str]:
    """What was compared with what, and how."""
    flat = model.setting("spatial_dims") == 2
    what = "slice" if flat else "window"
    told: list[Any] = [
        f"Compared on {chosen.told} ({', '.join(case['case'] for case in chosen.compared)}), every {what} as the "
        f"pipeline prepares it, of {' x '.join(map(str, size))}; 8 bits are calibrated on "
        f"{chosen.calibrated_on}.",
        f"{EAGER}: the network in PyTorch; its MB are its parameters, 4 bytes each. MB are 10^6 bytes.",
        "Difference: the largest of any probability. Labels changed: share of the voxels in which either network finds "
        "a structure. Dice on the prepared grid, not the scanner's.",
        f"Tolerances: {LARGEST_DIFFERENCE:g} of a probability in float32; in 8 bits {LARGEST_CHANGE:.0%} of the labels "
        f"and {LARGEST_DICE_LOSS:g} of the Dice of any structure"
        + ("." if model.weights is not None else "; not with initial weights, whose labels mean nothing."),
        f"Seconds: for one {what}, ONNX in ONNX Runtime, the others in PyTorch, median of {repeats} after a warm-up; a "
        f"repeat goes over all formats, and repeats differ by up to {differing:.0%} of their median. Measured "
        f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z} on {processor()}.",
        "The softmax is inside every file"
        + ("." if flat else "; here overlapping windows are joined by the mean of their probabilities, eager too."),
    ]
    return [UNTRAINED, *told] if model.weights is None else told


def refuse_optional(network: str) -> None:
    """Raise InputError for a detector, which finds a number of boxes that is not known before."""
    if network in optional_networks():
        raise InputError(
            f"NETWORK {network} cannot be exported: it works on a list of boxes of no fixed length; choose another one."
        )


def export_model(
    network: str,
    model: Path | None,
    preset: str,
    source: Path | None,
    dataset: Path,
    formats: Sequence[str],
    output: Path | None = None,
    repeats: int = 5,
) -> str:
    """Write and compare the formats of a model; what to tell.

    `model` is the folder of a trained fold, None for the network's usual one, or for initial weights of a preset where
    there is none. They are compared on `source`, by default on what was held out from the fold, and for initial weights
    on `dataset`. `output` is `export` beside the model, or in runs/<network>, where it is None. `repeats` inputs are
    timed.
    """
    refuse_optional(network)
    home = Path("runs") / network.replace(">", "-")
    chosen = chosen_model(network, model, home / "cv" / "fold0", preset)
    told = []
    if chosen.weights is None:
        told.append(UNTRAINED)
        source = source or dataset
    folder = output or (model.parent if model else home) / "export"
    claim_output(folder, *([source] if source else []))
    told.append(export(chosen, source, formats, folder, repeats))
    told.append(f"\n{folder}: the files, and export.md, export.json and export.csv beside them")
    if (folder / RUN_ONNX.name).is_file():
        told.append(f"{folder / RUN_ONNX.name}: segments a scan with an ONNX file, without this project")
    return "\n".join(told)
