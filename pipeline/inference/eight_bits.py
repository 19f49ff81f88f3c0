"""A trained network in 8 bits: the file beside its weights, whether it still belongs to them, and its use.

`pipeline.inference.calibration` makes the file, a zip archive of OpenVINO's two files and of what they were made of. It
is one file, so that it is there as a whole or not at all, whoever writes it at the same time.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pipeline.core.atomic import replacing
from pipeline.core.errors import InputError
from pipeline.core.machine import give_memory_back
from pipeline.inference.ensemble import Ensemble
from pipeline.inferers.openvino_network import OpenVinoNetwork
from pipeline.scans.scan import file_sha256

DESCRIPTION, WEIGHTS, MADE_OF = "network.xml", "network.bin", "made_of.json"
MODEL_SHA256, FILES = "model_sha256", "files_sha256"
MAKE_IT = "run make predict MODE=int8 once with the scans that it was trained on where they were"


class NoEightBitsError(InputError):
    """There is no 8-bit file that belongs to the weights: none at all, or one of others."""


class EightBits(NamedTuple):
    """A network in 8 bits, as OpenVINO reads it, and what it was made of."""

    description: bytes
    weights: bytes
    made_of: Mapping[str, Any]


def eight_bits_file(model_file: str | Path) -> Path:
    """Where the 8 bits of a trained network are: `model_int8.zip` beside its `model.pt`."""
    model_file = Path(model_file)
    return model_file.with_name(f"{model_file.stem}_int8.zip")


def write_eight_bits(model_file: Path, description: bytes, weights: bytes, made_of: Mapping[str, Any]) -> Path:
    """The file of a network, with the hashes of all; `made_of` is told in it. OSError where it cannot be written."""
    content = {DESCRIPTION: description, WEIGHTS: weights}
    hashes = {name: hashlib.sha256(part).hexdigest() for name, part in content.items()}
    told = {MODEL_SHA256: file_sha256(model_file), FILES: hashes, **made_of}
    file = eight_bits_file(model_file)
    with replacing(file) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, part in content.items():
            archive.writestr(name, part)
        archive.writestr(MADE_OF, json.dumps(told, indent=1))
    return file


def read_eight_bits(model_file: str | Path) -> EightBits:
    """The 8 bits of a trained network.

    Raises NoEightBitsError where there are none of its present weights, InputError where the file is damaged.
    """
    file = eight_bits_file(model_file)
    if not file.is_file():
        raise NoEightBitsError(f"{model_file}: has no 8 bits beside it, {file.name}; {MAKE_IT}.")
    try:
        with zipfile.ZipFile(file) as archive:
            description, weights, told = (archive.read(name) for name in (DESCRIPTION, WEIGHTS, MADE_OF))
        made_of = json.loads(told)
        hashes = [hashlib.sha256(part).hexdigest() for part in (description, weights)]
        whole = hashes == [made_of[FILES][name] for name in (DESCRIPTION, WEIGHTS)]
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError):
        whole = False
    if not whole:
        raise InputError(f"{file}: is damaged, its checksums differ; delete it and {MAKE_IT}.")
    if made_of[MODEL_SHA256] != file_sha256(model_file):
        raise NoEightBitsError(f"{file}: was made of other weights than {Path(model_file).name} has now; {MAKE_IT}.")
    return EightBits(description, weights, made_of)


def check_device(device: torch.device) -> None:
    """InputError where 8 bits are asked for on a GPU."""
    if device.type != "cpu":
        raise InputError(
            f"MODE: 8 bits are for CPUs, but this runs on {device}; use MODE=whole, windows or fast, or give "
            "PNEUMOBUNDLE_DEVICE=cpu."
        )


def network_at_work(
    network: torch.nn.Module,
    model_file: str | Path | Sequence[str | Path],
    device: torch.device,
    eight_bits: bool,
) -> torch.nn.Module:
    """What inference calls: the network itself, or in its place the 8 bits beside its weights.

    `model_file` is that of a network, or of an ensemble those of its members, which are taken out of it one by one.
    What is replaced is no network any more: its weights give their memory back. Raises InputError as `read_eight_bits`
    does, and where the device is no CPU.
    """
    if not eight_bits:
        return network
    check_device(device)
    if isinstance(network, Ensemble):
        files = [model_file] if isinstance(model_file, str | Path) else model_file
        for place, file in enumerate(files):
            network.members[place] = network_at_work(network.members[place], file, device, eight_bits)
        return network
    description, weights, _ = read_eight_bits(str(model_file))
    network.to("meta")
    give_memory_back()
    return OpenVinoNetwork(description, weights)
