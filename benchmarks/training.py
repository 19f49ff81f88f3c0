"""Goal 3: augmented 160 x 160 x 80 patches a second and core, and what they take of a training step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
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
from pipeline.core.atomic import replacing
from pipeline.core.configuration import BUNDLES, COMMON, load
from pipeline.core.device import loader_workers
from pipeline.core.machine import keep_allocations
from pipeline.scans.front import Front
from pipeline.scans.scan import read_scan
from transforms.batchgenerators_list import DEVICE, LOADER, augmented_whole, numpy_seed
from transforms.deform_and_crop import DeformAndCrop
from transforms.patch_on_device import collate, prepare_batch

OWN, PLAIN, MONAI = "own", "plain batchgenerators", "MONAI, linear"
# The two halves of a patch with `augment_on: device`
DRAWN, FINISHED = "own, drawn and cut out for the device", "own, finished on the device"
# Enough for elastic deformation, 15 % of them, to come up: MONAI's takes 12 s a patch on one thread, all else 0.2 s
PATCHES = {OWN: 16, PLAIN: 16, MONAI: 12, DRAWN: 16, FINISHED: 16}
# The steps are repeated in one process, which warms up for longer than it measures
STEPS = 3
# The paper's on a GPU; a CPU takes 5 s for each, and the shares are the same
BATCH = 2 if torch.cuda.is_available() else 1
MOST_SHARE = 0.10
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def measure(settings: Settings) -> list[Row]:
    """Patches a second on one thread of each way, and the data's share of a step of the 3D U-Net."""
    volume = str(prepared_volume(settings.scratch))
    patches = [
        Contestant(name, "benchmarks.training:patches", {"volume": volume, "way": name, "count": count}, ONE_THREAD)
        for name, count in PATCHES.items()
        # Without a GPU the step below tells it
        if name != FINISHED or torch.cuda.is_available()
    ]
    outcomes = run_alternately(patches, settings.repeats)
    rate = {name: PATCHES[name] / outcome.seconds for name, outcome in outcomes.items()}
    rows = [Row(3, f"patches, {name}", rate[name], "patches/s", peak_gib=outcomes[name].peak_gib) for name in rate]
    rows += [
        Row(3, f"patches, {OWN}", rate[OWN], "patches/s", reference, rate[OWN] / rate[reference])
        for reference in (PLAIN, MONAI)
    ]
    rows.append(Row(3, f"patches, {DRAWN}", rate[DRAWN], "patches/s", OWN, rate[DRAWN] / rate[OWN]))
    found = run_alternately([Contestant("step", "benchmarks.training:step", {"volume": volume})], repeats=1)
    return rows + of_step(found["step"].numbers, found["step"].peak_gib) + on_gpu(found["step"].numbers, rate)


def of_step(numbers: Mapping[str, float], peak_gib: float) -> list[Row]:
    """A step of the network, and what the data adds to it without data-loader processes."""
    network, data = numbers["network_s"], numbers["data_s"]
    on_device = numbers["drawn_s"] + numbers["finished_s"]
    return [
        Row(3, f"step of the 3D U-Net, batch of {BATCH}, the network alone", network, "s", peak_gib=peak_gib),
        Row(3, "what the data adds to that step, in the same process", data, "s"),
        Row(3, "the same, augment_on: device", on_device, "s", "augment_on: loader", data / on_device),
        Row(
            3, "the data's part of the network's own time", data / network, "",
            target=f"within {MOST_SHARE:.2f}", met=data <= MOST_SHARE * network,
        ),
        Row(
            3, "what finishing the patches on the device is of the network's own time",
            numbers["finished_s"] / network, "",
        ),
    ]  # fmt: skip


def on_gpu(numbers: Mapping[str, float], rate: Mapping[str, float]) -> list[Row]:
    """Whether the processes beside a GPU give as many patches as it takes; nothing without one."""
    device = torch.device("cuda")
    if not torch.cuda.is_available():
        return []
    workers = loader_workers(device)
    rows = []
    for where, way, step_s in (
        (LOADER, OWN, numbers["network_s"]),
        (DEVICE, DRAWN, numbers["network_s"] + numbers["finished_s"]),
    ):
        given, taken = workers * rate[way], BATCH / step_s
        rows += [
            Row(3, f"patches that {torch.cuda.get_device_name(device)} takes, augment_on: {where}", taken, "patches/s"),
            Row(
                3, f"patches that {workers} processes give, by the rate of one", given, "patches/s",
                "what it takes", given / taken, "at least as many", given >= taken,
            ),
        ]  # fmt: skip
    return rows


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
    if way == FINISHED:
        return finishing(case, count)
    augment = {OWN: own, PLAIN: plain, MONAI: monai, DRAWN: drawn}[way](case)

    def measured() -> None:
        for seed in range(count):
            augment(seed)

    return measured


def finishing(case: dict[str, np.ndarray], count: int) -> Callable[[], None]:
    """As many patches that are drawn already, brought to the device and finished there."""
    draw, device = drawn(case), _configured().get_parsed_content("device")
    batches = [collate([draw(seed)]) for seed in range(count)]
    finish(batches[:1], device)
    return lambda: finish(batches, device)


def finish(batches: Sequence[dict[str, Any]], device: torch.device) -> None:
    """What a trainer does with batches of `augment_on: device` before the network gets them."""
    for batch in batches:
        image, _ = prepare_batch(batch, device)
    # A GPU is waited for
    image.sum().item()


def _configured(**changes: Any) -> ConfigParser:
    """A training of the 3D U-Net with the paper's preset."""
    parser = ConfigParser(load([COMMON / "train.yaml", BUNDLES / "unet_3d" / "configs" / "network.yaml"]))
    parser.update(changes)
    return parser


def own(case: dict[str, np.ndarray], **changes: Any) -> Callable[[int], Any]:
    """What a training draws of a case, all of train.yaml's preprocessing."""
    transform = _configured(**changes).get_parsed_content("train::preprocessing")
    return lambda seed: transform.set_random_state(seed)(dict(case))


def drawn(case: dict[str, np.ndarray]) -> Callable[[int], Any]:
    """The same, as far as a data loader's process does it where the rest is done on the device."""
    return own(case, augment_on=DEVICE)


def plain(case: dict[str, np.ndarray]) -> Callable[[int], Any]:
    """The same list, with batchgenerators' own SpatialTransform, on the whole volume as MIScnn."""
    transforms = _configured().get_parsed_content("augmentations")
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
    """Seconds of a training step without its data, and of its data, on all cores, as without data-loader processes.

    In the precision of the trainer: float16 with a scaled loss on a GPU, bfloat16 on a CPU that has it.
    """
    keep_allocations()
    parser = _configured()
    network, optimizer, loss, inferer, device, mixed = map(
        parser.get_parsed_content, ("network", "optimizer", "loss", "train_inferer", "device", "mixed_precision")
    )
    amp = mixed and device.type == "cuda"
    scaler = torch.amp.GradScaler(device.type, enabled=amp)
    case = dict(np.load(volume))
    augment, draw = own(case), drawn(case)
    image, label = prepare_batch(collate([augment(seed) for seed in range(BATCH)]), device)

    def train() -> None:
        optimizer.zero_grad()
        with torch.autocast("cuda", enabled=amp):
            value = loss(inferer(image, network), label)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        # A GPU is waited for
        value.item()

    def measured() -> dict[str, float]:
        train()
        network_s = [_seconds(train) for _ in range(STEPS)]
        seeds, batches = range(PATCHES[OWN]), [collate([draw(seed)]) for seed in range(PATCHES[DRAWN])]
        finish(batches[:1], device)
        of_patch = {
            "data_s": _seconds(lambda: [augment(seed) for seed in seeds]),
            "drawn_s": _seconds(lambda: [draw(seed) for seed in seeds]),
            "finished_s": _seconds(lambda: finish(batches, device)),
        }
        of_step = {name: seconds * BATCH / len(seeds) for name, seconds in of_patch.items()}
        return {"network_s": float(np.median(network_s)), **of_step}

    return measured


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
