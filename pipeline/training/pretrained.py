"""ImageNet weights for a network's encoder, from a checkpoint on this machine."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pipeline.core.errors import InputError
from pipeline.scans.scan import file_sha256
from pipeline.training.checkpoint import DAMAGE

CLASSIFIER = "fc."
# Checkpoints from before torch 0.4.1 lack it, and nothing but a running mean without momentum reads it.
COUNTER = "num_batches_tracked"


def load_encoder(network: nn.Module, weights_path: str | Path | None) -> None:
    """Load a public ImageNet checkpoint into `network.encoder`; nothing for None.

    The encoder's class says in CHECKPOINT_SHA256 how the SHA-256 of its public checkpoint begins, which its file name
    repeats, as in resnet101-63fe2227.pth and res2net50_v1b_26w_4s-3cf99910.pth; no other file is accepted. The
    classifier is dropped. For an encoder of one channel the first convolution's weights are summed over their three:
    the same result as for a slice repeated three times and normalised alike in all three.

    Raises:
        InputError: for a network without public weights, another file, and names or shapes that do not fit.
    """
    if weights_path is None:
        return
    path = Path(weights_path)
    encoder = getattr(network, "encoder", None)
    sha256 = getattr(encoder, "CHECKPOINT_SHA256", None)
    if not isinstance(encoder, nn.Module) or not isinstance(sha256, str):
        raise InputError(
            f"{path}: the network, {type(network).__name__} with {type(encoder).__name__} as encoder, has no public "
            "encoder weights; expected one whose encoder has a public checkpoint; leave the path of the weights empty."
        )
    _check_file(path, type(encoder).__name__, sha256)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        raise InputError(f"{path}: holds more than weights, or is damaged; download it again.") from error
    weights = {name: weight for name, weight in checkpoint.items() if not name.startswith(CLASSIFIER)}
    _fit_first_convolution(path, encoder, weights)
    _check_names_and_shapes(path, encoder, weights)
    encoder.load_state_dict(weights)


def _check_file(path: Path, encoder_name: str, sha256: str) -> None:
    wanted = f"the public checkpoint of {encoder_name}, whose file name ends in -{sha256}.pth"
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; expected {wanted}; download it and give its path.")
    found = file_sha256(path)
    if not found.startswith(sha256):
        raise InputError(f"{path}: its SHA-256 begins with {found[:8]}; expected {wanted}; download it again.")


def _fit_first_convolution(path: Path, encoder: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Sum the first convolution's weights over their input channels where the encoder takes one."""
    name, first = next((name, layer) for name, layer in encoder.named_modules() if isinstance(layer, nn.Conv2d))
    weight = weights.get(f"{name}.weight")
    if weight is None or weight.ndim != 4 or weight.shape[1] == first.in_channels:
        return
    if first.in_channels != 1:
        raise InputError(
            f"{path}: has weights for {weight.shape[1]} input channels, the network {first.in_channels}; expected 1 or "
            f"{weight.shape[1]}; change in_channels or leave the path of the weights empty."
        )
    weights[f"{name}.weight"] = weight.sum(dim=1, keepdim=True)


def _check_names_and_shapes(path: Path, encoder: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    expected = {name: tuple(weight.shape) for name, weight in encoder.state_dict().items()}
    came = {name: tuple(weight.shape) for name, weight in weights.items()}
    needed = {name for name in expected if not name.endswith(COUNTER)}
    problems = {
        "lacks": sorted(needed - came.keys()),
        "has, unknown to the encoder,": sorted(came.keys() - expected.keys()),
        "has in another shape": [
            f"{name} {came[name]} instead of {expected[name]}"
            for name in sorted(expected.keys() & came.keys())
            if came[name] != expected[name]
        ],
    }
    found = [f"{what} {', '.join(names[:3])} ({len(names)} in all)" for what, names in problems.items() if names]
    if found:
        raise InputError(
            f"{path}: {'; '.join(found)}; expected exactly the weights of {type(encoder).__name__}; build the network "
            "with its default width and blocks."
        )
