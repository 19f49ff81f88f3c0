"""Synthetic chest CT with COVID-like lesions: the built-in demo data, `make data`.

No patient's scan went into it, so it is free to share, and no result on it says anything about patients. The same seed
gives the same bytes with the same library versions.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from pipeline.core.atomic import read_json, replacing, write_json
from pipeline.core.errors import InputError
from pipeline.core.labels import (
    BACKGROUND,
    CONSOLIDATION,
    GROUND_GLASS,
    INFECTED,
    LABEL_CODES,
    LABEL_NAMES,
    LEFT_LUNG,
    RIGHT_LUNG,
)
from pipeline.core.progress_bar import progress_bar
from pipeline.phantom.anatomy import (
    AIRWAYS,
    Patient,
    add_lesions,
    blend,
    body_hu,
    body_places,
    inside,
    lesion_field,
    lung_depth_mm,
    lung_tissue_hu,
    smooth_noise,
    strongest,
    tubes,
)
from pipeline.scans.geometry import Geometry
from pipeline.scans.intensity import GREY_255, HOUNSFIELD
from pipeline.scans.scan import file_sha256
from pipeline.scans.simpleitk import sitk

logger = logging.getLogger(__name__)
GENERATOR_VERSION = 2  # raise it whenever a voxel changes, so that old folders are written anew
GREY_WINDOW_HU = (-1250.0, 250.0)
SMALLEST_INFECTION_ML = 2.0
# Which cases of ten are stored as grey, are a thin slab, or have a field of view that cuts through the body wall
GREY_CASES, THIN_CASE, CROPPED_CASE = (1, 3, 6, 8), 2, 5
OWN_FILE = re.compile(
    r"(\.[0-9a-f]{32}\.)?(phantom|unlabelled)_\d\d\.nii\.gz"
)  # the prefix is what a killed run leaves behind
# Of a set that is written without labels: other names than those of the labelled patients, who are others too
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class PhantomCase:
    """One synthetic scan: `image` is int16 HU or uint8 grey, `label` uint8 codes, both (D, H, W) in z, y, x."""

    name: str
    image: np.ndarray
    label: np.ndarray
    geometry: Geometry
    intensity: str


def phantom_case(index: int, seed: int = 0, coarsening: float = 1.0) -> PhantomCase:
    """Case number `index` (from 0) of a seed, whatever the number of patients.

    `coarsening` multiplies the spacing: 3 gives the same patient on 27 times fewer voxels, for tests.
    """
    rng = np.random.default_rng([seed, index])
    patient, geometry = Patient.draw(rng, index, seed), draw_geometry(rng, index, coarsening)
    noise = partial(smooth_noise, rng, axes_mm(geometry))
    places = body_places(noise, patient, axes_mm(geometry))
    lung_mm, airway = lung_depth_mm(places, patient), tubes(places, AIRWAYS, np.abs(places.x) < 70)
    label = np.where(lung_mm > 0, np.where(places.x > 0, LEFT_LUNG, RIGHT_LUNG), BACKGROUND).astype(np.uint8)
    label[airway > 0.5] = BACKGROUND
    tissue_hu = lung_tissue_hu(rng, noise, places, patient, lung_mm)
    field = lesion_field(rng, noise, places, patient, lung_mm)
    smallest = SMALLEST_INFECTION_ML * 1000 / np.prod(geometry.spacing_mm)
    voxels = np.ceil(max(patient.infected_fraction * (label > 0).sum(), smallest))
    infected = strongest(field, label > 0, int(voxels))
    consolidated = add_lesions(noise, tissue_hu, patient, field, infected)
    label[infected], label[consolidated] = GROUND_GLASS, CONSOLIDATION
    image_hu = body_hu(noise, places, patient)
    blend(image_hu, tissue_hu, inside(lung_mm))
    blend(image_hu, -990, airway)
    image, intensity = _acquire(rng, image_hu, patient.noise_hu, index)
    return PhantomCase(f"phantom_{index + 1:02d}", image, label, geometry, intensity)


def draw_geometry(rng: np.random.Generator, index: int, coarsening: float) -> Geometry:
    """A grid about 350 x 300 x 280 mm; one case of ten is a mid-chest slab of 12 slices, one is cropped in-plane."""
    in_plane_mm, slice_mm = rng.uniform(2.2, 2.8), rng.uniform(4.0, 6.0)
    extent_mm = np.array([rng.uniform(340, 360), rng.uniform(292, 308), rng.uniform(260, 300)])
    centre_mm = np.array([0.0, 5.0, -8.0])
    if index % 10 == THIN_CASE:
        extent_mm[2], centre_mm[2] = 12 * slice_mm, -12.0
    if index % 10 == CROPPED_CASE:
        extent_mm[:2] = 290, 218
    spacing_mm = np.round(np.array([in_plane_mm, in_plane_mm, slice_mm]) * coarsening, 3)
    size = np.round(extent_mm / spacing_mm).astype(int)
    origin_mm = np.round(centre_mm - spacing_mm * (size - 1) / 2, 3)
    identity = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    return Geometry(tuple(size.tolist()), tuple(spacing_mm.tolist()), tuple(origin_mm.tolist()), identity)


def axes_mm(geometry: Geometry) -> list[np.ndarray]:
    """Scanner coordinates along z, y and x."""
    grid = zip(geometry.size, geometry.spacing_mm, geometry.origin_mm, strict=True)
    return [origin + spacing * np.arange(size) for size, spacing, origin in grid][::-1]


def _acquire(rng: np.random.Generator, image_hu: np.ndarray, noise_hu: float, index: int) -> tuple[np.ndarray, str]:
    """What the scanner makes of a body: a slight blur, grainy noise, and int16 HU or uint8 grey of a wide window."""
    grain = gaussian_filter(rng.standard_normal(image_hu.shape), (0.3, 0.7, 0.7))
    noisy_hu = gaussian_filter(image_hu, (0.25, 0.45, 0.45)) + noise_hu * grain / grain.std()
    if index % 10 not in GREY_CASES:
        return np.round(np.clip(noisy_hu, -1024, 3071)).astype(np.int16), HOUNSFIELD
    low_hu, high_hu = GREY_WINDOW_HU
    return np.round(np.clip((noisy_hu - low_hu) / (high_hu - low_hu), 0, 1) * 255).astype(np.uint8), GREY_255


def write_set(folder: str | Path, patients: int = 10, seed: int = 0, first: int = 1, unlabelled: bool = False) -> Path:
    """The folder, with a synthetic data set that is written where it is not there already.

    `first` is the number of the first labelled case; unlabelled ones have names of their own, and want another seed.
    """
    folder = Path(folder)
    settings = unlabelled_settings(patients, seed) if unlabelled else generator_settings(patients, seed, first=first)
    if is_complete(folder, settings):
        return folder
    logger.info("writing %d synthetic chests to %s", patients, folder)
    if unlabelled:
        write_unlabelled(folder, patients, seed)
    else:
        write_phantom(folder, patients, seed, first=first)
    return folder


def write_phantom(
    folder: str | Path, patients: int = 10, seed: int = 0, coarsening: float = 1.0, first: int = 1
) -> list[Path]:
    """Write images/, labels/ and, last, manifest.json; return the images' paths in the order of the cases.

    The cases are numbered from `first`: 11 gives ten patients who are none of the first ten. Does nothing where the
    same set is already complete. Raises InputError for a folder that holds other scans.
    """
    folder, settings = Path(folder), generator_settings(patients, seed, coarsening, first)
    if not is_complete(folder, settings):
        _clear(folder)
        wanted = range(first - 1, first - 1 + patients)
        drawn = progress_bar(wanted, patients, "drawing patients")
        entries = [_write_case(folder, phantom_case(index, seed, coarsening)) for index in drawn]
        codes = {str(code): name for code, name in LABEL_NAMES.items()}
        about = (
            "Synthetic chest CT with COVID-like lesions, computed by pipeline/phantom/dataset.py; no patient's scan."
        )
        manifest = {"about": about, "generator": settings, "label_codes": codes, "cases": entries}
        write_json(folder / "manifest.json", manifest)
    return [folder / "images" / f"{entry['case']}.nii.gz" for entry in _manifest(folder)["cases"]]


def write_unlabelled(folder: str | Path, patients: int = 10, seed: int = 1, coarsening: float = 1.0) -> list[Path]:
    """Write images/ and, last, manifest.json of patients that `write_phantom` gives another name, and no labels.

    They are other patients where the seed is another one. Otherwise as `write_phantom`.
    """
    folder, settings = Path(folder), unlabelled_settings(patients, seed, coarsening)
    if not is_complete(folder, settings):
        _clear(folder)
        entries = []
        for index in range(patients):
            case = replace(phantom_case(index, seed, coarsening), name=f"{UNLABELLED}_{index + 1:02d}")
            entry = {"case": case.name, "patient": case.name, "intensity": case.intensity}
            entries.append({**entry, "image_sha256": _write_volume(folder, "image", case.image, case)})
        about = (
            "Synthetic chest CT with COVID-like lesions and without labels, computed by pipeline/phantom/dataset.py."
        )
        write_json(folder / "manifest.json", {"about": about, "generator": settings, "cases": entries})
    return [folder / "images" / f"{entry['case']}.nii.gz" for entry in _manifest(folder)["cases"]]


def unlabelled_settings(patients: int, seed: int, coarsening: float = 1.0) -> dict[str, Any]:
    return {**generator_settings(patients, seed, coarsening), "labels": False}


def _manifest(folder: Path) -> dict[str, Any]:
    """The folder's manifest, empty where there is none or it is no JSON object."""
    try:
        content = read_json(folder / "manifest.json")
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def generator_settings(patients: int, seed: int, coarsening: float = 1.0, first: int = 1) -> dict[str, Any]:
    """What a data set follows from, as the manifest records it."""
    if not 1 <= patients <= 99:
        raise InputError(f"patients: is {patients}; expected 1 to 99; choose fewer or more.")
    if not 1 <= first <= 100 - patients:
        raise InputError(f"first: is {first}; expected 1 to {100 - patients}, so that no number exceeds 99.")
    if seed < 0:
        raise InputError(f"seed: is {seed}; expected 0 or more; drop the minus sign.")
    settings = {"version": GENERATOR_VERSION, "patients": patients, "seed": seed, "coarsening": coarsening}
    # Only where it is another one: folders from before it could be chosen stay as they are
    return settings if first == 1 else {**settings, "first": first}


def is_complete(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether the folder's manifest records these settings and every file has the checksum that it records."""
    manifest = _manifest(folder)
    if manifest.get("generator") != settings:
        return False
    return all(
        path.is_file() and file_sha256(path) == entry[f"{kind}_sha256"]
        for entry in manifest["cases"]
        for kind in (("image", "label") if settings.get("labels", True) else ("image",))
        for path in [folder / f"{kind}s" / f"{entry['case']}.nii.gz"]
    )


def _clear(folder: Path) -> None:
    """Remove an older phantom, so that none of its cases stay behind; refuse where anything else lies."""
    manifest = folder / "manifest.json"
    files = [path for kind in ("images", "labels") for path in (folder / kind).glob("*")]
    foreign = [path for path in files if not OWN_FILE.fullmatch(path.name)]
    if manifest.is_file() and "generator" not in _manifest(folder):
        foreign.append(manifest)
    if foreign:
        raise InputError(f"{folder}: holds {foreign[0].name}, which no phantom wrote; choose a new or empty folder.")
    # The manifest first: a run killed from here on must not look complete
    for path in (manifest, *files):
        path.unlink(missing_ok=True)


def _write_case(folder: Path, case: PhantomCase) -> dict[str, Any]:
    """Write image and label; return the manifest's entry."""
    entry: dict[str, Any] = {"case": case.name, "patient": case.name, "intensity": case.intensity}
    entry |= {"shape": list(case.geometry.size), "spacing_mm": list(case.geometry.spacing_mm)}
    counts = np.bincount(case.label.ravel(), minlength=len(LABEL_CODES))
    entry["label_voxels"] = {str(code): int(counts[code]) for code in LABEL_CODES}
    entry["infected_percent"] = round(100 * counts[list(INFECTED)].sum() / counts[1:].sum(), 2)
    for kind, voxels in (("image", case.image), ("label", case.label)):
        entry[f"{kind}_sha256"] = _write_volume(folder, kind, voxels, case)
    return entry


def _write_volume(folder: Path, kind: str, voxels: np.ndarray, case: PhantomCase) -> str:
    """Write the image or the label of a case; the file's SHA-256."""
    volume = sitk.GetImageFromArray(voxels)
    volume.SetSpacing(case.geometry.spacing_mm)
    volume.SetOrigin(case.geometry.origin_mm)
    target = folder / f"{kind}s" / f"{case.name}.nii.gz"
    with replacing(target) as temporary:
        sitk.WriteImage(volume, str(temporary))
    return file_sha256(target)
