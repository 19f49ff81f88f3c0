"""Goal 4: 2D networks over a volume, against feeding them one slice after the other in float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.bundle import ConfigParser

from benchmarks.contest import Contestant, run_alternately
from benchmarks.own_inference import untrained_fold
from benchmarks.row import Row
from benchmarks.settings import Settings
from pipeline.atomic import read_json
from pipeline.checkpoint import MODEL
from pipeline.configuration import MODES, load
from pipeline.ensemble import configuration_of, network_of
from pipeline.machine import keep_allocations

NETWORKS = ("anam_net", "enet", "unet_2d")
PIXELS, VOLUME_SLICES = 512, 300
# Time grows linearly with them, so that a few tell what 300 take
MEASURED_SLICES = 2
LEAST_RATIO = 4.0


def measure(settings: Settings) -> list[Row]:
    """Seconds for 300 slices of 512 x 512 pixels, for each network in both ways."""
    rows = []
    for network in NETWORKS:
        fold = str(untrained_fold(settings.scratch, network))
        ways = {name: f"{network}, {name}" for name in ("one by one in float32", "MODE=whole")}
        reference, own = (
            Contestant(name, f"benchmarks.slices:{function}", {"fold": fold})
            for name, function in zip(ways.values(), ("one_by_one", "as_predicted"), strict=True)
        )
        outcomes = run_alternately([reference, own], settings.repeats)
        slow, fast = (outcomes[way.name] for way in (reference, own))
        scale = VOLUME_SLICES / MEASURED_SLICES
        ratio = slow.seconds / fast.seconds
        unit = f"s for {VOLUME_SLICES} slices"
        rows.append(Row(4, reference.name, slow.seconds * scale, unit, peak_gib=slow.peak_gib))
        target = f"at least {LEAST_RATIO:.0f} times"
        rows.append(
            Row(
                4,
                own.name,
                fast.seconds * scale,
                unit,
                "one by one",
                ratio,
                target,
                ratio >= LEAST_RATIO,
                fast.peak_gib,
            )
        )
    return rows


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

    with torch.inference_mode():
        network(volume[..., 0])
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

    with torch.inference_mode():
        inferer(volume[..., :1], network)
    return segment
