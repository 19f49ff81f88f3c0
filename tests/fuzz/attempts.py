"""What is made of each damaged input: what preparing it for a network does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pipeline.folders.layouts import list_cases
from pipeline.scans.dicom.choice import choose_series
from pipeline.scans.dicom.series import find_series
from pipeline.scans.dicom.volume import read_series
from pipeline.scans.front import CUBIC, LINEAR, Front
from pipeline.scans.scan import SUFFIXES, file_sha256, read_geometry, read_scan
from pipeline.training.checkpoint import load_weights

from .folders import write_damaged_folder
from .images import damaged_image, damaged_pair
from .outcomes import Outcome, outcomes
from .series import write_damaged_series
from .weights import damaged_weights

FRONTS = (
    Front(order=LINEAR, spacing_mm=(4, 4, 6)),
    Front(order=CUBIC, spacing_mm=(1.6, 1.6, 0), normalisation="window"),
)


def prepare_image(file: Path) -> None:
    """Read an image file, its grid alone as well, and prepare it; fails where what comes out is no scan."""
    read_geometry(file)
    _prepare(read_scan(file), file.name)


def _prepare(scan: object, name: str) -> None:
    for front in FRONTS:
        prepared = front.image(scan, name)
        if prepared.ndim != 4 or not np.isfinite(prepared).all():
            raise ValueError(f"prepared as {prepared.shape} with values that are no numbers")


def _write_image(folder: Path, name: str, generator: np.random.Generator) -> Path:
    suffix, content = damaged_image(generator)
    file = folder / f"{name}{suffix}"
    file.write_bytes(content)
    return file


def _write_pair(folder: Path, name: str, generator: np.random.Generator) -> Path:
    place = folder / f"{name}.pair"
    place.mkdir()
    for file, content in damaged_pair(generator).items():
        (place / file).write_bytes(content)
    return place


def prepare_pair(folder: Path) -> None:
    """Read and prepare the scan of a folder, whose voxels may lie in a file beside it, and hash both."""
    (scan,) = [file for file in folder.iterdir() if file.name.endswith(SUFFIXES)]
    prepare_image(scan)
    file_sha256(scan)


def _write_weights(folder: Path, name: str, generator: np.random.Generator) -> Path:
    file = folder / f"{name}.pt"
    file.write_bytes(damaged_weights(generator))
    return file


def load(file: Path) -> None:
    """Load a network's weights."""
    load_weights(torch.nn.Linear(4, 3), file)


def _write_series(folder: Path, name: str, generator: np.random.Generator) -> Path:
    write_damaged_series(folder / f"{name}.dicom", generator)
    return folder / f"{name}.dicom"


def prepare_series(folder: Path) -> None:
    """Find the CT series of a folder, and read and prepare each that is chosen."""
    for series in choose_series(find_series(folder)):
        _prepare(read_series(series), folder.name)


def _write_folder(folder: Path, name: str, generator: np.random.Generator) -> Path:
    write_damaged_folder(folder / f"{name}.folder", generator)
    return folder / f"{name}.folder"


KINDS = {
    "folders": (_write_folder, list_cases),
    "images": (_write_image, prepare_image),
    "pairs": (_write_pair, prepare_pair),
    "series": (_write_series, prepare_series),
    "weights": (_write_weights, load),
}


def tried(kind: str, folder: Path, count: int, seed: int, keep: Path | None = None) -> Iterator[Outcome]:
    """The outcome of each of so many inputs of a kind; number n of a seed is always the same."""
    write, attempt = KINDS[kind]
    places = (write(folder, f"{kind}{number}", np.random.default_rng([seed, number])) for number in range(count))
    for place, outcome in outcomes(places, attempt):
        if keep and not outcome.good:
            keep.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if place.is_dir() else shutil.copyfile)(place, keep / place.name)
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()
        yield outcome
