"""One stack of slices in slice order: what a series is once its files are sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.scans.dicom.headers import CT_CLASSES, Slice, Stack, class_name

# Slices nearer to each other than this lie in one plane
SAME_PLANE_MM = 0.01
STANDARD_ORIENTATION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Series:
    """A stack of slices of one series, in slice order: along the normal of its rows and columns.

    Args:
        stack: what all its slices have in common.
        slices: all of them, several in one plane included.
        along_mm: where each lies along the normal.
        assumed: what of its geometry no tag tells, in words; "" where nothing is assumed.
        problem: why it cannot be read, in words; "" where the headers show nothing.
        notes: what a user should know, in words.
        damaged: how many files that cannot be read are slices of it, or may be by where they lie.
    """

    stack: Stack
    slices: tuple[Slice, ...]
    along_mm: tuple[float, ...]
    assumed: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()
    damaged: int = 0

    @property
    def uid(self) -> str:
        return self.stack.series_uid

    @property
    def study_uid(self) -> str:
        return self.stack.study_uid

    @property
    def modality(self) -> str:
        return self.stack.modality

    @property
    def sop_class_uid(self) -> str:
        return self.stack.sop_class_uid

    @property
    def patient_position(self) -> str:
        """Such as HFS, head first and supine; "" where the files do not say."""
        return self.stack.patient_position

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files in slice order, each once."""
        return tuple(dict.fromkeys(each.file for each in self.slices))

    @property
    def geometry_assumed(self) -> bool:
        """Whether position or orientation come from no tag: left and right, or head and feet, may be swapped."""
        return bool(self.assumed)

    @cached_property
    def planes(self) -> list[list[int]]:
        """Indices of the slices in each plane, in slice order."""
        found: list[list[int]] = []
        for index, along_mm in enumerate(self.along_mm):
            if found and along_mm - self.along_mm[found[-1][0]] < SAME_PLANE_MM:
                found[-1].append(index)
            else:
                found.append([index])
        return found

    @property
    def number_of_slices(self) -> int:
        """How many planes there are."""
        return len(self.planes)

    @property
    def orientation(self) -> np.ndarray:
        """(3, 3): the unit directions of a row, of a column and of the slices, as columns; LPS coordinates."""
        return directions(self.stack.orientation or STANDARD_ORIENTATION)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distances of voxels along a row, along a column and of slices (the median); nan where no tag tells."""
        across = self.stack.pixel_spacing_mm or (float("nan"),) * 2
        places = [self.along_mm[plane[0]] for plane in self.planes]
        return (*across, float(np.median(np.diff(places))) if len(places) > 1 else float("nan"))

    def __str__(self) -> str:
        """One line without anything that names the patient: kind, slices, spacing, UID."""
        kind = (
            self.modality if self.sop_class_uid in CT_CLASSES else f"{self.modality} ({class_name(self.sop_class_uid)})"
        )
        if not all(self.stack.size):
            return f"{kind}, no image, {self.uid}"
        spacing = " x ".join(f"{spacing_mm:.2f}" for spacing_mm in self.spacing_mm if np.isfinite(spacing_mm))
        size = " x ".join(str(count) for count in self.stack.size)
        return f"{kind}, {self.number_of_slices} slice(s) of {size}, {spacing or 'unknown'} mm, {self.uid}"


def directions(orientation: Sequence[float]) -> np.ndarray:
    """(3, 3) right-handed rotation from the six numbers of an orientation, made exactly orthogonal."""
    row = np.asarray(orientation[:3], float) / np.linalg.norm(orientation[:3])
    column = np.asarray(orientation[3:], float)
    column = column - row * (row @ column)
    column /= np.linalg.norm(column)
    return np.stack([row, column, np.cross(row, column)], axis=1)
