"""A patch computed from its own voxels is batchgenerators' patch of the whole volume."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from batchgenerators.transforms.color_transforms import (
    BrightnessMultiplicativeTransform,
    ContrastAugmentationTransform,
    GammaTransform,
)
from batchgenerators.transforms.noise_transforms import GaussianNoiseTransform
from batchgenerators.transforms.spatial_transforms import SpatialTransform
from scipy.ndimage import gaussian_filter, spline_filter

from pipeline.scans.resampling import spline_coefficients
from transforms.batchgenerators_list import BatchgeneratorsListd, augmented_whole, numpy_seed
from transforms.deform_and_crop import DeformAndCrop, smooth_noise
from transforms.lung_mirror import LungMirror
from transforms.patch_augmentation import augmented_patch, changed_values, value_curves

SHAPE, PATCH = (60, 52, 44), (32, 28, 24)
ARGUMENTS: dict[str, Any] = {
    "patch_center_dist_from_border": [16, 14, 12],
    "random_crop": True,
    "alpha": (0.0, 900.0),
    "sigma": (9.0, 13.0),
    "angle_x": (-0.26, 0.26),
    "angle_y": (-0.26, 0.26),
    "angle_z": (-0.26, 0.26),
    "scale": (0.85, 1.25),
    "border_mode_data": "constant",
    "border_cval_data": 0,
    "border_mode_seg": "constant",
    "border_cval_seg": 0,
    "order_seg": 0,
}


def settings(elastic: float = 0.0, rotation: float = 0.0, scale: float = 0.0, order: int = 3) -> dict[str, Any]:
    probabilities = {"p_el_per_sample": elastic, "p_rot_per_sample": rotation, "p_scale_per_sample": scale}
    return {**ARGUMENTS, **probabilities, "order_data": order}


def volume(shape: tuple[int, ...] = SHAPE) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    image = gaussian_filter(random.normal(size=shape), 1.5) * 10
    return {"data": image[None, None].astype(np.float32), "seg": (image > 0)[None, None].astype(np.uint8)}


def both(seed: int, shape: tuple[int, ...] = SHAPE, **chances: Any) -> list[dict[str, np.ndarray]]:
    """What batchgenerators and DeformAndCrop make of one volume with the same random numbers."""
    found, dims = [], len(shape)
    for transform in (SpatialTransform, DeformAndCrop):
        arguments = {**settings(**chances), "patch_center_dist_from_border": [size // 2 for size in PATCH[:dims]]}
        with numpy_seed(seed):
            found.append(transform(patch_size=PATCH[:dims], **arguments)(**volume(shape)))
    return found


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("chances", [{}, {"rotation": 1.0}, {"scale": 1.0}, {"rotation": 1.0, "scale": 1.0}], ids=str)
def test_without_elastic_deformation_it_is_batchgenerators_patch(order, chances):
    whole, own = both(3, order=order, **chances)
    assert own["data"] == pytest.approx(whole["data"], abs=1e-4)
    assert (own["seg"] == whole["seg"]).all()


@pytest.mark.parametrize("shape", [(30, 52, 20), (60, 52)], ids=["smaller than the patch", "slice"])
@pytest.mark.parametrize("chances", [{}, {"rotation": 1.0, "scale": 1.0}], ids=str)
def test_small_volumes_and_slices_are_batchgenerators_patches(shape, chances):
    whole, own = both(5, shape, **chances)
    assert own["data"] == pytest.approx(whole["data"], abs=1e-4)


def test_elastic_deformation_takes_image_and_label_alike():
    deform = DeformAndCrop(PATCH, **settings(elastic=1.0, order=0))
    batch = volume()
    batch["data"] = batch["seg"].astype(np.float32)
    with numpy_seed(1):
        moved = deform(**batch)
    assert (moved["data"] == moved["seg"]).all()


@pytest.mark.parametrize("sigma", [9.0, 13.0])
@pytest.mark.parametrize("moment", ["deviation", "lag 8", "lag 16"])
def test_coarse_noise_has_the_moments_of_full_noise(sigma, moment):
    shape, count = (96, 96), 150
    random = np.random.default_rng(0)
    full = np.array([gaussian_filter(random.uniform(-1, 1, shape), sigma, mode="constant") for _ in range(count)])
    with numpy_seed(0):
        coarse = np.array([smooth_noise(shape, sigma) for _ in range(count)])
    found = [_moment(noise, moment) for noise in (coarse, full)]
    assert found[0] == pytest.approx(found[1], rel=0.12)


def _moment(noise: np.ndarray, name: str) -> float:
    if name == "deviation":
        return float(noise.std())
    lag = int(name.split()[1])
    return float((noise[:, lag:] * noise[:, :-lag]).mean() / noise.var())


def test_coarse_noise_has_its_theoretical_deviation_in_three_dimensions():
    with numpy_seed(0):
        middle = [smooth_noise((60, 60, 60), 6.0)[20:40, 20:40, 20:40] for _ in range(60)]
    # A Gaussian of sigma s keeps (2 sqrt(pi) s)^-3 of the variance of uniform noise in -1..1, a third
    assert np.std(middle) == pytest.approx((1 / 3) ** 0.5 * (2 * np.pi**0.5 * 6) ** -1.5, rel=0.1)


def test_spline_coefficients_are_scipys():
    voxels = np.random.default_rng(0).normal(size=(20, 1, 33)).astype(np.float32)
    assert spline_coefficients(voxels) == pytest.approx(spline_filter(voxels), abs=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        ContrastAugmentationTransform((0.3, 3.0), p_per_sample=1),
        BrightnessMultiplicativeTransform((0.5, 2.0), p_per_sample=1),
        GammaTransform((0.7, 1.5), per_channel=True, retain_stats=True, p_per_sample=1),
    ],
    ids=lambda change: type(change).__name__,
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_intensities_change_as_in_the_whole_volume(change, dtype):
    image = volume((80, 70, 60))["data"][0].astype(dtype)
    box = (slice(None), slice(10, 40), slice(5, 50), slice(20, 44))
    with numpy_seed(2):
        whole = change(data=image[None].astype(np.float32))["data"][0]
    with numpy_seed(2):
        own = changed_values(image[box], value_curves(image, [change]))
    # The volume's mean and range are taken from a part of its voxels
    assert np.abs(own - whole[box]).mean() < 0.02 * whole.std()


def test_a_patch_of_the_whole_list_has_the_moments_of_the_plain_list():
    image, label = volume()["data"][0].astype(np.float16), volume()["seg"][0]
    colours = [
        LungMirror((0, 1, 2)),
        ContrastAugmentationTransform((0.3, 3.0), p_per_sample=0.5),
        BrightnessMultiplicativeTransform((0.5, 2.0), p_per_sample=0.5),
        GaussianNoiseTransform((0, 0.05), p_per_sample=0.5),
    ]
    chances = settings(elastic=0.3, rotation=0.5, scale=0.5, order=1)
    moments = []
    with numpy_seed(0):
        for _ in range(150):
            own = augmented_patch(image, label, colours, DeformAndCrop(PATCH, **chances))
            plain = augmented_whole(image, label, [*colours, SpatialTransform(PATCH, **chances)])
            moments.append([[patch.mean(), patch.std(), codes.mean()] for patch, codes in (own, plain)])
    own, plain = np.moveaxis(np.array(moments), 1, 0)
    # Five standard errors of the difference
    error = np.sqrt((own.var(0) + plain.var(0)) / len(own))
    assert (np.abs(own.mean(0) - plain.mean(0)) < 5 * error).all()


def test_a_mirrored_patient_has_the_lungs_swapped(monkeypatch):
    monkeypatch.setattr(LungMirror, "draw_axes", lambda self: [0])
    label = np.zeros((1, 8, 4, 4), np.uint8)
    label[:, :4], label[:, 4:] = 1, 2
    nowhere = DeformAndCrop((8, 4, 4), **{**settings(), "patch_center_dist_from_border": [4, 2, 2]})
    _, found = augmented_patch(label.astype(np.float32), label, [LungMirror(swap_lungs=True)], nowhere)
    assert (found == label).all()


def test_intensity_changes_after_noise_are_refused():
    order = [GaussianNoiseTransform(p_per_sample=1), GammaTransform(p_per_sample=1)]
    image = volume()["data"][0]
    with pytest.raises(ValueError, match="come before other transforms"):
        augmented_patch(image, image, order, DeformAndCrop(PATCH, **settings()))


def test_what_is_not_computed_is_refused():
    with pytest.raises(ValueError, match="order_seg is 1, expected 0"):
        DeformAndCrop(PATCH, **{**settings(), "order_seg": 1})


def test_the_seed_decides_the_patch():
    augment = BatchgeneratorsListd(("image", "label"), [DeformAndCrop(PATCH, **settings(1.0, 1.0, 1.0))])
    case = {"image": volume()["data"][0], "label": volume()["seg"][0]}
    one, other = (augment.set_random_state(7)(case)["image"] for _ in range(2))
    assert (one == other).all()
