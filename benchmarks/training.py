"""Goal 3: augmented 160 x 160 x 80 patches a second and core, and what they take of a training step."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgenerators.transforms.spatial_transforms import SpatialTransform
from monai.bundle import ConfigParser
from monai.transforms import (
    Compose,
    Rand3DElasticd,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandScaleIntensityd,
    RandScaleIntensityFixedMeand,
    RandSpatialCropd,
)

from benchmarks.contest import Contestant, run_alternately
from benchmarks.row import Row
from benchmarks.scan import large_scan
from benchmarks.settings import Settings
from pipeline.atomic import replacing
from pipeline.configuration import BUNDLES, COMMON, load
from pipeline.front import Front
from pipeline.machine import keep_allocations
from pipeline.scan import read_scan
from transforms.batchgenerators_list import augmented_whole, numpy_seed
from transforms.deform_and_crop import DeformAndCrop

OWN, PLAIN, MONAI = "own", "plain batchgenerators", "MONAI, linear"
# MONAI's are few, as each takes seconds
PATCHES = {OWN: 16, PLAIN: 16, MONAI: 6}
STEPS, BATCH = 2, 2
MOST_SHARE = 0.10
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def measure(settings: Settings) -> list[Row]:
    """Patches a second on one thread of each way, and the data's share of a step of the 3D U-Net."""
    volume = str(prepared_volume(settings.scratch))
    patches = [
        Contestant(name, "benchmarks.training:patches", {"volume": volume, "way": name, "count": count}, ONE_THREAD)
        for name, count in PATCHES.items()
    ]
    outcomes = run_alternately(patches, settings.repeats)
    rate = {name: PATCHES[name] / outcome.seconds for name, outcome in outcomes.items()}
    rows = [Row(3, f"patches, {name}", rate[name], "patches/s", peak_gib=outcomes[name].peak_gib) for name in rate]
    rows += [
        Row(3, f"patches, {OWN}", rate[OWN], "patches/s", reference, rate[OWN] / rate[reference])
        for reference in (PLAIN, MONAI)
    ]
    step = Contestant("step", "benchmarks.training:step", {"volume": volume})
    found = run_alternately([step], settings.repeats)["step"]
    network, data = found.numbers["network_s"], found.numbers["data_s"]
    return [
        *rows,
        Row(3, f"step of the 3D U-Net, {BATCH} patches, the network alone", network, "s", peak_gib=found.peak_gib),
        Row(3, "what the data adds to that step, in the same process", data, "s"),
        Row(
            3, "the data's part of the network's own time", data / network, "",
            target=f"within {MOST_SHARE:.2f}", met=data <= MOST_SHARE * network,
        ),
    ]  # fmt: skip


def prepared_volume(scratch: Path) -> Path:
    """The large CT as the cache holds it in the paper's preset; codes of soft tissue stand for a label."""
    target = scratch / "prepared.npz"
    if not target.is_file():
        scan = large_scan(scratch)
        image = Front(order=3).image(read_scan(scan), str(scan))
        codes = np.digitize(image, np.quantile(image, (0.5, 0.8, 0.95))).astype(np.uint8)
        with replacing(target) as temporary, temporary.open("wb") as stream:
            np.savez(stream, image=image.astype(np.float16), label=codes)
    return target


def patches(volume: str, way: str, count: int) -> Callable[[], None]:
    """As many augmented patches; each way has the parameters of train.yaml."""
    torch.set_num_threads(1)
    case = dict(np.load(volume))
    augment = {OWN: own, PLAIN: plain, MONAI: monai}[way](case)

    def measured() -> None:
        for seed in range(count):
            augment(seed)

    return measured


def _configured(*overlays: Path) -> ConfigParser:
    return ConfigParser(load([COMMON / "train.yaml", *overlays]))


def own(case: dict[str, np.ndarray]) -> Callable[[int], Any]:
    """What a training draws of a case, all of train.yaml's preprocessing."""
    transform = _configured(BUNDLES / "unet_3d" / "configs" / "network.yaml").get_parsed_content("train::preprocessing")
    return lambda seed: transform.set_random_state(seed)(dict(case))


def plain(case: dict[str, np.ndarray]) -> Callable[[int], Any]:
    """The same list, with batchgenerators' own SpatialTransform, on the whole volume as MIScnn."""
    transforms = _configured(BUNDLES / "unet_3d" / "configs" / "network.yaml").get_parsed_content("augmentations")
    with_own: Sequence[Any] = [batchgenerators_of(each) for each in transforms]

    def augment(seed: int) -> Any:
        with numpy_seed(seed):
            return augmented_whole(case["image"], case["label"], with_own)

    return augment


def batchgenerators_of(transform: Any) -> Any:
    """A DeformAndCrop as the SpatialTransform with its parameters; others as they are."""
    if not isinstance(transform, DeformAndCrop):
        return transform
    same = SpatialTransform(transform.patch_size)
    vars(same).update(vars(transform))
    return same


def monai(case: dict[str, np.ndarray]) -> Callable[[int], Any]:
    """MONAI's random transforms with the same ranges and probabilities, linear where the others are cubic."""
    both, size, chance = ["image", "label"], (160, 160, 80), 0.15
    angle, mode = math.pi / 12, ("bilinear", "nearest")
    zeros: dict[str, Any] = {"mode": mode, "padding_mode": "zeros"}
    transform = Compose(
        [
            RandSpatialCropd(both, size, random_size=False),
            *(RandFlipd(both, 0.5, axis) for axis in range(3)),
            RandScaleIntensityFixedMeand("image", factors=(-0.7, 2.0), preserve_range=True, prob=chance),
            RandScaleIntensityd("image", (-0.5, 1.0), chance),
            RandAdjustContrastd("image", chance, (0.7, 1.5), retain_stats=True),
            RandGaussianNoised("image", chance, std=0.05),
            Rand3DElasticd(both, (9, 13), (0, 900), prob=chance, **zeros),
            RandAffined(both, prob=chance, rotate_range=(angle,) * 3, **zeros),
            RandAffined(both, prob=chance, scale_range=((-0.15, 0.25),) * 3, **zeros),
        ]
    )
    tensors = {key: torch.from_numpy(np.asarray(case[key], np.float32)) for key in both}
    return lambda seed: transform.set_random_state(seed)(dict(tensors))


def step(volume: str) -> Callable[[], dict[str, float]]:
    """Seconds of a training step without its data, and of its data, on all cores, as without data-loader processes."""
    keep_allocations()
    parser = _configured(BUNDLES / "unet_3d" / "configs" / "network.yaml")
    network, optimizer, loss, inferer, device = map(
        parser.get_parsed_content, ("network", "optimizer", "loss", "train_inferer", "device")
    )
    augment = own(dict(np.load(volume)))
    samples = [augment(seed) for seed in range(BATCH)]
    image, label = (torch.stack([torch.as_tensor(sample[key]) for sample in samples]) for key in ("image", "label"))

    def train() -> float:
        began = time.perf_counter()
        optimizer.zero_grad()
        logits = inferer(image.to(device), network)
        value = loss(logits, label.to(device))
        value.backward()
        optimizer.step()
        # A GPU is waited for
        value.item()
        return time.perf_counter() - began

    def measured() -> dict[str, float]:
        train()
        network_s = [train() for _ in range(STEPS)]
        seeds = itertools.count()
        began = time.perf_counter()
        for _ in range(PATCHES[OWN]):
            augment(next(seeds))
        data_s = (time.perf_counter() - began) * BATCH / PATCHES[OWN]
        return {"network_s": float(np.median(network_s)), "data_s": data_s}

    return measured
