"""A bundle's network as a program of torch.export, which outlives TorchScript: Python 3.14 has none.

python pipeline/export/program.py BUNDLE CONFIG WEIGHTS PROGRAM

in a process that knows the bundle's code alone, all files below the bundle's folder. Prints a line of JSON: `sizes`, of
the images that the program takes, or `cannot`, why there is none. No import of this project.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch.export import Dim, ExportedProgram, export

# The sides of an image are multiples of so much: what the slices and windows of all networks are padded to
MULTIPLES = {2: 32, 3: 16}
AXES = ("height", "width", "depth")
# Of an image that tells whether a program takes others than that which it was made with, in multiples
OTHER_SIZE = 3
METADATA, SIZES = "metadata.json", "sizes.txt"


def written(bundle: Path, config: str, weights: str, program: str) -> str:
    """Write a program, logits (B, C, ...) of images (B, 1, ...); gives the sizes of its images in words.

    What torch cannot export is raised as torch does.
    """
    parser = ConfigParser()
    parser.read_config(str(bundle / config))
    parser["bundle_root"] = str(bundle)
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(bundle / weights, map_location="cpu", weights_only=True))
    size = parser.get_parsed_content("patch_size" if parser.get_parsed_content("spatial_dims") == 3 else "slice_size")
    channels = parser.get_parsed_content("in_channels")
    made, sizes = exported(network.eval(), torch.zeros(2, channels, *size))
    forget_sources(made)
    told = {METADATA: (bundle / "configs" / METADATA).read_text(encoding="utf-8"), SIZES: sizes}
    torch.export.save(made, bundle / program, extra_files=told)
    return sizes


def exported(network: torch.nn.Module, images: torch.Tensor) -> tuple[ExportedProgram, str]:
    """A program for any number of images, of any size where torch finds that possible, else of theirs."""
    size = images.shape[2:]
    multiple = MULTIPLES[len(size)]
    any_size = {place: multiple * Dim(axis) for place, axis in enumerate(AXES[: len(size)], start=2)}
    with torch.no_grad():
        try:
            made = export(network, (images,), dynamic_shapes=({0: Dim("images"), **any_size},))
            made.module()(torch.zeros(1, images.shape[1], *[multiple * OTHER_SIZE] * len(size)))
            return made, f"multiples of {multiple}"
        except Exception:  # of torch's many kinds; what is no matter of sizes is raised again below
            return export(network, (images,), dynamic_shapes=({0: Dim("images")},)), " x ".join(map(str, size))


def forget_sources(program: ExportedProgram) -> None:
    """Take out where in this machine's files each operation comes from."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)


def told(*words: str) -> dict[str, Any]:
    bundle, config, weights, program = words
    try:
        return {"sizes": written(Path(bundle), config, weights, program)}
    except Exception as error:  # as above
        return {"cannot": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


if __name__ == "__main__":
    # A bundle stays as it was exported
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    print(json.dumps(told(*sys.argv[1:])))
