"""Where a scan's voxels lie in the patient, and which grids no scanner gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import InputError
from pipeline.scans.simpleitk import sitk

# What no scanner of people makes: voxels of other sizes, scans that reach further, centres further from the origin
SPACING_MM, EXTENT_MM, ORIGIN_MM = (1e-3, 1e3), 1e4, 1e6
# Of the sines of angles between axes; a header in single precision is right to 1e-6
ORTHONORMAL = 1e-3
# A two-dimensional image becomes a volume of one slice, of this thickness.
SLICE_MM = 1.0


@dataclass(frozen=True)
class Geometry:
    """Where a voxel grid lies in the patient: sizes in voxels (x, y, z), millimetres, LPS coordinates."""

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image | sitk.ImageFileReader) -> Geometry:
        """The grid of an image; that of a two-dimensional one as the single slice that `read_scan` makes of it."""
        size, spacing_mm, origin_mm = image.GetSize(), image.GetSpacing(), image.GetOrigin()
        if image.GetDimension() > 3:
            axes = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)[:3, :3]
            return cls(size[:3], spacing_mm[:3], origin_mm[:3], tuple(axes.ravel().tolist()))
        if image.GetDimension() != 2:
            return cls(size, spacing_mm, origin_mm, image.GetDirection())
        xx, xy, yx, yy = image.GetDirection()
        direction = (xx, xy, 0.0, yx, yy, 0.0, 0.0, 0.0, 1.0)
        return cls((*size, 1), (*spacing_mm, SLICE_MM), (*origin_mm, 0.0), direction)

    def empty_image(self) -> sitk.Image:
        """A zero image on this grid, uint8."""
        image = sitk.Image(self.size, sitk.sitkUInt8)
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.direction)
        return image

    def differences(self, other: Geometry, tolerance_mm: float = 1e-2) -> list[str]:
        """What differs from another grid, in words; origins and spacings within `tolerance_mm` count as equal."""
        found = []
        if self.size != other.size:
            found.append(f"size {self.size} against {other.size}")
        for name, mine, theirs, tolerance in (
            ("spacing", self.spacing_mm, other.spacing_mm, tolerance_mm),
            ("origin", self.origin_mm, other.origin_mm, tolerance_mm),
            ("direction", self.direction, other.direction, 1e-3),
        ):
            if len(mine) != len(theirs) or not np.allclose(mine, theirs, rtol=0, atol=tolerance):
                found.append(f"{name} {_rounded(mine)} against {_rounded(theirs)}")
        return found

    def check_numbers(self, name: str | Path) -> None:
        """Raise InputError naming `name` where no scanner gives such a grid: see SPACING_MM, EXTENT_MM, ORIGIN_MM."""
        extent_mm = tuple(count * mm for count, mm in zip(self.size, self.spacing_mm, strict=True))
        low, high = SPACING_MM
        for what, numbers, limits in (
            ("spacing", self.spacing_mm, (low, high)),
            ("extent", extent_mm, (0.0, EXTENT_MM)),
            ("origin", self.origin_mm, (-ORIGIN_MM, ORIGIN_MM)),
            ("direction", self.direction, (-1 - ORTHONORMAL, 1 + ORTHONORMAL)),
        ):
            # Not a number is outside
            if not all(limits[0] <= number <= limits[1] for number in numbers):
                unit = "" if what == "direction" else " mm"
                raise InputError(
                    f"{name}: has {what} {' x '.join(f'{number:g}' for number in numbers)}{unit}, expected "
                    f"{limits[0]:g} to {limits[1]:g}{unit}; correct its header, or export the scan again."
                )

    def check_prepared(self, name: str) -> None:
        """Raise InputError naming `name` for a grid that no scan can be prepared on: sheared axes, or a mere line."""
        self.check_numbers(name)
        axes = np.array(self.direction).reshape(3, 3)
        sheared = float(np.abs(axes.T @ axes - np.eye(3)).max())
        if not sheared <= ORTHONORMAL:
            raise InputError(
                f"{name}: its axes are not at right angles or not of length 1 (off by {sheared:.2g}, at most "
                f"{ORTHONORMAL:g}), as after a tilted gantry; resample it onto a straight grid."
            )
        if sorted(self.size)[1] < 2:
            raise InputError(f"{name}: has {' x '.join(map(str, self.size))} voxels; expected a slice or a volume.")


def _rounded(numbers: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(float(number), 4) for number in numbers)
