"""The front of the pipeline, the same for training and inference: a scan becomes a normalised array on a fixed grid.

Order (MIScnn COVID pipeline, spec/networks_b section 3.4): orient to LPS, to Hounsfield units, clip to the window,
grey 0..255 rounded, resample, z-score over the whole volume (or the window onto -1..1).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch

from pipeline.core.labels import CONSOLIDATION, INFECTED, INFECTION
from pipeline.core.machine import check_memory_left, in_words
from pipeline.scans.geometry import Geometry
from pipeline.scans.intensity import GREY_255, intensity_domain
from pipeline.scans.landmarks import SMALLEST_CONTRAST, lung_and_tissue
from pipeline.scans.resampling import cubic, majority
from pipeline.scans.simpleitk import sitk
from pipeline.scans.way_back import label_on_scanner

# Part of the cache's key: raise it when the arrays that this module makes change.
FRONT_VERSION = 4
# Axis 0 of every array grows towards the patient's left, 1 towards the back, 2 towards the head.
ORIENTATION = "LPS"
# Of a prepared scan in float32, while it is made
COPIES = 3
NEAREST, LINEAR, CUBIC = 0, 1, 3
# Of a voxel: a size that is whole but for rounding is
SIZE_TOLERANCE = 1e-6
# So that a scan of one value can be divided by it
DEVIATION_PLUS = 1e-6
# Cubic overshoots at edges; it is what scipy and SimpleITK call a B-spline of order 3.
ORDERS = (NEAREST, LINEAR, CUBIC)


def zscore(grey: np.ndarray) -> tuple[float, float]:
    """Zero mean and unit variance over the whole volume."""
    return grey.mean(dtype=np.float64), grey.std(dtype=np.float64) + DEVIATION_PLUS


def window(grey: np.ndarray) -> tuple[float, float]:
    """Grey 0..255 onto -1..1."""
    return 127.5, 127.5


def unit(grey: np.ndarray) -> tuple[float, float]:
    """Grey 0..255 onto 0..1."""
    return 0.0, 255.0


def landmarks(grey: np.ndarray) -> tuple[float, float]:
    """The scan's own healthy lung onto -0.5, its soft tissue onto 0.5; onto the window's -1..1 where it lacks one."""
    lung, tissue = lung_and_tissue(grey)
    if tissue - lung < SMALLEST_CONTRAST:
        return window(grey)
    return (lung + tissue) / 2, tissue - lung


# Each gives what is subtracted from the grey values, and what they are then divided by
NORMALISATIONS = {"zscore": zscore, "window": window, "unit": unit, "landmarks": landmarks}


@dataclass(frozen=True)
class Front:
    """Settings of the front.

    Args:
        window_hu: values outside are clipped before anything is interpolated.
        spacing_mm: target voxel spacing along left, back, head; 0 keeps the scan's own along that axis.
        slice_pixels: along the longer side of an axial slice, in place of the first two spacings; 0 for those.
        order: of the image's interpolation: 0 nearest, 1 linear, 3 cubic. Labels take the class with the largest
            linearly interpolated share.
        normalisation: `zscore`, zero mean and unit variance over the whole volume, as MIScnn; or `window`, the window
            onto -1..1, which unlike the z-score does not depend on how much air the field of view holds; `unit`, the
            window onto 0..1; `landmarks`, the scan's own healthy lung onto -0.5 and its soft tissue onto 0.5, which
            does not depend on the window of a grey scan either (pipeline/scans/landmarks.py).
        within_lungs: everything outside the lungs becomes the window's lower end, air (the lung contour map of
            CHS-Net); the values inside are those of the whole scan.
        guided: a second channel shows the infection that another network has found, as grey 255 on 0, normalised as
            the scan is (the infection map of Inf-Net's second stage).
    """

    window_hu: tuple[float, float] = (-1250.0, 250.0)
    spacing_mm: tuple[float, float, float] = (1.58, 1.58, 2.70)
    order: int = 1
    normalisation: str = "zscore"
    within_lungs: bool = False
    slice_pixels: int = 0
    guided: bool = False

    def __post_init__(self) -> None:
        # A configuration file gives lists; tuples make equal settings equal keys.
        object.__setattr__(self, "window_hu", tuple(float(limit) for limit in self.window_hu))
        object.__setattr__(self, "spacing_mm", tuple(float(spacing) for spacing in self.spacing_mm))
        if self.order not in ORDERS:
            raise ValueError(f"order is {self.order}, expected one of {sorted(ORDERS)}")
        if self.normalisation not in NORMALISATIONS:
            raise ValueError(f"normalisation is {self.normalisation!r}, expected one of {sorted(NORMALISATIONS)}")
        if self.within_lungs and self.guided:
            raise ValueError("within_lungs and guided are both set, but one network comes before; expected one of them")

    def settings(self) -> dict[str, Any]:
        """Everything that changes the arrays, for the cache's key."""
        return {"version": FRONT_VERSION, **asdict(self)}

    def grid(self, scanner: Geometry) -> Geometry:
        """The target grid over a scan: same outer edges in LPS, floor(size * spacing / target) voxels along each axis.

        The spacing is stretched by less than one voxel in all, so that both edges fit. Corner-aligned grids differ
        from this by 11 HU on average, more than linear from cubic interpolation.
        """
        oriented = _Turn.of(scanner).apply(scanner)
        size = np.array(oriented.size)
        extent_mm = size * np.array(oriented.spacing_mm)
        wanted_mm = np.where(np.array(self.spacing_mm) > 0, self.spacing_mm, oriented.spacing_mm)
        if self.slice_pixels:
            wanted_mm[:2] = extent_mm[:2].max() / self.slice_pixels
        target_size = np.maximum(np.floor(extent_mm / wanted_mm + SIZE_TOLERANCE), 1).astype(int)
        target_mm = extent_mm / target_size
        axes = np.array(oriented.direction).reshape(3, 3)
        origin_mm = np.array(oriented.origin_mm) + axes @ ((target_mm - np.array(oriented.spacing_mm)) / 2)
        return Geometry(
            tuple(target_size.tolist()), tuple(target_mm.tolist()), tuple(origin_mm.tolist()), oriented.direction
        )

    @property
    def channels(self) -> int:
        """Of a prepared scan."""
        return 2 if self.guided else 1

    @property
    def second(self) -> bool:
        """Whether a network comes before, without whose finding no scan can be prepared."""
        return self.within_lungs or self.guided

    def image(self, scan: sitk.Image, name: str, found: sitk.Image | None = None) -> np.ndarray:
        """The prepared scan, float32 (C, H, W, D), its channel and, `guided`, that of the infection.

        `found`, a label image on the scan's grid, is needed for `within_lungs` and `guided`: what is not 0 in it is
        lung, or infected. Raises InputError naming `name`.
        """
        self._check_fits(Geometry.of(scan), name)
        grey = self._resampled(self._grey(scan, name))
        shift, scale = map(np.float32, NORMALISATIONS[self.normalisation](grey))
        channels = [grey]
        if self.second:
            if found is None:
                raise ValueError("within_lungs and guided need what another network has found in the scan")
            mask = self.label(found != 0) > 0
            if self.within_lungs:
                grey[~mask] = 0
            else:
                channels.append(np.where(mask, np.float32(255), np.float32(0)))
        prepared = np.stack(channels) if self.guided else grey[None]
        prepared -= shift
        prepared /= scale
        return prepared

    def _check_fits(self, scanner: Geometry, name: str) -> None:
        """Raise InputError for a scan that cannot be prepared, before memory is taken for it."""
        scanner.check_prepared(name)
        size = self.grid(scanner).size
        check_memory_left(
            COPIES * self.channels * 4 * prod(size) / 2**20,
            lambda needed_mib, left_mib: (
                f"{name}: would have {' x '.join(map(str, size))} voxels when it is prepared, which need "
                f"{in_words(needed_mib * 2**20)} of memory, and {in_words(left_mib * 2**20)} are free; check its "
                f"spacing of {' x '.join(f'{mm:g}' for mm in scanner.spacing_mm)} mm, or use a larger machine."
            ),
        )

    def found_by_reference(self, label: sitk.Image) -> sitk.Image:
        """What a faultless network before would find, of a label image in the project's codes; 0 is what it leaves.

        Lungs hold what nobody knows too, so that the scan stays to be seen there.
        """
        return sitk.And(label >= INFECTION, label <= CONSOLIDATION) if self.guided else label

    def label(self, label: sitk.Image) -> np.ndarray:
        """The prepared label map, uint8 (H, W, D), on the grid of `image`: codes and IGNORE, or a mask."""
        scanner = Geometry.of(label)
        codes = _Turn.of(scanner).of_voxels(sitk.GetArrayViewFromImage(label))
        return _left_first(majority(codes, self.grid(scanner).size[::-1], INFECTED))

    def _resampled(self, grey: sitk.Image) -> np.ndarray:
        """Grey levels on the target grid, float32 (H, W, D)."""
        scanner = Geometry.of(grey)
        grid = self.grid(scanner)
        if self.order == CUBIC:
            voxels = _Turn.of(scanner).of_voxels(sitk.GetArrayViewFromImage(grey))
            return _left_first(cubic(voxels, grid.size[::-1]))
        interpolator = sitk.sitkLinear if self.order == LINEAR else sitk.sitkNearestNeighbor
        return as_array(resample(grey, grid, interpolator, sitk.sitkFloat32))

    def _grey(self, scan: sitk.Image, name: str) -> sitk.Image:
        """Hounsfield window as whole grey levels 0..255, uint8; float32 of scans other than bytes and int16."""
        domain = intensity_domain(scan, name)
        if domain == GREY_255 and scan.GetPixelID() == sitk.sitkUInt8:
            return scan
        if scan.GetPixelID() != sitk.sitkInt16:
            return self._whole_levels(sitk.Cast(scan, sitk.sitkFloat32), domain)
        # The level of each of the 65,536 possible values is looked up: a tenth of the time of computing it per voxel
        values = np.arange(2**16).astype(np.uint16).view(np.int16).astype(np.float32)
        levels = sitk.GetArrayFromImage(self._whole_levels(sitk.GetImageFromArray(values[None]), domain))[0]
        # Not `take`, which makes a copy of all indices in 8 bytes each
        grey = sitk.GetImageFromArray(levels.astype(np.uint8)[sitk.GetArrayViewFromImage(scan).view(np.uint16)])
        grey.CopyInformation(scan)
        return grey

    def _whole_levels(self, image: sitk.Image, domain: str) -> sitk.Image:
        low, high = self.window_hu
        if domain != GREY_255:
            # Clip first: metal at 3000 HU would smear into the lung when interpolated.
            image = (sitk.Clamp(image, sitk.sitkFloat32, low, high) - low) * (255.0 / (high - low))
        return sitk.Round(image)

    def probabilities_to_label(self, probabilities: np.ndarray | torch.Tensor, scanner: Geometry) -> sitk.Image:
        """The numbers of the classes on the scanner's own grid from probabilities (C, H, W, D) on the prepared grid.

        Memory does not grow with the number of classes. Ties go to the lower number.
        """
        label = sitk.GetImageFromArray(label_on_scanner(torch.as_tensor(probabilities), self.grid(scanner), scanner))
        label.CopyInformation(scanner.empty_image())
        return label

    def to_scanner(self, voxels: np.ndarray, scanner: Geometry) -> sitk.Image:
        """Values (H, W, D) on the prepared grid, interpolated linearly onto the scanner's own; float32."""
        here = from_array(np.ascontiguousarray(voxels, dtype=np.float32), self.grid(scanner))
        return resample(here, scanner, sitk.sitkLinear)


@dataclass(frozen=True)
class _Turn:
    """How a scanner's axes become those of ORIENTATION: which becomes each (x, y, z), and which are then flipped."""

    order: tuple[int, ...]
    flipped: tuple[bool, ...]

    @classmethod
    def of(cls, scanner: Geometry) -> _Turn:
        orient = sitk.DICOMOrientImageFilter()
        orient.SetDesiredCoordinateOrientation(ORIENTATION)
        # One voxel tells the axes; orienting the whole scan would copy it
        orient.Execute(replace(scanner, size=(1, 1, 1)).empty_image())
        return cls(tuple(orient.GetPermuteOrder()), tuple(orient.GetFlipAxes()))

    def apply(self, scanner: Geometry) -> Geometry:
        """The scanner's grid with its axes in the new order and sense."""
        size = tuple(scanner.size[axis] for axis in self.order)
        corner = [0, 0, 0]
        for axis, count, flipped in zip(self.order, size, self.flipped, strict=True):
            corner[axis] = count - 1 if flipped else 0
        origin_mm = replace(scanner, size=(1, 1, 1)).empty_image().TransformIndexToPhysicalPoint(corner)
        columns = np.array(scanner.direction).reshape(3, 3)[:, self.order] * np.where(self.flipped, -1.0, 1.0)
        spacing_mm = tuple(scanner.spacing_mm[axis] for axis in self.order)
        return Geometry(size, spacing_mm, origin_mm, tuple(columns.ravel().tolist()))

    def of_voxels(self, voxels: np.ndarray) -> np.ndarray:
        """A view of voxels (z, y, x) with their axes in the new order and sense, (z, y, x) again."""
        turned = voxels.transpose(2, 1, 0).transpose(self.order)
        turned = turned[tuple(slice(None, None, -1 if flipped else 1) for flipped in self.flipped)]
        return turned.transpose(2, 1, 0)


def _left_first(voxels: np.ndarray) -> np.ndarray:
    """A copy of voxels (z, y, x) in axis order (x, y, z)."""
    return np.array(voxels.transpose(2, 1, 0), order="C")


def resample(image: sitk.Image, grid: Geometry, interpolator: int, pixel_type: int | None = None) -> sitk.Image:
    """An image on another grid; beyond the outermost voxel centres the nearest voxel counts."""
    resampler = sitk.ResampleImageFilter()
    if pixel_type is not None:
        resampler.SetOutputPixelType(pixel_type)
    resampler.SetSize(grid.size)
    resampler.SetOutputSpacing(grid.spacing_mm)
    resampler.SetOutputOrigin(grid.origin_mm)
    resampler.SetOutputDirection(grid.direction)
    resampler.SetInterpolator(interpolator)
    resampler.UseNearestNeighborExtrapolatorOn()
    return resampler.Execute(image)


def as_array(image: sitk.Image) -> np.ndarray:
    """A copy of the voxels in axis order (x, y, z)."""
    return _left_first(sitk.GetArrayViewFromImage(image))


def from_array(voxels: np.ndarray, grid: Geometry) -> sitk.Image:
    """An image from voxels in axis order (x, y, z)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    return image
