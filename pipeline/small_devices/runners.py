"""What runs an exported network, on a number of threads, and how long it takes for one input."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from pipeline.core.errors import InputError
from pipeline.small_devices.formats import ONNX, ONNX_INT8, TORCHSCRIPT, package

# Takes images (B, 1, H, W[, D]) and gives probabilities (B, C, H, W[, D])
Runner = Callable[[torch.Tensor], torch.Tensor]


def onnx_runner(file: Path, threads: int) -> Runner:
    """ONNX Runtime on the CPU; InputError where it cannot run one of the file's operations."""
    runtime = package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Errors alone
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except runtime.capi.onnxruntime_pybind11_state.NotImplemented as error:
        raise InputError(
            f"{file.name}: ONNX Runtime has no such operation ({error}); use FORMAT=torchscript."
        ) from error
    (image,) = session.get_inputs()

    def run(images: torch.Tensor) -> torch.Tensor:
        (probabilities,) = session.run(None, {image.name: images.contiguous().numpy()})
        return torch.from_numpy(probabilities)

    return run


def torch_runner(module: Any, threads: int) -> Runner:
    """A module of torch or TorchScript; the number of threads of the process is put back afterwards."""

    def run(images: torch.Tensor) -> torch.Tensor:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with torch.inference_mode():
                probabilities: torch.Tensor = module(images)
                return probabilities
        finally:
            torch.set_num_threads(before)

    return run


def torchscript_runner(file: Path, threads: int) -> Runner:
    return torch_runner(torch.jit.load(str(file), map_location="cpu").eval(), threads)


RUNNERS: Mapping[str, Callable[[Path, int], Runner]] = {
    ONNX: onnx_runner,
    ONNX_INT8: onnx_runner,
    TORCHSCRIPT: torchscript_runner,
}


def passes(runners: Mapping[Any, Runner], image: torch.Tensor, repeats: int) -> dict[Any, list[float]]:
    """The seconds of each runner for one input (1, 1, H, W[, D]), as often as `repeats`, after a warm-up.

    A repeat goes over all runners before the next begins, so that a slow moment of the machine meets all alike.
    """
    if repeats < 1:
        raise InputError(f"--repeats is {repeats}, expected at least 1.")
    seconds: dict[Any, list[float]] = {key: [] for key in runners}
    for repeat in range(repeats + 1):
        for key, run in runners.items():
            began = time.perf_counter()
            run(image)
            if repeat:
                seconds[key].append(time.perf_counter() - began)
    return seconds


def spread(seconds: Iterable[Sequence[float]]) -> float:
    """The largest difference between repeats, as a share of their median."""
    return max((max(times) - min(times)) / median(times) for times in seconds)
