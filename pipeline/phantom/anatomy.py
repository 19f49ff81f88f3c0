"""The anatomy of the synthetic chest: every structure is a formula in body coordinates.

Body coordinates are LPS millimetres: x to the patient's left, y to the back, z up; the origin lies mid-chest near the
tracheal bifurcation. No patient's scan went into it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

Point = tuple[float, float, float]
Noise = Callable[[float], np.ndarray]  # a fresh smooth random field (D, H, W) of the scale in mm


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
    glass_edge: float  # width of the fading edge, as a step of the lesion field
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
            glass_edge=rng.uniform(0.15, 0.4),
            consolidated_share=rng.uniform(0.0, 0.3),
            infected_fraction=0.008 * 31**severity,
            lesions=int(3 + 9 * severity + rng.integers(0, 3)),
            noise_hu=rng.uniform(15, 40),
        )


def smooth_noise(rng: np.random.Generator, axes: list[np.ndarray], scale_mm: float) -> np.ndarray:
    """A Gaussian random field (D, H, W) of mean 0 and standard deviation 1, smooth over `scale_mm`.

    Drawn on a lattice fixed in the scanner, so that a coarser grid shows the same field.
    """
    lattice_mm = np.arange(-200, 200 + scale_mm, scale_mm)
    weights = [np.exp(-0.5 * ((axis[:, None] - lattice_mm) / scale_mm) ** 2) for axis in axes]
    weights = [weight / np.linalg.norm(weight, axis=1, keepdims=True) for weight in weights]
    draws = rng.standard_normal((lattice_mm.size,) * 3)
    return np.einsum("za,yb,xc,abc->zyx", *weights, draws, optimize=True)


def body_places(noise: Noise, patient: Patient, axes: list[np.ndarray]) -> Places:
    """Undo the patient's shift, rotation and size, and bend space by some mm, so that no outline is a formula's."""
    z, y, x = np.meshgrid(*axes, indexing="ij")
    x, y = x - patient.shift_mm[0], y - patient.shift_mm[1]
    cos, sin = np.cos(patient.rotation_rad), np.sin(patient.rotation_rad)
    x, y = cos * x + sin * y, cos * y - sin * x
    bent = [c / s + 2.5 * noise(32.0) for c, s in zip((x, y, z), patient.scale, strict=True)]
    return Places(*bent)


def _ellipsoid(places: Places, centre: tuple[float, ...], radii: tuple[float, ...], power: float = 2.0) -> np.ndarray:
    """Roughly the depth in mm inside a (super-)ellipsoid, negative outside; two radii make an upright cylinder."""
    terms = (np.abs((c - m) / r) ** power for c, m, r in zip(places, centre, radii, strict=False))
    return (1 - sum(terms) ** (1 / power)) * min(radii)


def inside(depth_mm: np.ndarray, edge_mm: float = 2.5) -> np.ndarray:
    """The share of a voxel that lies inside a surface, from the depth of its centre."""
    return np.clip(depth_mm / edge_mm + 0.5, 0, 1)


def blend(image_hu: np.ndarray, other_hu: np.ndarray | float, share: np.ndarray) -> None:
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
    """A straight tube in body coordinates."""

    start_mm: Point
    end_mm: Point
    radius_mm: float


AIRWAYS = [
    Tube((0, 6, 150), (0, 14, 28), 8.5),
    Tube((0, 14, 28), (-34, 16, 4), 7.0),
    Tube((0, 14, 28), (38, 18, 0), 6.5),
]
GREAT_VESSELS = [
    Tube((22, 42, 46), (6, 4, 58), 13.0),
    Tube((6, 4, 58), (-14, -22, 36), 14.0),
    Tube((-14, -22, 36), (-4, -22, -10), 15.0),
    Tube((-26, -14, 90), (-28, -12, -10), 9.0),
    Tube((8, -22, 10), (36, 8, 4), 11.0),
]


def tubes(places: Places, segments: list[Tube], candidates: np.ndarray) -> np.ndarray:
    """The share of every voxel that lies in any of the straight tubes, looked at among `candidates` only."""
    points, share = places.where(candidates), np.zeros(int(candidates.sum()))
    steps = np.linspace(0, 1, 32)[:, None]
    for radius_mm in sorted({tube.radius_mm for tube in segments}):
        ends = [np.array(tube[:2]) for tube in segments if tube.radius_mm == radius_mm]
        axis = np.concatenate([start + steps * (end - start) for start, end in ends])
        distance_mm, _ = cKDTree(axis).query(points, distance_upper_bound=radius_mm + 2.5)
        # A thin tube fills no voxel wholly
        share = np.maximum(share, inside(radius_mm - distance_mm) * min(1.0, (radius_mm / 1.6) ** 1.5))
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
            tree.append(Tube(tuple(start), tuple(end), radius_mm))
            turn = 0.75 * rng.standard_normal(3)
            ends += [(end, direction + turn), (end, direction - 0.7 * turn)]
        tips = ends
    return tree


def body_hu(noise: Noise, places: Places, patient: Patient) -> np.ndarray:
    """Everything but the lungs and airways: air, table, fat, muscle, bone, heart, great vessels and liver."""
    x, y, z = places
    image_hu = np.full(x.shape, -1000.0)
    table_mm = 4 - np.abs(y - 122 + (x / 60) ** 2)
    blend(image_hu, -150, inside(np.where(np.abs(x) < 165, table_mm, -9)))
    body_mm = _ellipsoid(places, (0, 0), (164, 110), 2.4)
    texture = noise(7.0)
    blend(image_hu, -100, inside(body_mm))
    blend(image_hu, 45 + 12 * texture, inside(body_mm - patient.fat_mm))
    cavity_mm = _cavity_mm(places)
    for depth_mm, hu in _bones(places, cavity_mm):
        blend(image_hu, hu, inside(depth_mm))
    blend(image_hu, np.clip(-40 + 60 * texture, -110, 45), inside(np.minimum(cavity_mm, -_spine_mm(places) - 2)))
    belly_mm = np.minimum(np.minimum(cavity_mm, -_spine_mm(places) - 4), -_diaphragm_mm(places, patient))
    blend(image_hu, np.where(x < 25, 60, np.clip(30 + 50 * texture, -90, 55)), inside(belly_mm))
    for organ_mm in (_heart_mm(places, patient), _descending_aorta_mm(places)):
        blend(image_hu, 42, inside(organ_mm))
    blend(image_hu, 42, tubes(places, GREAT_VESSELS, (np.abs(x) < 70) & (np.abs(z) < 115)))
    return image_hu


def _bones(places: Places, cavity_mm: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Depth inside each kind of bone with its density: ribs, shoulder blades, breastbone, vertebrae."""
    x, y, z = places
    # Ribs run downwards from the back to the front, 25 mm apart
    from_rib_mm = (z - 0.45 * y + 12.5) % 25 - 12.5
    rib = 1 - np.hypot(from_rib_mm / 6.5, (cavity_mm + 8) / 5.0)
    blade = np.minimum(2.5 - np.abs(cavity_mm + 17), np.minimum(y - 32, 22 - np.abs(np.abs(x) - 92)))
    sternum = np.minimum(np.minimum(6 - np.abs(cavity_mm + 9), 19 - np.abs(x)), -y)
    disc = np.abs((z + 11) % 22 - 11) - 3
    process = np.minimum(np.minimum(5 - np.abs(x), y - 92), 108 - y)
    arch = np.minimum(_ellipsoid(places, (0, 90), (19, 13)), -_ellipsoid(places, (0, 88), (11, 8)))
    vertebra = _spine_mm(places)
    return [
        (5 * rib, 520),
        (np.minimum(blade, z - 15), 420),
        (sternum, 300),
        (vertebra, 110),
        (np.minimum(vertebra - 4, disc - 2), 260),
        (np.minimum(vertebra, disc), 480),
        (arch, 420),
        (process, 380),
    ]


def lung_tissue_hu(
    rng: np.random.Generator, noise: Noise, places: Places, patient: Patient, lung_mm: np.ndarray
) -> np.ndarray:
    """Healthy lung: denser towards the back, hazy where it is compressed there, with branching vessels."""
    texture, haze = noise(6.0), 1 + 0.5 * noise(25.0)
    compressed = np.exp(-np.maximum(lung_mm, 0) / 7) * np.clip((places.y - 25) / 50, 0, 1)
    tissue_hu = patient.lung_hu + 0.5 * places.y + 22 * texture + patient.dependent_hu * haze * compressed
    inner = lung_mm > 2
    for side in (1, -1):
        vessels = tubes(places, vessel_tree(rng, side), inner & (side * places.x > 0))
        blend(tissue_hu, 30, vessels * np.clip(lung_mm / 10, 0, 1))
    return tissue_hu


def lesion_field(
    rng: np.random.Generator, noise: Noise, places: Places, patient: Patient, lung_mm: np.ndarray
) -> np.ndarray:
    """How strongly a voxel attracts disease: ragged blobs about centres mostly near the pleura and at the back."""
    lung_places = places.where(lung_mm > 0)
    pull = np.exp(-lung_mm[lung_mm > 0] / 12) * np.clip(0.5 + lung_places[:, 1] / 80, 0.08, None)
    centres = rng.choice(lung_places, patient.lesions, p=pull / pull.sum())
    field = np.full(places.x.shape, -9.0)
    for centre in centres:
        radii = tuple(rng.uniform(16, 40) * rng.uniform(0.6, 1.2, 3))
        field = np.maximum(field, _ellipsoid(places, tuple(centre), radii) / min(radii))
    return field + 0.34 * noise(14.0) + 0.16 * noise(6.0)


def strongest(field: np.ndarray, lungs: np.ndarray, voxels: int) -> np.ndarray:
    """The mask of that many lung voxels, those where the field is highest."""
    return lungs & (field >= np.sort(field[lungs])[-voxels])


def add_lesions(
    noise: Noise, tissue_hu: np.ndarray, patient: Patient, field: np.ndarray, infected: np.ndarray
) -> np.ndarray:
    """Fill the air spaces of the infected voxels, in place; gives the mask of those that are mostly consolidated.

    Ground glass fades at its edge, and vessels stay visible in it; consolidation lies inside it and hides them.
    """
    core_field = field + 0.4 * noise(9.0)
    core = np.quantile(core_field[infected], 1 - patient.consolidated_share)
    glass = np.clip((field - field[infected].min()) / patient.glass_edge + 0.5, 0, 1)
    solid = np.clip((core_field - core) / 0.25 + 0.5, 0, 1) * glass**2
    glass_hu = np.clip(patient.glass_hu + 55 * noise(20.0) + 60 * noise(5.0), -680, -320)
    blend(tissue_hu, np.maximum(glass_hu, tissue_hu), glass)
    blend(tissue_hu, np.clip(10 + 30 * noise(9.0), -50, 60), solid)
    return infected & (solid > 0.5)
