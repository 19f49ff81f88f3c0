"""Goal 1: one 512 x 512 x 275 CT end to end, against stock MONAI with the same network, weights and windows.

nnU-Net and OpenVINO have rows where they are installed: build/nnunet by benchmarks/nnunet_environment.sh, the extra
`openvino`.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.contest import PLAIN, ROOT, TUNED_ALLOCATOR, Contestant, Outcome, run_alternately
from benchmarks.fidelity import measure_fidelity
from benchmarks.own_inference import settings_of, untrained_fold
from benchmarks.row import Row
from benchmarks.scan import large_scan
from benchmarks.settings import Settings
from evaluation.costs.network_cost import gmac
from pipeline.core.machine import computes_bfloat16
from pipeline.inference.calibration import quantised
from pipeline.inference.eight_bits import write_eight_bits
from pipeline.inference.ensemble import network_of
from pipeline.scans.front import Front
from pipeline.scans.geometry import Geometry
from pipeline.scans.lung_box import fitted, lung_box
from pipeline.scans.scan import read_scan
from pipeline.training.checkpoint import MODEL

logger = logging.getLogger(__name__)
STOCK, TUNED = "stock MONAI", "stock MONAI, tuned allocator"
OPENVINO, NNUNET = "stock MONAI, network in OpenVINO, float32", "nnU-Net v2, no mirrored copies"
NNUNET_PYTHON = ROOT / "build" / "nnunet" / "bin" / "python"
FLOAT, EIGHT_BITS = ("whole", "windows", "fast"), ("int8", "int8-windows", "int8-fast")
# Times faster than stock MONAI without and with the tuned allocator; None where nothing is asked for
Goals = Mapping[str, tuple[float | None, float | None]]
WITH_BFLOAT16: Goals = {"windows": (12.0, 6.0), "fast": (25.0, 12.0)}
WITHOUT: Goals = {"whole": (1.9, None), "int8": (3.5, None), "int8-windows": (7.0, None), "int8-fast": (11.0, None)}
MOST_SECONDS_WITH_BFLOAT16 = {"fast": 6.0}
MOST_GIB, MOST_GIB_OF_EIGHT_BITS = 2.0, 1.2
MARGIN_MM, MULTIPLE = 15.0, 16
# Of noise: what numbers the ranges are does not change the time
CALIBRATION_SIZE, CALIBRATION_INPUTS = 64, 2


def measure(settings: Settings) -> list[Row]:
    """Seconds and peak memory of all ways, the network's floor, and the fidelity with trained weights."""
    scan = str(large_scan(settings.scratch))
    fold = untrained_fold(settings.scratch)
    with_openvino = all(map(importlib.util.find_spec, ("openvino", "nncf")))
    modes = [*FLOAT, *(EIGHT_BITS if with_openvino else ())]
    if with_openvino:
        make_eight_bits(fold)
    else:
        logger.info("the extra `openvino` is not installed, so 8 bits and OpenVINO have no rows")
    others = other_programs(settings.scratch, scan, fold, with_openvino)
    own = {mode: _own(settings.scratch, scan, fold, mode) for mode in modes}
    outcomes = run_alternately([*others, *own.values()], settings.repeats)
    rows = [
        Row(1, each.name, outcomes[each.name].seconds, "s", peak_gib=outcomes[each.name].peak_gib) for each in others
    ]
    for mode, contestant in own.items():
        rows += own_rows(mode, outcomes[contestant.name], outcomes)
    return [*rows, *floor_rows(settings, scan, str(fold)), *measure_fidelity(settings, modes)]


def other_programs(scratch: Path, scan: str, fold: Path, with_openvino: bool) -> list[Contestant]:
    """Those that are installed; each waits as it does by itself."""
    stock, common = "benchmarks.stock_inference:prepare", {"scan": scan, "run": str(fold)}
    found = [
        Contestant(STOCK, stock, {**common, "output": str(scratch / "stock")}, PLAIN),
        Contestant(TUNED, stock, {**common, "output": str(scratch / "tuned")}, PLAIN | TUNED_ALLOCATOR),
    ]
    if with_openvino:
        output = str(scratch / "openvino")
        found.append(Contestant(OPENVINO, stock, {**common, "output": output, "by_openvino": True}, PLAIN))
    if NNUNET_PYTHON.is_file():
        given = {"scan": scan, "output": str(scratch / "nnunet")}
        found.append(Contestant(NNUNET, "benchmarks.nnunet_inference:prepare", given, PLAIN, python=str(NNUNET_PYTHON)))
    else:
        logger.info("there is no %s, so nnU-Net has no row; benchmarks/nnunet_environment.sh makes it", NNUNET_PYTHON)
    return found


def _own(scratch: Path, scan: str, fold: Path, mode: str) -> Contestant:
    given = {"scan": scan, "run": str(fold), "output": str(scratch / mode), "mode": mode}
    return Contestant(f"MODE={mode}", "benchmarks.own_inference:prepare", given)


def make_eight_bits(fold: Path) -> None:
    """The 8 bits of a fold that has no training scans to calibrate them on."""
    random = np.random.default_rng(0)
    size = (1, 1, *[CALIBRATION_SIZE] * 3)
    noise = [random.normal(size=size).astype(np.float32) for _ in range(CALIBRATION_INPUTS)]
    description, weights = quantised(network_of(f"{fold}/{MODEL}"), noise, "unet_3d")
    write_eight_bits(fold / MODEL, description, weights, {"calibrated_on": "noise"})


def own_rows(mode: str, own: Outcome, others: Mapping[str, Outcome]) -> list[Row]:
    """Against both references, and the memory."""
    rows, name = [], f"MODE={mode}"
    goals = WITH_BFLOAT16 if computes_bfloat16() else WITHOUT
    for reference, least in zip((STOCK, TUNED), goals.get(mode, (None, None)), strict=True):
        ratio = others[reference].seconds / own.seconds
        target, met = ("", None) if least is None else (f"at least {least:g} times", ratio >= least)
        rows.append(Row(1, name, own.seconds, "s", reference, ratio, target, met, own.peak_gib))
    most = MOST_SECONDS_WITH_BFLOAT16.get(mode)
    if most is not None and computes_bfloat16():
        rows.append(Row(1, name, own.seconds, "s", target=f"under {most:.0f} s", met=own.seconds < most))
    most_gib = MOST_GIB_OF_EIGHT_BITS if mode in EIGHT_BITS else MOST_GIB
    peak, less = own.peak_gib, others[STOCK].peak_gib / own.peak_gib
    return [*rows, Row(1, f"{name}, peak memory", peak, "GiB", STOCK, less, f"under {most_gib:g} GiB", peak < most_gib)]


def floor_rows(settings: Settings, scan: str, fold: str) -> list[Row]:
    """The rate of the network's own convolution, and what the lung box takes at that rate."""
    shape = [1, 160, 160, 80]
    rate = Contestant(
        "rate", "benchmarks.floor:convolution_rate", {"shape": shape, "in_channels": 64, "out_channels": 32}
    )
    gflops = run_alternately([rate], settings.repeats)["rate"].numbers["gflops"]
    wanted = settings_of(fold)
    front = Front(window_hu=wanted["window_hu"], spacing_mm=wanted["spacing_mm"])
    image = read_scan(scan)
    voxels = torch.from_numpy(front.image(image, scan)[0])
    box = lung_box(voxels, front.grid(Geometry.of(image)).spacing_mm, MARGIN_MM)
    size = fitted(box, voxels.shape, [MULTIPLE] * 3).size
    padded = [-(-length // MULTIPLE) * MULTIPLE for length in size]
    gflop = 2 * gmac(network_of(f"{fold}/{MODEL}"), (1, *padded))
    name = " x ".join(map(str, padded))
    return [
        Row(1, "convolution 64 to 32 channels, 160 x 160 x 80 voxels", gflops, "GFLOP/s"),
        Row(1, f"floor of MODE=fast: {gflop:.0f} GFLOP of {name} voxels at that rate", gflop / gflops, "s"),
        Row(1, "share of the volume that the box is", float(np.prod(size) / voxels.numel()), ""),
    ]
