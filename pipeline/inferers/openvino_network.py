"""A network that OpenVINO computes on a CPU: called like the torch module that it was made of."""

from __future__ import annotations

import importlib
import sys
from collections import OrderedDict
from types import ModuleType
from typing import Any

import torch
from monai.data import MetaTensor

from pipeline.core.errors import InputError
from pipeline.core.machine import give_memory_back

# Of slices there are two sizes in a scan, that of all batches and that of what is left for the last one
KEPT_SIZES = 2


def package(name: str) -> ModuleType:
    """`openvino` or `nncf`; InputError that says how to install them.

    Both report to their makers that they are used, by a third package. They do without it, and so does this project:
    nothing of a run leaves the machine.
    """
    # None makes its import fail
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"MODE: 8 bits need the package {name}, which cannot be loaded here ({error}); install it with: "
            "python -m pip install -c constraints.txt -e '.[openvino]'"
        ) from error


class OpenVinoNetwork(torch.nn.Module):
    """A network in OpenVINO's form; images (B, C, H, W[, D]) to float32 logits (B, classes, H, W[, D]).

    It is compiled for each size that it meets, since that is as fast as can be and takes half a second; the last sizes
    are kept. It computes with as many threads as torch does. What is not in 8 bits it computes in float32, on every
    processor, so that results do not depend on that.

    Args:
        description, weights: what OpenVINO calls a model's .xml and .bin file.
    """

    def __init__(self, description: bytes, weights: bytes) -> None:
        super().__init__()
        self.core = package("openvino").Core()
        self.model = self.core.read_model(description, weights)
        self.requests: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        (logits,) = self.request(tuple(plain.shape)).infer([plain.contiguous().numpy()], share_inputs=True).values()
        # What it computed with in between fits badly into what others need
        give_memory_back()
        return torch.from_numpy(logits)

    def request(self, size: tuple[int, ...]) -> Any:
        """What computes images of a size."""
        if size not in self.requests:
            # First, so that its memory is free for the new one
            if len(self.requests) == KEPT_SIZES:
                self.requests.popitem(last=False)
            # Its own memory fits badly into what preparing a scan has left in the heap
            give_memory_back()
            self.model.reshape(size)
            self.requests[size] = self.core.compile_model(self.model, "CPU", settings()).create_infer_request()
        self.requests.move_to_end(size)
        return self.requests[size]


def settings() -> dict[str, Any]:
    """One image at a time, by all threads that torch would take."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",
        # Of two processes both would take the same first cores
        "ENABLE_CPU_PINNING": False,
    }
