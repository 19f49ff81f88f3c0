"""Segment a chest CT with an exported ONNX file, by nothing but what the file says about itself.

python run_onnx.py unet_3d.onnx scan.nii.gz label.nii.gz

Needs numpy, onnxruntime and SimpleITK, and no other file. The label map lies on the scan's grid. For research. Not a
medical device: do not use it for diagnosis.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from typing import Any

import numpy as np
import onnxruntime
import SimpleITK as sitk

SCHEME = "2"
INTERPOLATORS = {0: sitk.sitkNearestNeighbor, 1: sitk.sitkLinear, 3: sitk.sitkBSpline}
# Formats of a single file: no other one is written beside it
SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")


def grey_levels(scan: sitk.Image, told: dict[str, Any]) -> sitk.Image:
    """Whole grey levels, float32, of Hounsfield units; those of a scan that holds grey levels as they are."""
    voxels = sitk.GetArrayViewFromImage(scan)
    low, high = float(voxels.min()), float(voxels.max())
    hounsfield, brightest = low < told["hounsfield_below"], told["grey_levels"] - 1
    if not (np.isfinite(high - low) and low < high and (hounsfield or high <= brightest)):
        sys.exit(f"The scan holds {low:g} to {high:g}, expected Hounsfield units or grey 0 to {brightest}; convert it.")
    grey = sitk.Cast(scan, sitk.sitkFloat32)
    if hounsfield:
        bottom, top = told["window_hu"]
        grey = (sitk.Clamp(grey, sitk.sitkFloat32, bottom, top) - bottom) * (brightest / (top - bottom))
    return sitk.Round(grey)


def prepared(scan: sitk.Image, told: dict[str, Any]) -> tuple[np.ndarray, sitk.Image]:
    """The scan as the network gets it, float32 in the order of the axes, and an image on the same grid."""
    grey = sitk.DICOMOrient(grey_levels(scan, told), told["orientation"])
    own_mm, extent_mm = np.array(grey.GetSpacing()), np.array(grey.GetSize()) * grey.GetSpacing()
    wanted_mm = np.where(np.array(told["spacing_mm"]) > 0, told["spacing_mm"], own_mm)
    if told["slice_pixels"]:
        wanted_mm[:2] = extent_mm[:2].max() / told["slice_pixels"]
    size = np.maximum(np.floor(extent_mm / wanted_mm + told["size_tolerance"]), 1)
    # Outer edges stay where they are, so the first voxel's centre moves
    grid = sitk.Image(size.astype(int).tolist(), sitk.sitkUInt8)
    grid.SetSpacing((extent_mm / size).tolist())
    grid.SetOrigin(grey.TransformContinuousIndexToPhysicalPoint(((extent_mm / size / own_mm - 1) / 2).tolist()))
    grid.SetDirection(grey.GetDirection())
    voxels = sitk.GetArrayFromImage(resampled(grey, grid, told["interpolation_order"])).T
    shift, scale = shift_and_scale(voxels, told)
    return (voxels - np.float32(shift)) / np.float32(scale), grid


def shift_and_scale(grey: np.ndarray, told: dict[str, Any]) -> tuple[float, float]:
    """What is subtracted from grey levels on the grid, and what they are then divided by."""
    if told["normalisation"] == "zscore":
        return grey.mean(dtype=np.float64), grey.std(dtype=np.float64) + told["deviation_plus"]
    if told["normalisation"] == "landmarks":
        how = told["landmarks"]
        lung, tissue = landmarks(grey, how)
        if tissue - lung >= how["smallest_contrast"]:
            return (lung + tissue) / 2, tissue - lung
    return told["subtract"], told["divide_by"]


def landmarks(grey: np.ndarray, how: dict[str, Any]) -> tuple[float, float]:
    """Grey levels of healthy lung and of soft tissue, from grey levels (left, back, head)."""
    air = sitk.GetArrayFromImage(sitk.OtsuThreshold(sitk.GetImageFromArray(grey), 1, 0)).astype(bool)
    dark = air & (grey > grey.min())
    lung, least = dark & np.dstack([enclosed(air[..., number]) for number in range(air.shape[2])]), how["frequent"]
    if lung.sum() < how["enclosed_share"] * dark.sum():
        lung, least = dark, 1.0
    if not lung.any() or air.all():
        return 0.0, 0.0
    of_lung, of_tissue = (smooth_histogram(grey[part], how["smoothing"]) for part in (lung, ~air))
    around = np.pad(of_lung, 1)
    higher = (of_lung > around[:-2]) & (of_lung >= around[2:]) & (of_lung >= least * of_lung.max())
    return float(np.flatnonzero(higher)[0]), float(of_tissue.argmax())


def enclosed(air: np.ndarray) -> np.ndarray:
    """Of a slice, the air that is not connected with its sides."""
    pockets = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(air.astype(np.uint8))))
    return air & ~np.isin(pockets, np.concatenate([pockets[[0, -1]].ravel(), pockets[:, [0, -1]].ravel()]))


def smooth_histogram(grey: np.ndarray, deviation: float) -> np.ndarray:
    """How often each grey level is there, smoothed by a Gaussian; the two that a window cut off are left out."""
    counts = np.bincount(np.rint(grey).astype(np.int64), minlength=256).astype(np.float64)
    if counts[1:-1].any():
        counts[[0, -1]] = 0
    radius = np.arange(-4 * deviation, 4 * deviation + 1)
    weights = np.exp(-0.5 * (radius / deviation) ** 2)
    return np.convolve(counts, weights / weights.sum(), mode="same")


def resampled(image: sitk.Image, grid: sitk.Image, order: int) -> sitk.Image:
    """Interpolated at the centres of a grid's voxels, float32; beyond its own outermost ones they count."""
    return sitk.Resample(image, grid, sitk.Transform(), INTERPOLATORS[order], 0.0, sitk.sitkFloat32, True)


def probabilities(session: Any, image: np.ndarray, told: dict[str, Any]) -> np.ndarray:
    """Of the classes, (classes, *image.shape), from windows, tiles or slices, joined by the mean of their logits.

    A probability's logarithm is its logit less a number that all classes of a voxel share, which the softmax takes out.
    """
    size, steps = ((*told[key], 1)[:3] for key in ("input_size", "steps"))
    if told["inputs"] == "slices" and (image.shape[0] > size[0] or image.shape[1] > size[1]):
        sys.exit(
            f"Prepared slices have {image.shape[:2]} pixels, the file takes {size[:2]}: export it with INPUT=scan."
        )
    missing = [max(0, least - length) for least, length in zip(size, image.shape, strict=True)]
    edges = [(count // 2, count - count // 2) for count in missing]
    how: dict[str, Any] = {"mode": "symmetric"} if told["padding"] == "mirrored" else {"constant_values": image.min()}
    padded = np.pad(image, edges, **how)
    total, times = np.zeros((len(told["label_values"]), *padded.shape), np.float32), np.zeros(padded.shape, np.float32)
    corners = itertools.product(*map(starts, padded.shape, size, steps))
    windows = [tuple(slice(low, low + side) for low, side in zip(corner, size, strict=True)) for corner in corners]
    for begin in range(0, len(windows), told["at_once"]):
        batch = windows[begin : begin + told["at_once"]]
        inputs = np.stack([padded[window] for window in batch]).reshape(-1, 1, *told["input_size"])
        (found,) = session.run(None, {session.get_inputs()[0].name: inputs})
        logits = np.log(np.maximum(found, np.finfo(np.float32).tiny))
        for window, each in zip(batch, logits, strict=True):
            total[(slice(None), *window)] += each.reshape(-1, *size)
            times[window] += 1
    inside = tuple(slice(low, low + length) for (low, _), length in zip(edges, image.shape, strict=True))
    joined = (total / times)[(slice(None), *inside)]
    joined = np.exp(joined - joined.max(0))
    return joined / joined.sum(0)


def starts(length: int, size: int, step: int) -> list[int]:
    """Where windows begin along an axis of at least their size; the last one ends where the axis does."""
    return [min(number * step, length - size) for number in range(1 - (size - length) // step)]


def without_small_parts(shares: np.ndarray, smallest: float) -> np.ndarray:
    """Shares in which parts of what is found, those far smaller than the largest one, are background, the first."""
    found = sitk.GetImageFromArray((shares.argmax(0) > 0).astype(np.uint8))
    parts = sitk.GetArrayFromImage(sitk.ConnectedComponent(found, True))
    voxels = np.bincount(parts.ravel())
    voxels[0] = 0
    small = (voxels > 0) & (voxels < smallest * voxels.max())
    background = np.where(small[parts], shares.sum(0), shares[0])
    return np.concatenate([background[None], np.where(small[parts], np.float32(0), shares[1:])])


def label_map(shares: np.ndarray, grid: sitk.Image, scan: sitk.Image, told: dict[str, Any]) -> sitk.Image:
    """The value of the likeliest class in each of the scan's voxels, uint8, from probabilities on the prepared grid."""
    shares = shares * np.array(told["class_factors"], np.float32).reshape(-1, 1, 1, 1)
    if told["smallest_part"]:
        shares = without_small_parts(shares, told["smallest_part"])
    best, label = np.full(scan.GetSize()[::-1], -1, np.float32), np.zeros(scan.GetSize()[::-1], np.uint8)
    for share, value in zip(shares, told["label_values"], strict=True):
        image = sitk.GetImageFromArray(np.ascontiguousarray(share.T))
        image.CopyInformation(grid)
        there = sitk.GetArrayFromImage(resampled(image, scan, told["way_back_order"]))
        # Of equal ones the first
        label[there > best] = value
        np.maximum(best, there, out=best)
    found = sitk.GetImageFromArray(label)
    found.CopyInformation(scan)
    return found


def opened(file: str) -> tuple[Any, dict[str, Any]]:
    """A session of ONNX Runtime, and what the file says about itself."""
    try:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    except Exception as error:
        sys.exit(f"{file}: ONNX Runtime cannot open it ({error}); give an ONNX file.")
    props = session.get_modelmeta().custom_metadata_map
    if props.get("scheme") != SCHEME:
        sys.exit(
            f"{file}: has scheme {props.get('scheme')}, expected {SCHEME}; take the run_onnx.py of its own export."
        )
    told = {key: of_text(text) for key, text in props.items()}
    if told["needs"]:
        sys.exit(f"{file}: needs {' and '.join(told['needs'])} that another network finds, so it cannot run alone.")
    return session, told


def of_text(text: str) -> Any:
    """Values are JSON, or text as it is."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def read(file: str) -> sitk.Image:
    """A volume of one number a voxel."""
    try:
        scan = sitk.ReadImage(file)
    except RuntimeError as error:
        sys.exit(f"{file}: cannot be read as a scan ({str(error).splitlines()[-1]}).")
    found = scan.GetDimension(), scan.GetNumberOfComponentsPerPixel()
    if found != (3, 1):
        sys.exit(f"{file}: has {found[0]} axes and {found[1]} numbers a voxel, expected 3 and 1; give one volume.")
    return scan


def check_target(file: str) -> None:
    """A new file, which no scan is, and which can be written."""
    if os.path.lexists(file) or not file.endswith(SUFFIXES) or not os.access(os.path.dirname(file) or ".", os.W_OK):
        sys.exit(f"{file}: expected a new file, {', '.join(SUFFIXES)}, in a folder that can be written.")


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    model, source, target = sys.argv[1:]
    check_target(target)
    session, told = opened(model)
    scan = read(source)
    image, grid = prepared(scan, told)
    label = label_map(probabilities(session, image, told), grid, scan, told)
    # Whole, or not there
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target) or ".") as unfinished:
        whole = os.path.join(unfinished, os.path.basename(target))
        try:
            sitk.WriteImage(label, whole)
        except RuntimeError as error:
            sys.exit(f"{target}: cannot be written ({str(error).splitlines()[-1]}).")
        os.replace(whole, target)


if __name__ == "__main__":
    main()
