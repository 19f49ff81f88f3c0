"""Goal 4: 2D networks over a volume, against feeding them one slice after the other in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from monai.bundle import ConfigParser

from benchmarks.contest import PLAIN, TUNED_ALLOCATOR, Contestant, Outcome, run_alternately
from benchmarks.own_inference import untrained_fold
from benchmarks.row import Row
from benchmarks.settings import Settings
from pipeline.core.atomic import read_json
from pipeline.core.configuration import MODES, load
from pipeline.core.machine import keep_allocations
from pipeline.inference.ensemble import configuration_of, network_of
from pipeline.training.checkpoint import MODEL

SLOW, SLOW_TUNED = "one by one in float32", "one by one in float32, tuned allocator"
NETWORKS = ("anam_net", "enet", "unet_2d")
PIXELS, VOLUME_SLICES = 512, 300
# Time grows linearly with them, so that a few tell what 300 take
MEASURED_SLICES = 2
LEAST_RATIO = 4.0


def measure(settings: Settings) -> list[Row]:
    """Seconds for 300 slices of 512 x 512 pixels, for each network in both ways."""
    contestants = {
        network: _contestants(network, str(untrained_fold(settings.scratch, network))) for network in NETWORKS
    }
    outcomes = run_alternately([each for ways in contestants.values() for each in ways], settings.repeats)
    return [row for ways in contestants.values() for row in _rows(ways, outcomes)]


def _contestants(network: str, fold: str) -> list[Contestant]:
    slow, own = "benchmarks.slices:one_by_one", "benchmarks.slices:as_predicted"
    return [
        Contestant(f"{network}, {SLOW}", slow, {"fold": fold}, PLAIN),
        Contestant(f"{network}, {SLOW_TUNED}", slow, {"fold": fold}, PLAIN | TUNED_ALLOCATOR),
        Contestant(f"{network}, MODE=whole", own, {"fold": fold}),
    ]


def _rows(ways: Sequence[Contestant], outcomes: Mapping[str, Outcome]) -> list[Row]:
    slow, tuned, own = (outcomes[way.name] for way in ways)
    *references, mine = (_row(way, outcomes[way.name]) for way in ways)
    target, ratio = f"at least {LEAST_RATIO:.0f} times", slow.seconds / own.seconds
    return [
        *references,
        replace(mine, reference=SLOW, ratio=ratio, target=target, met=ratio >= LEAST_RATIO),
        replace(mine, reference=SLOW_TUNED, ratio=tuned.seconds / own.seconds),
    ]


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

    # Two calls of a network, as below
    segment()
    return segment


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

    # The first call of a size chooses how to convolve, the second still grows the heap: 300 slices pay that once
    for _ in range(2):
        segment()
    return segment
