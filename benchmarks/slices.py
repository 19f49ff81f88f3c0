"""Goal 4: 2D networks over a volume, against feeding them one slice after the other in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from monai.bundle import ConfigParser

from benchmarks.contest import TUNED_ALLOCATOR, Contestant, Outcome, run_alternately
from benchmarks.own_inference import untrained_fold
from benchmarks.row import Row
from benchmarks.settings import Settings
from pipeline.atomic import read_json
from pipeline.checkpoint import MODEL
from pipeline.configuration import MODES, load
from pipeline.ensemble import configuration_of, network_of
from pipeline.machine import keep_allocations

SLOW, SLOW_TUNED = "one by one in float32", "one by one in float32, tuned allocator"
NETWORKS = ("anam_net", "enet", "unet_2d")
PIXELS, VOLUME_SLICES = 512, 300
# Time grows linearly with them, so that a few tell what 300 take
MEASURED_SLICES = 2
LEAST_RATIO = 4.0


def measure(settings: Settings) -> list[Row]:
    """Seconds for 300 slices of 512 x 512 pixels, for each network in both ways."""
    rows = []
    for network in NETWORKS:
        arguments = {"fold": str(untrained_fold(settings.scratch, network))}
        contestants = [
            Contestant(f"{network}, {SLOW}", "benchmarks.slices:one_by_one", arguments),
            Contestant(f"{network}, {SLOW_TUNED}", "benchmarks.slices:one_by_one", arguments, TUNED_ALLOCATOR),
            Contestant(f"{network}, MODE=whole", "benchmarks.slices:as_predicted", arguments),
        ]
        outcomes = run_alternately(contestants, settings.repeats)
        slow, tuned, own = (outcomes[each.name] for each in contestants)
        rows += [_row(each, outcomes[each.name]) for each in contestants[:2]]
        target, ratio = f"at least {LEAST_RATIO:.0f} times", slow.seconds / own.seconds
        rows += [
            replace(_row(contestants[2], own), reference=SLOW, ratio=ratio, target=target, met=ratio >= LEAST_RATIO),
            replace(_row(contestants[2], own), reference=SLOW_TUNED, ratio=tuned.seconds / own.seconds),
        ]
    return rows


def _row(contestant: Contestant, outcome: Outcome) -> Row:
    seconds = outcome.seconds * VOLUME_SLICES / MEASURED_SLICES
    return Row(4, contestant.name, seconds, f"s for {VOLUME_SLICES} slices", peak_gib=outcome.peak_gib)


def _volume() -> torch.Tensor:
    return torch.randn(1, 1, PIXELS, PIXELS, MEASURED_SLICES, generator=torch.Generator().manual_seed(0))


def one_by_one(fold: str) -> Callable[[], None]:
    """What feeds a network slices as PyTorch does when nothing is said."""
    network = network_of(f"{fold}/{MODEL}").eval()
    # The layout that PyTorch makes weights in
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    volume = _volume()

    def segment() -> None:
        with torch.inference_mode():
            torch.stack([network(volume[..., number]) for number in range(MEASURED_SLICES)], -1)

    return _warm(segment)


def as_predicted(fold: str) -> Callable[[], None]:
    """What the inference configuration's inferer does in MODE=whole."""
    keep_allocations()
    model = f"{fold}/{MODEL}"
    parser = ConfigParser({**read_json(configuration_of(model)), **load([MODES / "whole.yaml"])})
    parser.parse()
    network, inferer = network_of(model).eval(), parser.get_parsed_content("inferer")
    volume = _volume()

    def segment() -> None:
        with torch.inference_mode():
            inferer(volume, network)

    return _warm(segment)


def _warm(segment: Callable[[], None]) -> Callable[[], None]:
    """The first call of a size chooses how to convolve, the second still grows the heap: 300 slices pay that once."""
    for _ in range(2):
        segment()
    return segment
