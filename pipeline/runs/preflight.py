"""Whether a machine has what a training needs, told before hours are spent: room on the disk and in memory, a GPU."""

from __future__ import annotations

import logging
import math
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from pipeline.core.device import built_for_gpus, free_bytes, is_cuda, is_gpu
from pipeline.core.errors import InputError
from pipeline.core.machine import available_mib
from pipeline.core.several_processes import WORLD_SIZE
from pipeline.training.checkpoint import LAST, MODEL, PREVIOUS

logger = logging.getLogger(__name__)
# Of the environment of a job that asked for a GPU
NEEDS_CUDA = "PNEUMOBUNDLE_NEEDS_CUDA"
SHARED_MEMORY = Path("/dev/shm")
# Of the weights, in a training's folder: model.pt once; weights and Adam's two moments in last.pt, previous.pt and the
# one that is just being written
KEPT, WRITTEN = 1, 9
# Of the weights, in memory: themselves, their gradients and Adam's two moments
STATES = 4


def check_machine(
    folder: str | Path,
    network: torch.nn.Module,
    device: torch.device,
    workers: int,
    batch_size: int,
    sample_size: Sequence[int],
    channels: int,
    value_bytes: int,
) -> None:
    """Raise InputError where this machine lacks what a training into `folder` needs, for its configuration.

    `workers` load batches of `batch_size` samples of `sample_size` voxels and so many channels; the network's values
    have `value_bytes`.
    """
    if os.environ.get(NEEDS_CUDA) and not is_cuda(device):
        raise InputError(
            f"GRES asked for a GPU, but torch {torch.__version__} sees none on {platform.node()}; ask its "
            "administrators, or leave GRES out to train on its cores."
        )
    there = (Path(folder) / name for name in (MODEL, LAST, PREVIOUS))
    written = sum(file.stat().st_size for file in there if file.exists())
    check_disk(folder, (KEPT + WRITTEN) * weight_bytes(network) - written)
    # Several processes on GPUs share a batch, on the CPU they share the memory too
    own_batch = batch_size // int(os.environ.get(WORLD_SIZE, 1)) if is_cuda(device) else batch_size
    check_memory(step_bytes(network, (own_batch, channels, *sample_size), value_bytes), free_memory(device), "a step")
    # Each worker has two batches ready: a float image and a label of one byte
    check_shared_memory(workers * 2 * batch_size * math.prod(sample_size) * 5)


def check_build(gres: str | None, container: str | None = None) -> None:
    """Raise InputError where a GPU is asked for that this torch could not use.

    That of a container, in which the job would run, is not known here: that is said.
    """
    if not gres or "gpu" not in gres:
        return
    if container:
        logger.info(
            "Whether the torch of %s can use GPUs is not checked here; trainings ask on their nodes.", container
        )
    elif not built_for_gpus():
        raise InputError(
            f'GRES is {gres}, but torch {torch.__version__} is a build for CPUs; make setup TORCH="torch --index-url '
            'URL" installs another one, or leave GRES out.'
        )


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


def check_memory(needed: float, there: float, what: str) -> None:
    """Raise InputError where there is less memory than is needed at least."""
    if there < needed:
        raise InputError(
            f"{what} of this training takes {_mb(needed)} of memory at least, and there are {_mb(there)}; ask for more "
            "(MEM= of a cluster), choose a smaller PRESET, or a smaller batch: OVERRIDES=\"{'batch_size': 1}\"."
        )


def step_bytes(network: torch.nn.Module, shape: Sequence[int], value_bytes: int) -> int:
    """What a training step holds at least: weights, gradients, Adam's two moments, and what the layers hand on.

    `shape` is that of the input, (B, C, ...), where a trailing axis of one slice is none of a 2D network's. Nothing is
    computed: a copy of the network without weights runs on torch's meta device. A detector, whose training takes the
    label too, is counted by its weights alone.
    """
    held = STATES * weight_bytes(network)
    if "label" in signature(network.forward).parameters:
        return held
    shadow = deepcopy(network).to("meta").train()
    handed_on: list[int] = []

    def note(layer: torch.nn.Module, given: Any, made: Any) -> None:
        # What is written over its input takes no room of its own
        if isinstance(made, torch.Tensor) and not getattr(layer, "inplace", False):
            handed_on.append(made.numel() * value_bytes)

    for layer in shadow.modules():
        if not list(layer.children()):
            layer.register_forward_hook(note)
    sample = tuple(shape[:-1]) if shape[-1] == 1 else tuple(shape)
    with torch.no_grad():
        shadow(torch.empty(sample, device="meta"))
    return held + sum(handed_on)


def free_memory(device: torch.device) -> float:
    """Bytes that a training may take on a device; of a SLURM job's share where it was given one."""
    if is_gpu(device):
        return free_bytes(device)
    limits = [available_mib() * 2**20]
    if share := os.environ.get("SLURM_MEM_PER_NODE"):
        limits.append(float(share) * 2**20)
    return min(limits)


def weight_bytes(network: torch.nn.Module) -> int:
    return sum(weight.numel() * weight.element_size() for weight in network.state_dict().values())


def bytes_of_training(configuration: Mapping[str, Any]) -> int:
    """Of the weights of the network of a training's configuration."""
    network: torch.nn.Module = ConfigParser(dict(configuration)).get_parsed_content("network_def")
    return weight_bytes(network)


def memory_of_training(configuration: Mapping[str, Any]) -> int:
    """What a step takes at least, see `step_bytes`."""
    parser = ConfigParser(dict(configuration))
    network, *settings = map(
        parser.get_parsed_content, ("network_def", "batch_size", "in_channels", "sample_size", "value_bytes")
    )
    batch_size, channels, sample_size, value_bytes = settings
    return step_bytes(network, (batch_size, channels, *sample_size), value_bytes)


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"
