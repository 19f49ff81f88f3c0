"""Slices as a paper feeds them to its networks, written as an ordinary data set.

`paper` is the Anam-Net paper's, as in its published scripts (spec/networks_a section 11.1): everything outside the
lungs is set to 0, then each slice's own range becomes 0..255. In Hounsfield units lungs are negative, so the 0 around
them is the brightest grey; kept for comparison with the paper. The lung mask takes in the annotated infection, in test
slices too, and with it part of the answer. `window` clips to the project's window instead and masks nothing; grey scans
stay as they are. `resized` is the same at 256 x 256 pixels, whatever a pixel's size, as other papers do.
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.annotation import ANNOTATES
from pipeline.core.atomic import read_json, write_json
from pipeline.core.errors import InputError
from pipeline.core.labels import CODES, INFECTED, LABEL_CODES
from pipeline.core.progress_bar import progress_bar
from pipeline.data.slice_sets import Stack, read_codes, read_image
from pipeline.scans.front import resample
from pipeline.scans.geometry import Geometry
from pipeline.scans.intensity import GREY_255, intensity_domain
from pipeline.scans.resampling import majority
from pipeline.scans.scan import file_sha256
from pipeline.scans.simpleitk import sitk

logger = logging.getLogger(__name__)

PAPER, WINDOW, RESIZED = "paper", "window", "resized"
PREPARATIONS = (PAPER, WINDOW, RESIZED)
# Larger slices are cropped to this about their centre: ten of the public 20 CTs have 630 x 630 pixels.
LARGEST = 512
# Pixels along each side of a resized slice, which is not cropped before
RESIZED_SIDE = 256
WINDOW_HU = (-1250.0, 250.0)
# Part of what a prepared data set is compared by: raise it when its voxels change.
VERSION = 2
# Of every folder that it writes
ABOUT = "Axial slices prepared for a paper's experiment by pipeline/experiments/prepared_slices.py; can be deleted."


@dataclass(frozen=True)
class Piece:
    """Slices of a stack, by number, that become one case; `part` is what the experiment calls its share of the data."""

    case: str
    stack: Stack
    slices: tuple[int, ...]
    part: str


def code_counts(stack: Stack, preparation: str = PAPER) -> np.ndarray:
    """Pixels of each of the project's codes in each slice, cropped as for a preparation, int64 (slices, codes)."""
    voxels = sitk.GetArrayFromImage(_cropped_for(preparation, read_codes(stack)))
    return np.stack([(voxels == code).sum((1, 2)) for code in LABEL_CODES], axis=1)


def write_dataset(folder: Path, pieces: Sequence[Piece], preparation: str) -> None:
    """Write images/, labels/ and manifest.json, unless the folder holds just these from unchanged files."""
    made_from = _made_from(pieces, preparation)
    if _says(folder, made_from):
        return
    slices = sum(len(piece.slices) for piece in pieces)
    logger.info("Preparing %d slices (preparation %s) into %s", slices, preparation, folder)
    # Beside it, then renamed: the folder is whole or not there
    fresh = folder.with_name(f".{uuid.uuid4().hex}")
    try:
        stacks = [(stack, list(group)) for stack, group in groupby(pieces, lambda piece: piece.stack)]
        for stack, group in progress_bar(stacks, total=len(stacks), what="preparing slices"):
            _write_stack(fresh, stack, group, preparation)
        cases = [
            {
                "case": piece.case,
                "patient": piece.stack.patient_id,
                "part": piece.part,
                "slices": list(piece.slices),
                **_annotates(piece.stack),
            }
            for piece in pieces
        ]
        write_json(fresh / "manifest.json", {"about": ABOUT, "made_from": made_from, "cases": cases})
        if folder.is_dir():
            _refuse_other(folder)
            shutil.rmtree(folder)
        os.replace(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _refuse_other(folder: Path) -> None:
    """Raise InputError where a folder holds anything but slices prepared before."""
    manifest = folder / "manifest.json"
    if any(folder.iterdir()) and not (manifest.is_file() and read_json(manifest).get("about") == ABOUT):
        raise InputError(f"{folder}: holds what this program did not write, and would be replaced; give OUT= another.")


def is_written(folder: Path, pieces: Sequence[Piece], preparation: str) -> bool:
    """Whether a folder holds just these slices, from files that have not changed since."""
    return _says(folder, _made_from(pieces, preparation))


def _says(folder: Path, made_from: Mapping[str, Any]) -> bool:
    manifest = folder / "manifest.json"
    return manifest.is_file() and read_json(manifest).get("made_from") == made_from


def _made_from(pieces: Sequence[Piece], preparation: str) -> dict[str, Any]:
    """Everything that the prepared files depend on."""
    files = sorted({file for piece in pieces for file in (piece.stack.image, *piece.stack.labels)})
    # Only where a manifest says so: what was prepared before is as good
    said = {piece.case: told for piece in pieces if (told := _annotates(piece.stack) | _codes(piece.stack))}
    return {
        **({"said": said} if said else {}),
        "version": VERSION,
        "preparation": preparation,
        "sources": {str(file): file_sha256(file) for file in files},
        "pieces": [[piece.case, piece.part, str(piece.stack.image), list(piece.slices)] for piece in pieces],
    }


def _annotates(stack: Stack) -> dict[str, Any]:
    """What is said of a stack's label, as a manifest says it; nothing where that is nothing."""
    return {ANNOTATES: list(stack.annotates)} if stack.annotates else {}


def _codes(stack: Stack) -> dict[str, Any]:
    """Likewise of the codes in its file."""
    return {CODES: dict(stack.codes)} if stack.codes else {}


def _write_stack(folder: Path, stack: Stack, pieces: Sequence[Piece], preparation: str) -> None:
    image, codes = (_cropped_for(preparation, whole) for whole in (read_image(stack), read_codes(stack)))
    domain = intensity_domain(image, str(stack.image))
    for piece in pieces:
        chosen, labels = (sitk.GetArrayViewFromImage(source)[list(piece.slices)] for source in (image, codes))
        grey = _on_grid(prepared(chosen, labels > 0, preparation, domain), image, piece.slices[0])
        label = _on_grid(labels, codes, piece.slices[0])
        if preparation == RESIZED:
            grey, label = resized(grey), resized_labels(label)
        for kind, written in (("images", grey), ("labels", label)):
            target = folder / kind / f"{piece.case}.nii.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(written, str(target), useCompression=True)


def _on_grid(voxels: np.ndarray, source: sitk.Image, first: int) -> sitk.Image:
    """Slices (D, H, W) where the first of them lies; gaps between them are closed, which no network here looks at."""
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(source.GetSpacing())
    image.SetDirection(source.GetDirection())
    image.SetOrigin(source.TransformIndexToPhysicalPoint((0, 0, first)))
    return image


def cropped(image: sitk.Image) -> sitk.Image:
    """Slices of at most LARGEST x LARGEST pixels about their centre."""
    (left, width), (top, height) = ((max(0, (n - LARGEST) // 2), min(n, LARGEST)) for n in image.GetSize()[:2])
    return image[left : left + width, top : top + height, :]


def resized(grey: sitk.Image) -> sitk.Image:
    """Slices of RESIZED_SIDE x RESIZED_SIDE pixels over the same outer edges; linear, whole numbers, uint8."""
    # As whole numbers the filter would cut off the fractions
    exact = resample(sitk.Cast(grey, sitk.sitkFloat32), _resized_grid(grey), sitk.sitkLinear)
    return sitk.Cast(sitk.Round(exact), sitk.sitkUInt8)


def resized_labels(codes: sitk.Image) -> sitk.Image:
    """The same for labels, uint8: each pixel has the code with the largest linearly interpolated share."""
    grid = _resized_grid(codes)
    label = sitk.GetImageFromArray(majority(sitk.GetArrayViewFromImage(codes), grid.size[::-1], INFECTED))
    label.CopyInformation(grid.empty_image())
    return label


def _resized_grid(image: sitk.Image) -> Geometry:
    size = (RESIZED_SIDE, RESIZED_SIDE, image.GetDepth())
    pixels = [before / after for before, after in zip(image.GetSize(), size, strict=True)]
    spacing_mm = tuple(spacing * share for spacing, share in zip(image.GetSpacing(), pixels, strict=True))
    origin_mm = image.TransformContinuousIndexToPhysicalPoint([(share - 1) / 2 for share in pixels])
    return Geometry(size, spacing_mm, origin_mm, image.GetDirection())


def _cropped_for(preparation: str, image: sitk.Image) -> sitk.Image:
    return image if preparation == RESIZED else cropped(image)


def prepared(slices: np.ndarray, lung: np.ndarray, preparation: str, domain: str) -> np.ndarray:
    """Grey 0..255, uint8, of slices (D, H, W) in their own unit.

    `lung` is boolean, of the same shape, and includes the infection; `domain` is of
    `pipeline.scans.intensity.intensity_domain`.
    """
    if preparation == PAPER:
        return np.stack([own_range(np.where(inside, one, 0)) for one, inside in zip(slices, lung, strict=True)])
    if domain == GREY_255:
        return np.rint(slices).astype(np.uint8)
    low, high = WINDOW_HU
    return np.rint((np.clip(slices.astype(np.float32), low, high) - low) * 255 / (high - low)).astype(np.uint8)


def own_range(pixels: np.ndarray) -> np.ndarray:
    """A slice's smallest value as 0 and its largest as 255, uint8; a constant slice is 0."""
    low, high = float(pixels.min()), float(pixels.max())
    if low == high:
        return np.zeros(pixels.shape, np.uint8)
    return np.rint((pixels - low) * 255 / (high - low)).astype(np.uint8)


def check_preparation(preparation: str, known: Iterable[str] = PREPARATIONS) -> None:
    """Raise InputError for an unknown preparation."""
    if preparation not in known:
        raise InputError(f"PREPARATION is {preparation!r}, expected one of: {', '.join(known)}.")


def check_lungs(what: str, counts: Sequence[np.ndarray], preparation: str) -> None:
    """Raise InputError where the paper's mask would show nothing but the infection: labels without any lung."""
    pixels = sum(count.sum(0) for count in counts)
    if preparation == PAPER and pixels[list(INFECTED)].sum() == pixels[1:].sum():
        raise InputError(
            f"{what}: its labels hold no lung (codes 1 and 2), so masked by them the slices would show the infection "
            f"alone; expected lungs; add them, or choose PREPARATION={WINDOW}."
        )
