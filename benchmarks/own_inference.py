"""Inference as `make predict` does it, and a full-size network to do it with."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from pipeline.core.atomic import read_json, write_json
from pipeline.core.configuration import INFERENCE, merged
from pipeline.inference.chosen_model import open_model
from pipeline.inference.ensemble import configuration_of
from pipeline.scans.scan import case_name, read_scan
from pipeline.scans.written_image import write_image
from pipeline.training.checkpoint import MODEL


def prepare(scan: str, run: str, output: str, mode: str) -> Callable[[], dict[str, float]]:
    """What `make predict MODEL=<run> INPUT=<scan> MODE=<mode>` does up to the label file; all modules are imported."""
    for line in read_json(configuration_of(Path(run) / MODEL))["imports"]:
        importlib.import_module(line.removeprefix("$import ").split(" as ")[0])
    importlib.import_module("monai.engines")

    def measured() -> dict[str, float]:
        segment(run, [scan], output, mode)
        return {}

    return measured


def segment(run: str | Path, scans: Sequence[str | Path], output: str | Path, mode: str) -> None:
    """Write the label file of each scan, and nothing else; also of those that have one already."""
    with open_model(run, mode=mode) as model:
        for scan in scans:
            name = case_name(scan)
            write_image(
                model.segmenter.segment(name, read_scan(scan), Path(scan)).label, Path(output) / f"{name}.nii.gz"
            )


def settings_of(run: str | Path) -> dict[str, Any]:
    """Window, spacing, patch and overlap of a trained fold."""
    configuration = read_json(configuration_of(Path(run) / MODEL))
    return {key: configuration[key] for key in ("window_hu", "spacing_mm", "patch_size", "overlap")}


def untrained_fold(folder: Path, network: str = "unet_3d", classes: int = 4) -> Path:
    """A fold of the paper's preset with the weights that a training would begin with, made anew each time.

    Images are resampled linearly, as stock MONAI's bundles do it, instead of cubically.
    """
    fold = folder / f"{network}_{classes}_classes" / "fold0"
    configuration = merged(INFERENCE, network, "paper", {"out_channels": classes, "interpolation_order": 1}, {})
    write_json(configuration_of(fold / MODEL), configuration)
    torch.manual_seed(0)
    made = ConfigParser(configuration).get_parsed_content("network_def")
    fold.mkdir(parents=True, exist_ok=True)
    torch.save(made.state_dict(), fold / MODEL)
    return fold
