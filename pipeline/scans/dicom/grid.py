"""Where the slices of a series lie: on a regular grid, on one after a shift by whole pixels, or on none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import InputError
from pipeline.scans.dicom.choice import unsuitable
from pipeline.scans.dicom.stack import Series
from pipeline.scans.geometry import Geometry

# How far a slice may lie from its regular place: a tenth of the distance, or what rounding positions to 0.1 mm can do
SLICE_TOLERANCE, ROUNDING_MM = 0.1, 0.1
# No gantry tilts further
LARGEST_TILT_DEGREES = 35.0
# What positions of a few digits may stray; a scanner moves the table straight
SIDEWAYS_MM = 1.0
# Incremental scans leave gaps of up to 20 mm
SPACING_MM, DISTANCE_MM = (0.01, 10.0), (0.01, 50.0)


@dataclass(frozen=True)
class Grid:
    """The voxel grid of a series, and where each plane of slices lies in it.

    Args:
        geometry: of the image, in LPS coordinates; its last axis runs along the normal of the slices.
        corners: (planes, 2) whole pixels (column, row) from the image's first voxel to the first one of each plane;
            zeros unless the gantry was tilted.
        tilt_degrees: angle between the way from slice to slice and the normal of the slices.
    """

    geometry: Geometry
    corners: np.ndarray
    tilt_degrees: float

    @property
    def tilted(self) -> bool:
        return bool(self.corners.any())

    def place(self, plane: int, series: Series) -> tuple[slice, slice]:
        """The rows and columns of the image that a plane of slices fills."""
        columns, rows = series.stack.size
        column, row = self.corners[plane]
        return slice(row, row + rows), slice(column, column + columns)


def grid_of(series: Series) -> Grid:
    """The grid of a series' slices.

    Slices of a tilted gantry are each shifted by whole pixels onto an upright grid: voxels keep their values, none is
    further than half a pixel from its place, and a label finds its way back exactly. Raises InputError for a missing
    slice, irregular distances (a slice more than a tenth of one, or 0.1 mm, off), a tilt that no gantry has, and
    implausible spacings.
    """
    if reason := unsuitable(series):
        raise InputError(f"{series}: cannot be read: {reason}; export the series again.")
    spacing_mm = _slice_spacing_mm(series)
    columns_mm, rows_mm, _ = series.spacing_mm
    axes = series.orientation
    corners_mm = _corners_mm(series)
    across_mm = (corners_mm - corners_mm[0]) @ axes[:, :2]
    tilt_degrees = _tilt_degrees(across_mm, spacing_mm, series)
    corners = np.rint(across_mm / (columns_mm, rows_mm)).astype(int)
    first = corners.min(axis=0)
    columns, rows = corners.max(axis=0) - first + series.stack.size
    origin_mm = corners_mm[0] + axes[:, :2] @ (first * (columns_mm, rows_mm))
    geometry = Geometry(
        (int(columns), int(rows), len(corners)),
        (columns_mm, rows_mm, spacing_mm),
        tuple(float(place) for place in origin_mm),
        tuple(float(number) for number in axes.ravel()),
    )
    return Grid(geometry, corners - first, tilt_degrees)


def _tilt_degrees(across_mm: np.ndarray, spacing_mm: float, series: Series) -> float:
    """Angle of the way from slice to slice, (planes, 2) across the normal; InputError for what no gantry does."""
    last = len(across_mm) - 1
    degrees = float(np.degrees(np.arctan2(np.linalg.norm(across_mm[-1]) / last, spacing_mm)))
    if degrees > LARGEST_TILT_DEGREES:
        raise InputError(
            f"{series}: from slice to slice the way is {degrees:.0f} degrees off the slices' normal; a gantry tilts "
            f"by {LARGEST_TILT_DEGREES:.0f} at most; export the series again."
        )
    off_mm = np.abs(across_mm - np.outer(np.arange(last + 1) / last, across_mm[-1])).max()
    if off_mm > SIDEWAYS_MM:
        raise InputError(
            f"{series}: slices are shifted sideways against each other, by up to {off_mm:.1f} mm from a straight way; "
            f"expected less than {SIDEWAYS_MM:g} mm; export the series again."
        )
    return degrees


def _slice_spacing_mm(series: Series) -> float:
    """Distance of the slices along their normal; InputError where it is not regular."""
    places = np.array([series.along_mm[plane[0]] for plane in series.planes])
    steps_mm = np.diff(places)
    usual_mm = float(np.median(steps_mm))
    gaps = [index for index, step_mm in enumerate(steps_mm) if step_mm > 1.5 * usual_mm]
    if gaps:
        where = ", ".join(f"{places[index]:.2f} and {places[index + 1]:.2f}" for index in gaps[:3])
        more = f" and in {len(gaps) - 3} more places" if len(gaps) > 3 else ""
        raise InputError(
            f"{series}: slices are missing between {where} mm{more}; expected one every {usual_mm:g} mm; nothing is "
            "made up for them, so export the series again."
        )
    spacing_mm = float(places[-1] - places[0]) / len(steps_mm)
    for name, value_mm, (least_mm, most_mm) in (
        ("pixels", min(series.spacing_mm[:2]), SPACING_MM),
        ("pixels", max(series.spacing_mm[:2]), SPACING_MM),
        ("slices", spacing_mm, DISTANCE_MM),
    ):
        if not least_mm <= value_mm <= most_mm:
            raise InputError(
                f"{series}: its {name} are {value_mm:g} mm apart, which no CT's are; export the series again."
            )
    off_mm = np.abs(places - places[0] - spacing_mm * np.arange(len(places))).max()
    if off_mm > (tolerance_mm := max(SLICE_TOLERANCE * spacing_mm, ROUNDING_MM)):
        raise InputError(
            f"{series}: slices are {steps_mm.min():.2f} to {steps_mm.max():.2f} mm apart, up to {off_mm:.2f} mm from "
            f"regular places; expected less than {tolerance_mm:.2f} mm; export a series with equal distances."
        )
    return spacing_mm


def _corners_mm(series: Series) -> np.ndarray:
    """(planes, 3) position of the first voxel of each plane, LPS; along the normal through 0 where no tag tells."""
    first = [series.slices[plane[0]] for plane in series.planes]
    if any(each.position_mm is None for each in first):
        normal = series.orientation[:, 2]
        return np.stack([series.along_mm[plane[0]] * normal for plane in series.planes])
    return np.array([each.position_mm for each in first], float)
