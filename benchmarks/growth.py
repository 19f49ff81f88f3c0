"""Goal 5: time and memory grow linearly with the volume, and memory not with classes times the scanner's grid."""

from __future__ import annotations

from itertools import pairwise

from benchmarks.contest import GIB, Contestant, run_alternately
from benchmarks.own_inference import untrained_fold
from benchmarks.row import Row
from benchmarks.scan import PIXELS, large_scan
from benchmarks.settings import Settings

SLICES = (128, 256, 512, 1024)
# A quarter of the voxels of 512 x 512 for the same work of the network
GROWTH_PIXELS = 256
# By how much the seconds, or bytes, a slice may exceed those of half as many slices
TOLERANCE = 1.15
CLASSES = (4, 16)
WHOLE_SLICES = 275
LEAST_SAVED = 4.0
OWN = "benchmarks.own_inference:prepare"


def measure(settings: Settings) -> list[Row]:
    return [*by_slices(settings), *by_classes(settings)]


def by_slices(settings: Settings) -> list[Row]:
    """MODE=fast on volumes of 128 to 1024 slices."""
    fold = str(untrained_fold(settings.scratch))
    scans = {count: str(large_scan(settings.scratch, count, GROWTH_PIXELS)) for count in SLICES}
    outcomes = run_alternately(
        [
            Contestant(
                str(count), OWN, {"scan": scan, "run": fold, "output": f"{settings.scratch}/{count}", "mode": "fast"}
            )
            for count, scan in scans.items()
        ],
        settings.repeats,
    )
    rows = []
    for before, count in pairwise((0, *SLICES)):
        own = outcomes[str(count)]
        name = f"MODE=fast, {GROWTH_PIXELS} x {GROWTH_PIXELS} x {count}"
        if not before:
            rows.append(Row(5, name, own.seconds, "s", peak_gib=own.peak_gib))
            continue
        half = outcomes[str(before)]
        steeper = max(own.seconds / half.seconds, own.peak_gib / half.peak_gib) / 2
        target = f"at most {TOLERANCE} times as much a slice"
        rows.append(
            Row(5, name, own.seconds, "s", f"{before} slices, by the slice", 1 / steeper, target, steeper <= TOLERANCE,
                own.peak_gib)
        )  # fmt: skip
    return rows


def by_classes(settings: Settings) -> list[Row]:
    """How much more memory four times the classes take, beside what they would on the scanner's grid in float32."""
    scan = str(large_scan(settings.scratch))
    contestants = []
    for count in CLASSES:
        fold = str(untrained_fold(settings.scratch, classes=count))
        given = {"scan": scan, "run": fold, "output": f"{settings.scratch}/classes_{count}", "mode": "fast"}
        contestants.append(Contestant(f"{count} classes", OWN, given))
    outcomes = run_alternately(contestants, settings.repeats)
    few, many = (outcomes[contestant.name].peak_gib for contestant in contestants)
    on_scanner = (CLASSES[1] - CLASSES[0]) * PIXELS * PIXELS * WHOLE_SLICES * 4 / GIB
    saved = on_scanner / max(many - few, 0.01)
    name = f"memory that {CLASSES[1]} classes need beyond {CLASSES[0]}"
    target = f"at least {LEAST_SAVED:.0f} times less"
    return [
        Row(5, name, many - few, "GiB", f"on the scanner's grid, {on_scanner:.1f} GiB", saved, target,
            saved >= LEAST_SAVED, many)
    ]  # fmt: skip
