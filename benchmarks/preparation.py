"""Goal 2: preparing one 512 x 512 x 275 CT, from the file to the cache, against stock MONAI transforms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from monai.transforms import (
    Compose,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    ScaleIntensityRanged,
    Spacingd,
)

from benchmarks.contest import Contestant, run_alternately
from benchmarks.row import Row
from benchmarks.scan import large_scan
from benchmarks.settings import Settings
from pipeline.core.machine import keep_allocations
from pipeline.scans import unpacking
from pipeline.scans.front import ORIENTATION, Front
from pipeline.scans.scan import read_scan

STOCK = "stock MONAI, linear"
ORDERS = {"linear": 1, "cubic": 3}
MOST_SECONDS, LEAST_TIMES = 1.5, 5.0


def measure(settings: Settings) -> list[Row]:
    """Seconds and peak memory of each way; both orders of ours, by every library, against MONAI's linear."""
    scan = str(large_scan(settings.scratch))
    ways = {
        f"own, {name}, gzip by {library}": {"order": order, "library": library}
        for library in unpacking.LIBRARIES
        for name, order in ORDERS.items()
    }
    contestants = [
        Contestant(STOCK, "benchmarks.preparation:stock", {"scan": scan}),
        *(Contestant(name, "benchmarks.preparation:own", {"scan": scan, **way}) for name, way in ways.items()),
    ]
    outcomes = run_alternately(contestants, settings.repeats)
    stock = outcomes[STOCK]
    rows = [Row(2, f"preparing, {STOCK}", stock.seconds, "s", peak_gib=stock.peak_gib)]
    for name in ways:
        outcome, label = outcomes[name], f"preparing, {name}"
        ratio = stock.seconds / outcome.seconds
        faster = f"at least {LEAST_TIMES:.0f} times"
        rows += [
            Row(2, label, outcome.seconds, "s", STOCK, ratio, faster, ratio >= LEAST_TIMES, outcome.peak_gib),
            Row(2, label, outcome.seconds, "s", target=f"under {MOST_SECONDS} s", met=outcome.seconds < MOST_SECONDS),
        ]
    return rows


def own(scan: str, order: int, library: str) -> Callable[[], None]:
    """The front, and what the cache keeps of a scan."""
    front = Front(order=order)
    # As a training does, by itself
    keep_allocations()
    # In this process, which does nothing else
    unpacking.inflate = unpacking.LIBRARIES[library]
    return lambda: _saved(front.image(read_scan(scan), scan))


def stock(scan: str) -> Callable[[], None]:
    """MONAI's transforms as its tutorials chain them, with the same window, spacing and normalisation."""
    front = Front()
    low, high = front.window_hu
    prepare = Compose(
        [
            LoadImaged("image", ensure_channel_first=True),
            Orientationd("image", axcodes=ORIENTATION, labels=None),
            ScaleIntensityRanged("image", low, high, 0, 255, clip=True),
            Spacingd("image", front.spacing_mm, mode="bilinear"),
            NormalizeIntensityd("image"),
        ]
    )
    return lambda: _saved(prepare({"image": scan})["image"].numpy())


def _saved(prepared: np.ndarray) -> None:
    with TemporaryDirectory() as folder:
        np.save(Path(folder) / "image.npy", prepared.astype(np.float16))
