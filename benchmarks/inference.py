"""Goal 1: one 512 x 512 x 275 CT end to end, against stock MONAI with the same network, weights and windows."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.contest import PLAIN, TUNED_ALLOCATOR, Contestant, Outcome, run_alternately
from benchmarks.fidelity import measure_fidelity
from benchmarks.own_inference import settings_of, untrained_fold
from benchmarks.row import Row
from benchmarks.scan import large_scan
from benchmarks.settings import Settings
from evaluation.costs.network_cost import gmac
from pipeline.inference.ensemble import network_of
from pipeline.scans.front import Front
from pipeline.scans.lung_box import fitted, lung_box
from pipeline.scans.scan import Geometry, read_scan
from pipeline.training.checkpoint import MODEL

STOCK, TUNED = "stock MONAI", "stock MONAI, tuned allocator"
OWN = {"whole": "MODE=whole", "windows": "MODE=windows", "fast": "MODE=fast"}
# Times faster than stock MONAI without and with the tuned allocator
GOALS = {"whole": None, "windows": (12.0, 6.0), "fast": (25.0, 12.0)}
MOST_SECONDS, MOST_GIB = {"fast": 6.0}, 2.0
MARGIN_MM, MULTIPLE = 15.0, 16


def measure(settings: Settings) -> list[Row]:
    """Seconds and peak memory of all ways, the network's floor, and the fidelity with trained weights."""
    scan = str(large_scan(settings.scratch))
    fold = untrained_fold(settings.scratch)
    common = {"scan": scan, "run": str(fold)}
    stock, own = "benchmarks.stock_inference:prepare", "benchmarks.own_inference:prepare"
    contestants = [
        Contestant(STOCK, stock, {**common, "output": str(settings.scratch / "stock")}, PLAIN),
        Contestant(TUNED, stock, {**common, "output": str(settings.scratch / "tuned")}, PLAIN | TUNED_ALLOCATOR),
        *(
            Contestant(name, own, {**common, "output": str(settings.scratch / mode), "mode": mode})
            for mode, name in OWN.items()
        ),
    ]
    outcomes = run_alternately(contestants, settings.repeats)
    rows = [Row(1, name, outcomes[name].seconds, "s", peak_gib=outcomes[name].peak_gib) for name in (STOCK, TUNED)]
    for mode, name in OWN.items():
        rows += own_rows(mode, outcomes[name], outcomes[STOCK], outcomes[TUNED])
    return [*rows, *floor_rows(settings, scan, str(fold)), *measure_fidelity(settings, list(OWN))]


def own_rows(mode: str, own: Outcome, stock: Outcome, tuned: Outcome) -> list[Row]:
    """Against both references, and the memory."""
    rows = []
    for reference, name, least in zip((stock, tuned), (STOCK, TUNED), GOALS[mode] or (None, None), strict=True):
        ratio = reference.seconds / own.seconds
        if least is None:
            rows.append(Row(1, OWN[mode], own.seconds, "s", name, ratio, peak_gib=own.peak_gib))
            continue
        rows.append(
            Row(
                1, OWN[mode], own.seconds, "s", name, ratio, f"at least {least:.0f} times", ratio >= least, own.peak_gib
            )
        )
    if mode in MOST_SECONDS:
        most = MOST_SECONDS[mode]
        rows.append(Row(1, OWN[mode], own.seconds, "s", target=f"under {most:.0f} s", met=own.seconds < most))
    less = stock.peak_gib / own.peak_gib
    target = f"under {MOST_GIB:.0f} GiB"
    return [
        *rows,
        Row(1, f"{OWN[mode]}, peak memory", own.peak_gib, "GiB", STOCK, less, target, own.peak_gib < MOST_GIB),
    ]


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
