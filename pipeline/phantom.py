"""Synthetic chest CT with COVID-like lesions: the built-in demo data, `python -m pipeline.phantom data/phantom`.

Every structure is a formula in body coordinates (LPS millimetres: x to the patient's left, y to the back, z up; the
origin lies mid-chest near the tracheal bifurcation). No patient's scan went into it, so it is free to share, and no
result on it says anything about patients. The same seed gives the same bytes with the same library versions.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from pipeline.atomic import read_json, replacing, write_json
from pipeline.errors import InputError, report_plainly
from pipeline.labels import BACKGROUND, INFECTION, LABEL_CODES, LEFT_LUNG, RIGHT_LUNG
from pipeline.scan import GREY_255, HOUNSFIELD, Geometry

GENERATOR_VERSION = 1  # raise it whenever a voxel changes, so that old folders are written anew
GREY_WINDOW_HU = (-1250.0, 250.0)
SMALLEST_INFECTION_ML = 2.0
# Which cases of ten are stored as grey, are a thin slab, or have a field of view that cuts through the body wall
GREY_CASES, THIN_CASE, CROPPED_CASE = (1, 3, 6, 8), 2, 5
CODE_NAMES = ("background", "left lung", "right lung", "infection (ground glass and consolidation)")


class Places(NamedTuple):
    """Body coordinates of every voxel in mm, each (D, H, W) in SimpleITK's array order z, y, x."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    def where(self, mask: np.ndarray) -> np.ndarray:
        """The coordinates of the voxels in a mask as points (N, 3)."""
        return np.stack([self.x[mask], self.y[mask], self.z[mask]], axis=1)


@dataclass(frozen=True)
class Patient:
    """What differs from patient to patient; lengths in mm in body coordinates, densities in HU."""

    scale: tuple[float, float, float]
    shift_mm: tuple[float, float]
    rotation_rad: float
    fat_mm: float
    dome_mm: tuple[float, float]  # tops of the left and the right half of the diaphragm
    heart_scale: float
    lung_hu: float
    dependent_hu: float  # added where gravity compresses the healthy lung: looks like ground glass and is not
    glass_hu: float
    consolidated_share: float
    infected_fraction: float
    lesions: int
    noise_hu: float

    @classmethod
    def draw(cls, rng: np.random.Generator, index: int, seed: int) -> Patient:
        # Golden-ratio steps spread any number of patients evenly over mild and severe, 0.8 % to 25 %
        severity = (0.3 + 0.618034 * index + 0.1 * (seed % 10)) % 1.0
        left_dome = rng.uniform(-82, -68)
        return cls(
            scale=(rng.uniform(0.92, 1.05), rng.uniform(0.92, 1.06), rng.uniform(0.9, 1.08)),
            shift_mm=(rng.uniform(-8, 8), rng.uniform(-6, 6)),
            rotation_rad=rng.uniform(-0.07, 0.07),
            fat_mm=rng.uniform(6, 16),
            dome_mm=(left_dome, left_dome + rng.uniform(12, 24)),
            heart_scale=rng.uniform(0.9, 1.12),
            lung_hu=rng.uniform(-880, -815),
            dependent_hu=rng.uniform(40, 260),
            glass_hu=rng.uniform(-610, -420),
            consolidated_share=rng.uniform(0.0, 0.3),
            infected_fraction=0.008 * 31**severity,
            lesions=int(3 + 9 * severity + rng.integers(0, 3)),
            noise_hu=rng.uniform(15, 40),
        )


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
    patient = Patient.draw(rng, index, seed)
    geometry = draw_geometry(rng, index, coarsening)
    axes_mm = _axes_mm(geometry)
    places = body_places(rng, patient, axes_mm)
    lung_mm = lung_depth_mm(places, patient)
    airway = tubes(places, AIRWAYS, np.abs(places.x) < 70)
    label = np.where(lung_mm > 0, np.where(places.x > 0, LEFT_LUNG, RIGHT_LUNG), BACKGROUND).astype(np.uint8)
    label[airway > 0.5] = BACKGROUND
    image_hu = body_hu(rng, places, patient, axes_mm)
    tissue_hu = lung_tissue_hu(rng, places, patient, lung_mm, axes_mm)
    field = lesion_field(rng, places, patient, lung_mm, axes_mm)
    glass, solid = lesion_shares(rng, field, patient, label > 0, axes_mm)
    add_lesions(rng, tissue_hu, patient, glass, solid, axes_mm)
    label[(glass > 0.5) & (label > 0)] = INFECTION
    _blend(image_hu, tissue_hu, _inside(lung_mm))
    _blend(image_hu, -990, airway)
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


def _axes_mm(geometry: Geometry) -> list[np.ndarray]:
    """Scanner coordinates along z, y and x."""
    grid = zip(geometry.size, geometry.spacing_mm, geometry.origin_mm, strict=True)
    return [origin + spacing * np.arange(size) for size, spacing, origin in grid][::-1]


def smooth_noise(rng: np.random.Generator, axes_mm: list[np.ndarray], scale_mm: float) -> np.ndarray:
    """A Gaussian random field (D, H, W) of mean 0 and standard deviation 1, smooth over `scale_mm`.

    Drawn on a lattice fixed in the scanner, so that a coarser grid shows the same field.
    """
    lattice_mm = np.arange(-200, 200 + scale_mm, scale_mm)
    weights = [np.exp(-0.5 * ((axis[:, None] - lattice_mm) / scale_mm) ** 2) for axis in axes_mm]
    weights = [weight / np.linalg.norm(weight, axis=1, keepdims=True) for weight in weights]
    draws = rng.standard_normal((lattice_mm.size,) * 3)
    return np.einsum("za,yb,xc,abc->zyx", *weights, draws, optimize=True)


def body_places(rng: np.random.Generator, patient: Patient, axes_mm: list[np.ndarray]) -> Places:
    """Undo the patient's shift, rotation and size, and bend space by some mm, so that no outline is a formula's."""
    z, y, x = np.meshgrid(*axes_mm, indexing="ij")
    x, y = x - patient.shift_mm[0], y - patient.shift_mm[1]
    cos, sin = np.cos(patient.rotation_rad), np.sin(patient.rotation_rad)
    x, y = cos * x + sin * y, cos * y - sin * x
    bent = [c / s + 2.5 * smooth_noise(rng, axes_mm, 32.0) for c, s in zip((x, y, z), patient.scale, strict=True)]
    return Places(*bent)


def _ellipsoid(places: Places, centre: tuple[float, ...], radii: tuple[float, ...], power: float = 2.0) -> np.ndarray:
    """Roughly the depth in mm inside a (super-)ellipsoid, negative outside; two radii make an upright cylinder."""
    terms = (np.abs((c - m) / r) ** power for c, m, r in zip(places, centre, radii, strict=False))
    return (1 - sum(terms) ** (1 / power)) * min(radii)


def _inside(depth_mm: np.ndarray, edge_mm: float = 2.5) -> np.ndarray:
    """The share of a voxel that lies inside a surface, from the depth of its centre."""
    return np.clip(depth_mm / edge_mm + 0.5, 0, 1)


def _blend(image_hu: np.ndarray, other_hu: np.ndarray | float, share: np.ndarray) -> None:
    """Replace a share of every voxel, in place."""
    image_hu += share * (other_hu - image_hu)


def _cavity_mm(places: Places) -> np.ndarray:
    """Depth inside the rib cage, which narrows towards the neck."""
    narrowing = 1 - 0.22 * np.clip(places.z / 118, 0, 1) ** 2
    flat = Places(places.x / narrowing, places.y / narrowing, places.z)
    return _ellipsoid(flat, (0, 2), (128, 86), 2.3)


def _diaphragm_mm(places: Places, patient: Patient) -> np.ndarray:
    """Height above the diaphragm, about along its normal: a dome on each side, the liver's higher."""
    left = np.clip(places.x / 40 + 0.5, 0, 1)
    top = patient.dome_mm[1] + left * (patient.dome_mm[0] - patient.dome_mm[1])
    drop = 46 * ((np.abs(places.x) - 58) / 62) ** 2 + 42 * ((places.y + 18) / 78) ** 2
    return (places.z - np.maximum(top - drop, -126)) / 1.4


def _heart_mm(places: Places, patient: Patient) -> np.ndarray:
    # Turned by 35 degrees: the apex points to the left and the front
    along, across = 0.82 * places.x - 0.57 * places.y, 0.57 * places.x + 0.82 * places.y
    tilted = Places(along + 0.25 * places.z, across, places.z)
    radii = tuple(patient.heart_scale * radius for radius in (62.0, 47.0, 58.0))
    return _ellipsoid(tilted, (24, -14, -46), radii)


def lung_depth_mm(places: Places, patient: Patient) -> np.ndarray:
    """Depth in mm below the surface of the nearer lung, negative outside the lungs."""
    x, y, z = places
    above = Places(np.abs(x), y, np.maximum(z, 0))
    depth = np.minimum(_cavity_mm(places), _ellipsoid(above, (46, 10, 0), (88, 92, 118), 1.8))
    depth = np.minimum(depth, _diaphragm_mm(places, patient))
    mediastinum = 5 + 22 * np.exp(-(((y - 2) / 34) ** 2)) + 8 * np.clip(z / 60, 0, 1)
    depth = np.minimum(depth, np.abs(x) - mediastinum)
    for wall_mm, organ in ((4, _heart_mm(places, patient)), (4, _spine_mm(places)), (2, _descending_aorta_mm(places))):
        depth = np.minimum(depth, -organ - wall_mm)
    return depth


def _spine_mm(places: Places) -> np.ndarray:
    return _ellipsoid(places, (0, 64), (21, 18))


def _descending_aorta_mm(places: Places) -> np.ndarray:
    return np.minimum(_ellipsoid(places, (23, 42), (13, 13)), 50 - places.z)


class Tube(NamedTuple):
    start_mm: np.ndarray
    end_mm: np.ndarray
    radius_mm: float


def _tube(start: tuple[float, ...], end: tuple[float, ...], radius_mm: float) -> Tube:
    return Tube(np.array(start), np.array(end), radius_mm)


AIRWAYS = [
    _tube((0, 6, 150), (0, 14, 28), 8.5),
    _tube((0, 14, 28), (-34, 16, 4), 7.0),
    _tube((0, 14, 28), (38, 18, 0), 6.5),
]
GREAT_VESSELS = [
    _tube((22, 42, 46), (6, 4, 58), 13.0),
    _tube((6, 4, 58), (-14, -22, 36), 14.0),
    _tube((-14, -22, 36), (-4, -22, -10), 15.0),
    _tube((-26, -14, 90), (-28, -12, -10), 9.0),
    _tube((8, -22, 10), (36, 8, 4), 11.0),
]


def tubes(places: Places, segments: list[Tube], candidates: np.ndarray) -> np.ndarray:
    """The share of every voxel that lies in any of the straight tubes, looked at among `candidates` only."""
    points, share = places.where(candidates), np.zeros(int(candidates.sum()))
    for radius_mm in sorted({segment.radius_mm for segment in segments}):
        same = [segment for segment in segments if segment.radius_mm == radius_mm]
        steps = np.linspace(0, 1, 32)[:, None]
        axis = np.concatenate([s.start_mm + steps * (s.end_mm - s.start_mm) for s in same])
        # A thin tube fills a voxel only partly: a soft edge as wide as the voxel, and a peak below one
        edge_mm = 2.5
        distance_mm, _ = cKDTree(axis).query(points, distance_upper_bound=radius_mm + edge_mm)
        share = np.maximum(share, _inside(radius_mm - distance_mm, edge_mm) * min(1.0, (radius_mm / 1.6) ** 1.5))
    whole = np.zeros(places.x.shape)
    whole[candidates] = share
    return whole


def vessel_tree(rng: np.random.Generator, side: int) -> list[Tube]:
    """Branching vessels from the hilum of the left (+1) or right (-1) lung: seven stems that fork five times."""
    stems = [(0.9, -0.4, 0.5), (0.5, 0.1, 1.0), (1.0, 0.2, 0.1), (0.6, 0.9, 0.3), (0.9, 0.3, -0.6)]
    stems += [(0.4, 0.7, -0.9), (0.7, -0.8, -0.2)]
    hilum = np.array([side * 30.0, 14.0, 0.0])
    tips = [(hilum, np.array([side * x, y, z])) for x, y, z in stems]
    tree = []
    for length_mm, radius_mm in ((26, 4.6), (24, 3.4), (22, 2.5), (20, 1.9), (17, 1.5), (14, 1.2)):
        ends = []
        for start, direction in tips:
            direction = direction / np.linalg.norm(direction)
            end = start + length_mm * rng.uniform(0.7, 1.2) * direction
            tree.append(Tube(start, end, radius_mm))
            turn = 0.75 * rng.standard_normal(3)
            ends += [(end, direction + turn), (end, direction - 0.7 * turn)]
        tips = ends
    return tree


def body_hu(rng: np.random.Generator, places: Places, patient: Patient, axes_mm: list[np.ndarray]) -> np.ndarray:
    """Everything but the lungs and airways: air, table, fat, muscle, bone, heart, great vessels and liver."""
    x, y, z = places
    image_hu = np.full(x.shape, -1000.0)
    table_mm = 4 - np.abs(y - 122 + (x / 60) ** 2)
    _blend(image_hu, -150, _inside(np.where(np.abs(x) < 165, table_mm, -9)))
    body_mm = _ellipsoid(places, (0, 0), (164, 110), 2.4)
    texture = smooth_noise(rng, axes_mm, 7.0)
    _blend(image_hu, -100, _inside(body_mm))
    _blend(image_hu, 45 + 12 * texture, _inside(body_mm - patient.fat_mm))
    cavity_mm = _cavity_mm(places)
    for depth_mm, hu in _bones(places, cavity_mm):
        _blend(image_hu, hu, _inside(depth_mm))
    _blend(image_hu, np.clip(-40 + 60 * texture, -110, 45), _inside(np.minimum(cavity_mm, -_spine_mm(places) - 2)))
    belly_mm = np.minimum(np.minimum(cavity_mm, -_spine_mm(places) - 4), -_diaphragm_mm(places, patient))
    _blend(image_hu, np.where(x < 25, 60, np.clip(30 + 50 * texture, -90, 55)), _inside(belly_mm))
    for organ_mm in (_heart_mm(places, patient), _descending_aorta_mm(places)):
        _blend(image_hu, 42, _inside(organ_mm))
    _blend(image_hu, 42, tubes(places, GREAT_VESSELS, (np.abs(x) < 70) & (np.abs(z) < 115)))
    return image_hu


def _bones(places: Places, cavity_mm: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Depth inside each kind of bone with its density: ribs, shoulder blades, breastbone, vertebrae."""
    x, y, z = places
    # Ribs run downwards from the back to the front, 25 mm apart
    from_rib_mm = (z - 0.45 * y + 12.5) % 25 - 12.5
    rib = 1 - np.hypot(from_rib_mm / 6.5, (cavity_mm + 8) / 5.0)
    blade = np.minimum(
        2.5 - np.abs(cavity_mm + 17), np.minimum(np.minimum(y - 32, 22 - np.abs(np.abs(x) - 92)), z - 15)
    )
    sternum = np.minimum(np.minimum(6 - np.abs(cavity_mm + 9), 19 - np.abs(x)), -y)
    disc = np.abs((z + 11) % 22 - 11) - 3
    process = np.minimum(np.minimum(5 - np.abs(x), y - 92), 108 - y)
    arch = np.minimum(_ellipsoid(places, (0, 90), (19, 13)), -_ellipsoid(places, (0, 88), (11, 8)))
    vertebra = _spine_mm(places)
    return [(5 * rib, 520), (blade, 420), (sternum, 300), (vertebra, 110), (arch, 420), (process, 380)] + [
        (np.minimum(vertebra, disc), 480),
        (np.minimum(vertebra - 4, disc - 2), 260),
    ]


def lung_tissue_hu(
    rng: np.random.Generator, places: Places, patient: Patient, lung_mm: np.ndarray, axes_mm: list[np.ndarray]
) -> np.ndarray:
    """Healthy lung: denser towards the back, hazy where it is compressed there, with branching vessels."""
    texture, haze = smooth_noise(rng, axes_mm, 6.0), 1 + 0.5 * smooth_noise(rng, axes_mm, 25.0)
    compressed = np.exp(-np.maximum(lung_mm, 0) / 7) * np.clip((places.y - 25) / 50, 0, 1)
    tissue_hu = patient.lung_hu + 0.5 * places.y + 22 * texture + patient.dependent_hu * haze * compressed
    inner = lung_mm > 2
    for side in (1, -1):
        vessels = tubes(places, vessel_tree(rng, side), inner & (side * places.x > 0))
        _blend(tissue_hu, 30, vessels * np.clip(lung_mm / 10, 0, 1))
    return tissue_hu


def lesion_field(
    rng: np.random.Generator, places: Places, patient: Patient, lung_mm: np.ndarray, axes_mm: list[np.ndarray]
) -> np.ndarray:
    """How strongly a voxel attracts disease: ragged blobs about centres mostly near the pleura and at the back."""
    lung_places = places.where(lung_mm > 0)
    pull = np.exp(-lung_mm[lung_mm > 0] / 12) * np.clip(0.5 + lung_places[:, 1] / 80, 0.08, None)
    centres = rng.choice(lung_places, patient.lesions, p=pull / pull.sum())
    field = np.full(places.x.shape, -9.0)
    for centre in centres:
        radii = tuple(rng.uniform(16, 40) * rng.uniform(0.6, 1.2, 3))
        field = np.maximum(field, _ellipsoid(places, tuple(centre), radii) / min(radii))
    return field + 0.34 * smooth_noise(rng, axes_mm, 14.0) + 0.16 * smooth_noise(rng, axes_mm, 6.0)


def lesion_shares(
    rng: np.random.Generator, field: np.ndarray, patient: Patient, lungs: np.ndarray, axes_mm: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The shares of ground glass and, inside it, of consolidation in every voxel; ground glass fades at its edge.

    The field is cut where the patient's infected fraction is reached, or 2 ml if that is more.
    """
    voxel_ml = np.prod([axis[1] - axis[0] for axis in axes_mm]) / 1000
    infected = max(patient.infected_fraction * lungs.sum(), SMALLEST_INFECTION_ML / voxel_ml)
    edge = np.sort(field[lungs])[-round(infected) - 1]
    core_field = field + 0.4 * smooth_noise(rng, axes_mm, 9.0)
    core = np.quantile(core_field[lungs & (field > edge)], 1 - patient.consolidated_share)
    glass = np.clip((field - edge) / rng.uniform(0.15, 0.4) + 0.5, 0, 1)
    return glass, np.clip((core_field - core) / 0.25 + 0.5, 0, 1) * glass**2


def add_lesions(
    rng: np.random.Generator,
    tissue_hu: np.ndarray,
    patient: Patient,
    glass: np.ndarray,
    solid: np.ndarray,
    axes_mm: Any,
) -> None:
    """Fill air spaces, in place: vessels denser than the lesion stay visible in it."""
    glass_hu = patient.glass_hu + 55 * smooth_noise(rng, axes_mm, 20.0) + 60 * smooth_noise(rng, axes_mm, 5.0)
    _blend(tissue_hu, np.maximum(np.clip(glass_hu, -680, -320), tissue_hu), glass)
    _blend(tissue_hu, np.clip(10 + 30 * smooth_noise(rng, axes_mm, 9.0), -50, 60), solid)


def _acquire(rng: np.random.Generator, image_hu: np.ndarray, noise_hu: float, index: int) -> tuple[np.ndarray, str]:
    """What the scanner makes of a body: a slight blur, grainy noise, and int16 HU or uint8 grey of a wide window."""
    grain = gaussian_filter(rng.standard_normal(image_hu.shape), (0.3, 0.7, 0.7))
    noisy_hu = gaussian_filter(image_hu, (0.25, 0.45, 0.45)) + noise_hu * grain / grain.std()
    if index % 10 not in GREY_CASES:
        return np.round(np.clip(noisy_hu, -1024, 3071)).astype(np.int16), HOUNSFIELD
    low_hu, high_hu = GREY_WINDOW_HU
    return np.round(np.clip((noisy_hu - low_hu) / (high_hu - low_hu), 0, 1) * 255).astype(np.uint8), GREY_255


def write_phantom(folder: str | Path, patients: int = 10, seed: int = 0, coarsening: float = 1.0) -> list[Path]:
    """Write images/, labels/ and, last, manifest.json; return the images' paths in the order of the cases.

    Does nothing where the same set is already complete. Raises InputError for a folder that holds other scans.
    """
    folder, settings = Path(folder), generator_settings(patients, seed, coarsening)
    if is_complete(folder, settings):
        return [folder / "images" / f"{entry['case']}.nii.gz" for entry in read_json(folder / "manifest.json")["cases"]]
    _clear(folder)
    entries = [_write_case(folder, phantom_case(index, seed, coarsening)) for index in range(patients)]
    codes = {str(code): CODE_NAMES[code] for code in LABEL_CODES}
    about = (
        "Synthetic chest CT with COVID-like lesions, computed from formulas by pipeline/phantom.py; no patient's data."
    )
    write_json(
        folder / "manifest.json", {"about": about, "generator": settings, "label_codes": codes, "cases": entries}
    )
    return [folder / "images" / f"{entry['case']}.nii.gz" for entry in entries]


def generator_settings(patients: int, seed: int, coarsening: float = 1.0) -> dict[str, Any]:
    """What a data set follows from, as the manifest records it."""
    if not 1 <= patients <= 99:
        raise InputError(f"patients: is {patients}; expected 1 to 99; choose fewer or more.")
    if seed < 0:
        raise InputError(f"seed: is {seed}; expected 0 or more; drop the minus sign.")
    return {"version": GENERATOR_VERSION, "patients": patients, "seed": seed, "coarsening": coarsening}


def is_complete(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether the folder's manifest records these settings and every file has the checksum that it records."""
    manifest = folder / "manifest.json"
    if not manifest.is_file() or read_json(manifest).get("generator") != settings:
        return False
    return all(
        path.is_file() and _sha256(path) == entry[f"{kind}_sha256"]
        for entry in read_json(manifest)["cases"]
        for kind in ("image", "label")
        for path in [folder / f"{kind}s" / f"{entry['case']}.nii.gz"]
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _clear(folder: Path) -> None:
    """Remove an older phantom, so that none of its cases stay behind; refuse where anything else lies."""
    scans = [path for kind in ("images", "labels") for path in (folder / kind).glob("*")]
    foreign = [path for path in scans if not path.name.startswith("phantom_")]
    manifest = folder / "manifest.json"
    if foreign or (manifest.is_file() and "generator" not in read_json(manifest)):
        raise InputError(f"{folder}: holds {(foreign or [manifest])[0].name}, no phantom; choose an empty folder.")
    # The manifest first: a run killed from here on must not look complete
    for path in (manifest, *scans):
        path.unlink(missing_ok=True)


def _write_case(folder: Path, case: PhantomCase) -> dict[str, Any]:
    """Write image and label; return the manifest's entry."""
    entry: dict[str, Any] = {"case": case.name, "patient": case.name, "intensity": case.intensity}
    entry |= {"shape": list(case.geometry.size), "spacing_mm": list(case.geometry.spacing_mm)}
    counts = np.bincount(case.label.ravel(), minlength=len(LABEL_CODES))
    entry["label_voxels"] = {str(code): int(counts[code]) for code in LABEL_CODES}
    entry["infected_percent"] = round(100 * counts[INFECTION] / counts[1:].sum(), 2)
    for kind, voxels in (("image", case.image), ("label", case.label)):
        volume = sitk.GetImageFromArray(voxels)
        volume.SetSpacing(case.geometry.spacing_mm)
        volume.SetOrigin(case.geometry.origin_mm)
        target = folder / f"{kind}s" / f"{case.name}.nii.gz"
        with replacing(target) as temporary:
            sitk.WriteImage(volume, str(temporary))
        entry[f"{kind}_sha256"] = _sha256(target)
    return entry


def main() -> None:
    """The command line."""
    report_plainly()
    parser = argparse.ArgumentParser(prog="python -m pipeline.phantom", description="Write the synthetic demo data.")
    parser.add_argument("folder", type=Path, help="for example data/phantom")
    parser.add_argument("--patients", type=int, default=10, help="number of cases (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other patients (default 0)")
    wanted = parser.parse_args()
    if is_complete(wanted.folder, generator_settings(wanted.patients, wanted.seed)):
        print(f"{wanted.folder} already holds these {wanted.patients} cases; nothing to do.")
        return
    write_phantom(wanted.folder, wanted.patients, wanted.seed)
    print(f"Wrote {wanted.patients} synthetic cases to {wanted.folder}.")


if __name__ == "__main__":
    main()
