"""A network as a small device gets it: prepared slices in, probabilities out, and what the device has to know.

The softmax is inside: a device needs the largest channel and nothing else, and the probabilities of all formats can be
compared. Windows can be joined by the mean of logits all the same: these are the probabilities' logarithms, but for a
number that all classes of a voxel share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from pipeline.inference.features import TOLD_PARTS, UNTRAINED, Model
from pipeline.scans.front import ORIENTATION, Front
from pipeline.scans.scan import file_sha256
from pipeline.small_devices.scheme import SLICES, WINDOWS, kind_of, scheme

INPUT, OUTPUT = "image", "probabilities"
NORMALISED = {
    "zscore": "(grey - mean) / standard deviation, both of the whole resampled scan with all that is outside the lungs",
    "window": "(grey - 127.5) / 127.5",
    "unit": "grey / 255",
    "landmarks": "(grey - (lung + tissue) / 2) / (tissue - lung), the scan's own healthy lung and soft tissue",
}
MIRRORED = ("scan", "its mirror image, as often as it takes,")
POSTPROCESSING = [
    "logits are the logarithms of the probabilities, but for what all classes share; mean over windows, and softmax",
    "multiply by class_factors, which are the infection's threshold",
    "connected parts of what is found become background if smallest_part says so",
    "interpolate each class linearly onto the scan's own grid",
    "the largest class of each voxel, of equal ones the first, as label_values has it",
]


class Probabilities(nn.Module):
    """A network's logits (B, C, H, W[, D]) as probabilities of the classes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.network(image), dim=1)


def metadata(model: Model, input_size: Sequence[int]) -> dict[str, str]:
    """What has to be done to a scan, and what comes out, by key; all values are text, most of them JSON.

    `input_size` is (H, W) pixels of a slice, or (H, W, D) voxels of a window.
    """
    told: dict[str, Any] = {
        "network": model.setting("name"),
        "preset": model.setting("preset"),
        **scheme(model, input_size),
        "preprocessing": preprocessing(model.setting("front"), kind_of(model)),
        "postprocessing": POSTPROCESSING,
        "weights": weights_told(model),
        "about": "For research. Not a medical device: do not use it for diagnosis.",
        "made_by": f"PneumoBundle {_version()}, torch {torch.__version__.partition('+')[0]}",
    }
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in told.items()}


def many(size: Sequence[int]) -> str:
    """What a batch of inputs of a size is made of."""
    return "slices" if len(size) == 2 else "windows"


def preprocessing(front: Front, kind: str) -> list[str]:
    """The steps of `pipeline.scans.front` and `pipeline.inferers` in words; the numbers have keys of their own."""
    low, high = front.window_hu
    least, around = ("slice", "air, the smallest value of the whole prepared scan") if kind != WINDOWS else MIRRORED
    pieces = "one slice after the other" if kind == SLICES else f"{kind} every `steps`, the last one at the very end"
    return [
        f"orient to {ORIENTATION}",
        f"clip to {low:g}..{high:g} HU, onto 0..255, rounded; scans in 0..255 grey stay as they are",
        "resample to spacing_mm (0 keeps the scan's own), or to slice_pixels along a slice's longer side",
        *(["all outside the lungs, which another network finds, becomes grey 0"] if front.within_lungs else []),
        *(["second channel: the infection, which another network finds, as grey 255 on 0"] if front.guided else []),
        NORMALISED[front.normalisation],
        f"a {least} that has less than input_size goes on with {around} on both sides",
        pieces,
    ]


def weights_told(model: Model) -> str:
    """Whose weights they are, without the folders above the run."""
    if model.weights is None:
        return UNTRAINED
    return f"{'/'.join(model.weights.parts[-TOLD_PARTS:])}, SHA-256 {file_sha256(model.weights)}"


def changed(model: Model, settings: Mapping[str, Any]) -> Model:
    """The same model with other settings."""
    for key, value in settings.items():
        model.parser[key] = value
    model.parser.parse()
    return model


def _version() -> str:
    try:
        return version("pneumobundle")
    except PackageNotFoundError:
        return "(not installed)"
