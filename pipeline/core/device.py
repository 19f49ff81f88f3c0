"""Which device networks run on, and all that depends on its kind; nothing else asks what kind a device is.

In torch AMD's ROCm is called cuda too. No machine of AMD's or Apple's was there to try this on, so Apple's GPU (mps) is
taken without being asked for only where it computes what this machine's processor does: see `apple_trouble`.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import shutil
from functools import cache
from pathlib import Path

import torch

from pipeline.core.errors import InputError
from pipeline.core.machine import computes_bfloat16, cores

logger = logging.getLogger(__name__)
ENVIRONMENT = "PNEUMOBUNDLE_DEVICE"
AUTO, CPU, CUDA, MPS = "auto", "cpu", "cuda", "mps"
# Where a driver tells of its GPUs, whatever torch can do with them
NVIDIA_DRIVER, AMD_DRIVER = Path("/proc/driver/nvidia/version"), Path("/dev/kfd")
# Largest difference of a GPU's float32 from the processor's, relative to the largest value; sums are in another order
TOLERANCE = 1e-3


def chosen_device(name: str | torch.device | None = None) -> torch.device:
    """The device that was asked for: by name, else by the environment's PNEUMOBUNDLE_DEVICE, else the best there is.

    Names are cpu, cuda, cuda:1, mps and auto, which asks for none. The best is CUDA (or ROCm), then Apple's mps, then
    the CPU; why a GPU of this machine is passed over is told, once. InputError for a device that is not there.
    """
    if name is not None and str(name) != AUTO:
        return check_device(name)
    asked = os.environ.get(ENVIRONMENT, "")
    return _best() if asked in ("", AUTO) else check_device(asked, ENVIRONMENT)


def check_device(name: str | torch.device, argument: str = "device") -> torch.device:
    """The device of a name; InputError where there is none of that name, telling which there are."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in (CPU, CUDA, MPS):
        raise InputError(f"{argument} is {str(name)!r}, expected cpu, cuda, cuda:<number>, mps or auto; {_there()}.")
    if device.type == CUDA and not torch.cuda.is_available():
        raise InputError(f"{argument} is {str(name)!r}, but {_why_no_cuda()}; {_there()}.")
    if device.type == CUDA and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"{argument} is {str(name)!r}, but there is no GPU of that number; {_there()}.")
    if device.type == MPS and not torch.backends.mps.is_available():
        raise InputError(f"{argument} is {str(name)!r}, but {_why_no_mps()}; {_there()}.")
    if device.type == MPS and (trouble := apple_trouble()):
        raise InputError(f"{argument} is {str(name)!r}, but {trouble}; a newer torch may help; {_there()}.")
    return device


def _best() -> torch.device:
    if torch.cuda.is_available():
        return torch.device(CUDA)
    if torch.backends.mps.is_available():
        if trouble := apple_trouble():
            _tell(f"computing on the processor, not on Apple's GPU: {trouble}; a newer torch may help.")
            return torch.device(CPU)
        _tell(f"computing on Apple's GPU (mps), where this project was never tried; {ENVIRONMENT}=cpu takes the CPU.")
        return torch.device(MPS)
    if _nvidia_there() or _amd_there():
        _tell(f"computing on the processor: this machine seems to have a GPU, but {_why_no_cuda()}.")
    elif platform.system() == "Darwin" and platform.machine() == "arm64":
        _tell(f"computing on the processor, not on Apple's GPU: {_why_no_mps()}.")
    return torch.device(CPU)


@cache
def _tell(remark: str) -> None:
    """Log a warning, the same one once in a process."""
    logger.warning(remark)


def _nvidia_there() -> bool:
    return NVIDIA_DRIVER.exists() or shutil.which("nvidia-smi") is not None


def _amd_there() -> bool:
    return AMD_DRIVER.exists()


def _why_no_cuda() -> str:
    if not built_for_gpus():
        return (
            f"this torch {torch.__version__} is a CPU build; `make setup TORCH=...` or "
            "https://pytorch.org/get-started/locally has others"
        )
    return f"torch {torch.__version__} for {platform_of_gpus()} sees none (no driver, too old a one, or none is lent)"


def _why_no_mps() -> str:
    if not torch.backends.mps.is_built():
        return f"this torch {torch.__version__} is a build without mps"
    return "this macOS is too old for torch's mps, or this Mac has no GPU for it"


def _there() -> str:
    """The devices of this machine in words, for an error."""
    names = [f"cuda:{number} ({named})" for number, named in enumerate(_cuda_names())]
    names += [MPS] if torch.backends.mps.is_available() else []
    return f"there is {', '.join([*names, CPU])}"


def _cuda_names() -> list[str]:
    if not torch.cuda.is_available():
        return []
    return [name_of(torch.device(CUDA, number)) or CUDA for number in range(torch.cuda.device_count())]


def built_for_gpus() -> bool:
    """Whether this torch can use GPUs of NVIDIA or AMD at all."""
    return torch.version.cuda is not None or torch.version.hip is not None


def platform_of_gpus() -> str:
    """What a person calls torch's cuda: ROCm on AMD's GPUs."""
    return "ROCm" if torch.version.hip is not None else "CUDA"


@cache
def apple_trouble() -> str:
    """Why networks cannot run on Apple's GPU with this torch and macOS; empty where they can.

    It has to do what a small 3D U-Net does, forwards and backwards, and get what the processor gets. Before torch 2.8
    it had no transposed 3D convolution (pytorch/pytorch#154615) and no 3D pooling (#158723), and later still there are
    systems on which 3D convolutions are wrong without a word (#197114). With PYTORCH_ENABLE_MPS_FALLBACK=1 torch does
    on the processor what is only missing.
    """
    return disagreement(torch.device(MPS))


def disagreement(device: torch.device) -> str:
    """How a device fails at a small 3D U-Net, or at its numbers, which are the processor's; empty where it does not."""
    try:
        there = _logits_and_gradients(device)
    except (RuntimeError, TypeError) as error:
        first = str(error).strip().partition("\n")[0].rstrip(".")[:160]
        return f"{device.type} of torch {torch.__version__} lacks what a 3D network needs ({first})"
    for computed, expected in zip(there, _logits_and_gradients(torch.device(CPU)), strict=True):
        # Of numbers that are none neither is the larger one
        if not (computed - expected).abs().max() <= TOLERANCE * expected.abs().max():
            return f"{device.type} of torch {torch.__version__} computes wrong numbers in a small 3D network"
    return ""


def _logits_and_gradients(device: torch.device) -> list[torch.Tensor]:
    # The weights that layers draw for themselves are no part of anybody's seed
    with torch.random.fork_rng(devices=[]):
        network = torch.nn.Sequential(
            torch.nn.Conv3d(1, 16, 3, padding=1),
            torch.nn.BatchNorm3d(16),
            torch.nn.ReLU(),
            torch.nn.MaxPool3d(2),
            torch.nn.Conv3d(16, 32, 3, padding=1),
            torch.nn.Conv3d(32, 32, 3, padding=1),
            torch.nn.ConvTranspose3d(32, 8, 2, stride=2),
            torch.nn.Conv3d(8, 4, 1),
        )
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(_waves(weight.shape) / math.sqrt(weight[0].numel()))
    network = network.to(device)
    logits = network(_waves((2, 1, 8, 8, 8)).to(device))
    logits.square().mean().backward()
    return [each.detach().cpu() for each in (logits, *(weight.grad for weight in network.parameters()))]


def _waves(shape: tuple[int, ...]) -> torch.Tensor:
    """Numbers that look random and are the same everywhere."""
    return torch.sin(torch.arange(math.prod(shape), dtype=torch.float64) ** 2 + 1.0).float().reshape(shape)


def is_cuda(device: torch.device) -> bool:
    """Whether it is a GPU of NVIDIA or, by ROCm, of AMD."""
    return device.type == CUDA


def is_gpu(device: torch.device) -> bool:
    return device.type in (CUDA, MPS)


def name_of(device: torch.device) -> str | None:
    """What a GPU is called; None of a processor."""
    if device.type == CUDA:
        return torch.cuda.get_device_name(device) + (" (ROCm)" if torch.version.hip is not None else "")
    return "Apple GPU (mps)" if device.type == MPS else None


def autocasts(device: torch.device, mixed_precision: bool) -> bool:
    """Whether MONAI's engines, and whoever calls a network as they do, are to compute in float16.

    Not on Apple's GPU: its transposed 3D convolutions know float32 alone (pytorch/pytorch#160739), and MONAI's engines
    scale gradients by CUDA.
    """
    return mixed_precision and device.type == CUDA


def autocast(device: torch.device, mixed_precision: bool) -> torch.autocast:
    """float16 within the block where `autocasts`, else nothing."""
    return torch.autocast(CUDA, enabled=autocasts(device, mixed_precision))


def value_bytes(device: torch.device, mixed_precision: bool) -> int:
    """Of the numbers that a network's layers hand on: 2 in float16 or bfloat16, else 4."""
    if device.type == CPU:
        return 2 if mixed_precision and computes_bfloat16() else 4
    return 2 if autocasts(device, mixed_precision) else 4


def lays_channels_last(device: torch.device) -> bool:
    """Whether weights may lie with their channels last; Apple's GPU got that wrong (pytorch/pytorch#141471)."""
    return device.type != MPS


def loader_workers(device: torch.device) -> int:
    """Data-loader processes: all cores but one beside a GPU, 12 at most; a quarter of them beside a network on the CPU.

    None below four cores: there a worker takes from the network what it gives (0.25 s a step with 0, 1 and 2 workers).
    """
    if is_gpu(device):
        return min(12, max(1, cores() - 1))
    return min(4, cores() // 4)


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what it was given, for whoever takes the time."""
    if device.type == CUDA:
        torch.cuda.synchronize(device)
    elif device.type == MPS:
        torch.mps.synchronize()


def free_bytes(device: torch.device) -> float:
    """Memory of a GPU that a training may take; of a processor see `pipeline.core.machine`."""
    if device.type == CUDA:
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type == MPS:
        return float(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return math.inf


def process_group(device: torch.device) -> str:
    """By what several processes of one training talk to each other; ROCm's RCCL is called nccl too."""
    return "nccl" if device.type == CUDA else "gloo"
