"""Whether a machine has what a training needs, told before hours are spent: room on the disk and in memory, a GPU."""

from __future__ import annotations

import math
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from pipeline.checkpoint import LAST, MODEL, PREVIOUS
from pipeline.errors import InputError

# Of the environment of a job that asked for a GPU
NEEDS_CUDA = "PNEUMOBUNDLE_NEEDS_CUDA"
SHARED_MEMORY = Path("/dev/shm")
# Of the weights, in a training's folder: model.pt once; weights and Adam's two moments in last.pt, previous.pt and the
# one that is just being written
KEPT, WRITTEN = 1, 9


def check_machine(
    folder: str | Path,
    network: torch.nn.Module,
    device: torch.device,
    workers: int,
    batch_size: int,
    sample_size: Sequence[int],
) -> None:
    """Raise InputError where this machine lacks what a training into `folder` needs, for its configuration.

    `workers` load batches of `batch_size` samples of `sample_size` voxels.
    """
    if os.environ.get(NEEDS_CUDA) and device.type != "cuda":
        raise InputError(
            f"GRES asked for a GPU, but torch {torch.__version__} sees none on {platform.node()}; ask its "
            "administrators, or leave GRES out to train on its cores."
        )
    there = (Path(folder) / name for name in (MODEL, LAST, PREVIOUS))
    written = sum(file.stat().st_size for file in there if file.exists())
    check_disk(folder, (KEPT + WRITTEN) * weight_bytes(network) - written)
    # Each worker has two batches ready: a float image and a label of one byte
    check_shared_memory(workers * 2 * batch_size * math.prod(sample_size) * 5)


def check_build(gres: str | None) -> None:
    """Raise InputError where a GPU is asked for that this torch could not use."""
    if gres and "gpu" in gres and not built_for_gpus():
        raise InputError(
            f'GRES is {gres}, but torch {torch.__version__} is a build for CPUs; make setup TORCH="torch --index-url '
            'URL" installs another one, or leave GRES out.'
        )


def built_for_gpus() -> bool:
    return torch.version.cuda is not None or torch.version.hip is not None


def check_disk(folder: str | Path, needed: float) -> None:
    """Raise InputError where a folder's disk has fewer bytes free."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise InputError(
            f"{folder}: its disk has {_mb(free)} free, but the checkpoints of this training take {_mb(needed)}; free "
            "some, or choose another OUT."
        )


def check_shared_memory(needed: float) -> None:
    """Raise InputError where workers could not hand over their batches: they would die without saying why."""
    if needed and SHARED_MEMORY.is_dir() and (free := shutil.disk_usage(SHARED_MEMORY).free) < needed:
        raise InputError(
            f"{SHARED_MEMORY} has {_mb(free)} free, but the data loader's workers take {_mb(needed)}; give the "
            "container more (--shm-size), or train without workers: OVERRIDES=\"{'num_workers': 0}\"."
        )


def weight_bytes(network: torch.nn.Module) -> int:
    return sum(weight.numel() * weight.element_size() for weight in network.state_dict().values())


def bytes_of_training(configuration: Mapping[str, Any]) -> int:
    """Of the weights of the network of a training's configuration."""
    network: torch.nn.Module = ConfigParser(dict(configuration)).get_parsed_content("network_def")
    return weight_bytes(network)


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"
