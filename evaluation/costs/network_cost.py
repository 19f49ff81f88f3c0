"""What a network costs: parameters, multiplications, and seconds for inference and for a training step on the CPU."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import torch
from monai.inferers import SimpleInferer
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.core.errors import InputError
from pipeline.inferers.memory_layout import channels_last
from pipeline.inferers.precision import MixedPrecision

logger = logging.getLogger(__name__)
BATCH_SIZE = 2  # of a training step; some networks refuse 1
MIB = 2**20


@dataclass(frozen=True)
class Subject:
    """A network to be measured, and the shape of its input: (C, H, W) pixels, or (C, H, W, D) voxels."""

    name: str
    network: nn.Module
    input_shape: tuple[int, ...]


class Seconds(NamedTuple):
    """Seconds for one input: inference in float32, inference and a training step in the pipeline's own precision."""

    inference_float32: float
    inference: float
    training: float


@dataclass(frozen=True)
class Cost:
    """What a network costs for one input of `input_shape`, (C, H, W[, D]).

    Args:
        parameters: their number; running statistics are none.
        gmac: 10^9 multiply-accumulates of inference.
        passes: the times of every repeat.
    """

    name: str
    input_shape: tuple[int, ...]
    parameters: int
    gmac: float
    passes: tuple[Seconds, ...]

    @property
    def size_mib(self) -> float:
        """Size of the parameters in MiB (2^20 bytes), four bytes each."""
        return 4 * self.parameters / MIB

    def seconds(self) -> Seconds:
        """The median of the repeats, each time by itself."""
        return Seconds(*map(median, zip(*self.passes, strict=True)))

    def spread(self) -> float:
        """The largest difference between repeats of one time, as a share of its median."""
        return max((max(times) - min(times)) / median(times) for times in zip(*self.passes, strict=True))


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def gmac(network: nn.Module, input_shape: Sequence[int]) -> float:
    """10^9 multiply-accumulates of inference on one input of shape (C, H, W[, D]); the network stays as it is.

    Convolutions, transposed convolutions and matrix products, as torch counts them; nothing is computed. Norms,
    activations, pooling and interpolation are not counted, nor are auxiliary heads that work in training alone.
    """
    network = deepcopy(network).to("meta").eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(torch.empty(1, *input_shape, device="meta"))
    # torch counts a multiply-accumulate as two operations
    return counter.get_total_flops() / 2 / 1e9


def measure(subjects: Sequence[Subject], repeats: int) -> list[Cost]:
    """The costs of all networks, in order, from one warm-up pass over all of them and `repeats` timed ones.

    A pass times every network once, so that a slow moment of the machine meets all alike. Raises InputError for a
    network that does not take its input.
    """
    if repeats < 1:
        raise InputError(f"--repeats is {repeats}, expected at least 1.")
    counts = [_gmac_or_complaint(subject) for subject in subjects]
    benches = [_Bench(subject) for subject in subjects]
    passes: list[list[Seconds]] = [[] for _ in subjects]
    for repeat in range(repeats + 1):
        for bench, done in zip(benches, passes, strict=True):
            seconds = bench.run()
            logger.info(
                "%s, %s: inference %.3f s in float32, %.3f s in %s, training %.3f s",
                bench.name, f"repeat {repeat} of {repeats}" if repeat else "warm-up",
                seconds.inference_float32, seconds.inference, precision(), seconds.training,
            )  # fmt: skip
            if repeat:
                done.append(seconds)
    return [
        Cost(subject.name, subject.input_shape, parameters(subject.network), count, tuple(done))
        for subject, count, done in zip(subjects, counts, passes, strict=True)
    ]


def precision() -> str:
    """The number format that the pipeline computes in on this CPU."""
    return "bfloat16" if MixedPrecision(SimpleInferer()).enabled else "float32"


def _gmac_or_complaint(subject: Subject) -> float:
    try:
        return gmac(subject.network, subject.input_shape)
    except ValueError as error:
        shape = "x".join(map(str, subject.input_shape))
        raise InputError(
            f"{subject.name}: does not take an input of {shape} ({error}); give a --size that fits, such as 512."
        ) from error


class _Bench:
    """A network as the pipeline runs it: fast memory layout, Adam, mixed precision."""

    def __init__(self, subject: Subject) -> None:
        self.name = subject.name
        self.network = channels_last(subject.network, len(subject.input_shape) - 1)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.001, fused=True)
        self.inputs = torch.randn(BATCH_SIZE, *subject.input_shape, generator=torch.Generator().manual_seed(0))
        self.float32 = MixedPrecision(SimpleInferer(), enabled=False)
        self.own = MixedPrecision(SimpleInferer())

    def run(self) -> Seconds:
        """Inference twice, then a training step; a step's seconds are shared between its inputs."""
        self.network.eval()
        with torch.no_grad():
            float32 = _duration_s(lambda: self.float32(self.inputs[:1], self.network))
            own = _duration_s(lambda: self.own(self.inputs[:1], self.network))
        self.network.train()
        step = _duration_s(self.train_step)
        # The other networks need the memory meanwhile.
        self.optimizer.zero_grad(set_to_none=True)
        return Seconds(float32, own, step / BATCH_SIZE)

    def train_step(self) -> None:
        """Forward, backward and Adam's step; the mean of squares, summed over auxiliary heads, stands for the loss."""
        outputs = self.own(self.inputs, self.network)
        heads = [outputs] if isinstance(outputs, torch.Tensor) else outputs
        torch.stack([head.square().mean() for head in heads]).sum().backward()
        self.optimizer.step()


def _duration_s(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
