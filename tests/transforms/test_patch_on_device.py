"""A patch that torch finishes on a device is the patch that the data loader would have made."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from augmented import NOISE, OTHER_LABELS, TOLERANCE, augment, case
from batchgenerators.transforms.color_transforms import GammaTransform
from batchgenerators.transforms.noise_transforms import GaussianNoiseTransform
from batchgenerators.transforms.spatial_transforms import SpatialTransform
from monai.bundle import ConfigParser
from scipy.ndimage import gaussian_filter

from pipeline.core.configuration import COMMON, load
from pipeline.core.errors import InputError
from transforms.batchgenerators_list import DEVICE, LOADER, BatchgeneratorsListd, numpy_seed
from transforms.deform_and_crop import DeformAndCrop
from transforms.lung_mirror import LungMirrorOnce
from transforms.patch_on_device import collate, drawn_noise, places_of, prepare_batch

KEYS, ANGLE = ("image", "label"), (-0.26, 0.26)
# What to switch on of train.yaml, everything else being off
PARTS: dict[str, list[str]] = {
    "nothing": [],
    "contrast": ["augmentations::1::p_per_sample"],
    "brightness": ["augmentations::2::p_per_sample"],
    "gamma": ["augmentations::3::p_per_sample"],
    "elastic": ["deform_and_crop::p_el_per_sample"],
    "rotation": ["deform_and_crop::p_rot_per_sample"],
    "scale": ["deform_and_crop::p_scale_per_sample"],
}


def patches(where: str, given: dict[str, np.ndarray], count: int, **settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of as many patches."""
    transform = augment(where, given["image"].ndim - 1, **settings)
    return prepare_batch(collate([transform.set_random_state(seed)(given) for seed in range(count)]))


def both(given: dict[str, np.ndarray], count: int, **settings: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [patches(where, given, count, **settings) for where in (LOADER, DEVICE)]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("part", PARTS)
def test_each_transform_gives_the_image_of_the_loader(part, dims):
    one, other = both(case(dims), 4, **dict.fromkeys(PARTS[part], 1.0))
    assert other[0].numpy() == pytest.approx(one[0].numpy(), abs=TOLERANCE)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("part", ["nothing", "elastic", "rotation", "scale"])
def test_each_transform_gives_the_label_of_the_loader(part, dims):
    one, other = both(case(dims), 4, **dict.fromkeys(PARTS[part], 1.0))
    assert (one[1] != other[1]).float().mean() <= OTHER_LABELS


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_the_whole_list_gives_the_patches_of_the_loader(order, dims):
    settings = {"augment_order": order, "mirror_swaps_lungs": True, NOISE: 0.0}
    one, other = both(case(dims), 12, probability=0.5, **settings)
    differs = (one[0] - other[0]).abs() > TOLERANCE
    # Nearest voxels of an image may be others, as those of a label
    assert differs.float().mean() <= (OTHER_LABELS if order == 0 else 0)
    assert (one[1] != other[1]).float().mean() <= OTHER_LABELS


def test_borders_that_repeat_are_those_of_the_loader():
    settings = {"deform_and_crop::border_mode_data": "nearest", "deform_and_crop::border_mode_seg": "nearest"}
    one, other = both(case(3, (34, 30, 26)), 4, probability=1.0, **settings, **{NOISE: 0.0})
    assert other[0].numpy() == pytest.approx(one[0].numpy(), abs=TOLERANCE)
    assert (one[1] != other[1]).float().mean() <= OTHER_LABELS


def test_a_scan_smaller_than_the_patch_is_padded_as_by_the_loader():
    one, other = both(case(3, (20, 30, 18)), 6)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(one, other, strict=True))


def test_float32_images_change_as_by_the_loader():
    given = {**case(2), "image": case(2)["image"].astype(np.float32)}
    one, other = both(given, 8, probability=1.0, **{NOISE: 0.0})
    assert other[0].numpy() == pytest.approx(one[0].numpy(), abs=TOLERANCE)


def test_two_channels_are_augmented_together():
    given = {**case(3), "image": np.concatenate([case(3)["image"], 2 * case(3)["image"]])}
    one, other = both(given, 4, probability=0.5, **{NOISE: 0.0})
    assert other[0].numpy() == pytest.approx(one[0].numpy(), abs=2 * TOLERANCE)


@pytest.mark.parametrize("transforms", [[], [LungMirrorOnce((0, 1), swap_lungs=True), GammaTransform()]], ids=len)
def test_without_a_deformation_it_is_the_whole_image(transforms):
    given = case(2)
    found = []
    for where in (LOADER, DEVICE):
        transform = BatchgeneratorsListd(KEYS, transforms, where)
        found.append(prepare_batch(collate([transform.set_random_state(seed)(given) for seed in range(6)])))
    assert found[1][0].numpy() == pytest.approx(found[0][0].numpy(), abs=TOLERANCE)
    assert torch.equal(found[1][1], found[0][1])


def test_noise_is_as_strong_as_the_loaders():
    given = {"image": np.zeros((1, 60, 52), np.float16), "label": np.zeros((1, 60, 52), np.uint8)}
    one, other = (image for image, _ in both(given, 40, **{NOISE: 1.0}))
    # From the same seed the same deviation, of 896 values each
    assert other.std((1, 2, 3)).numpy() == pytest.approx(one.std((1, 2, 3)).numpy(), rel=0.15)


def test_noise_has_the_moments_of_a_gaussian():
    given = {"image": np.zeros((1, 60, 52), np.float16), "label": np.zeros((1, 60, 52), np.uint8)}
    settings = {NOISE: 1.0, "augmentations::4::noise_variance": [1.0, 1.0]}
    values = patches(DEVICE, given, 40, **settings)[0].double().flatten()
    moments = np.array([float((values**power).mean()) for power in (1, 2, 3, 4)])
    # Five standard errors of 35,840 values
    assert (np.abs(moments - [0, 1, 0, 3]) < [0.026, 0.037, 0.10, 0.26]).all()


def test_the_share_of_noisy_patches_is_the_probability():
    transform = GaussianNoiseTransform((0.0, 0.05), p_per_sample=0.15)
    with numpy_seed(0):
        drawn = [drawn_noise([transform], 1) for _ in range(3000)]
    assert np.mean([deviations is not None for deviations in drawn]) == pytest.approx(0.15, abs=0.02)


def moments_of(found: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
    """Mean, deviation, skewness, correlation over three voxels and labelled share of each patch, (patches, 5)."""
    rows = []
    for image, label in zip(found[0].double(), found[1], strict=True):
        centred = image - image.mean()
        deviation = float(centred.pow(2).mean().sqrt())
        lagged = float((centred[:, 3:] * centred[:, :-3]).mean()) / deviation**2
        skewness = float(centred.pow(3).mean()) / deviation**3
        rows.append([float(image.mean()), deviation, skewness, lagged, float((label > 0).double().mean())])
    return np.array(rows)


@pytest.mark.parametrize("dims", [2, 3])
def test_patches_of_the_whole_list_are_equal_in_distribution(dims):
    one = moments_of(patches(LOADER, case(dims), 150, probability=0.4, augment_order=1))
    # Other seeds, so that equality is not that of the draws
    transform = augment(DEVICE, dims, probability=0.4, augment_order=1)
    other = moments_of(
        prepare_batch(collate([transform.set_random_state(seed)(case(dims)) for seed in range(1000, 1150)]))
    )
    for power in (1, 2):
        first, second = one**power, other**power
        # Five standard errors of the difference
        error = np.sqrt((first.var(0) + second.var(0)) / len(one))
        assert (np.abs(first.mean(0) - second.mean(0)) < 5 * error).all()


def deform(size: tuple[int, ...], order: int = 1) -> DeformAndCrop:
    """Every patch rotated, scaled and deformed."""
    angles = {f"angle_{axis}": ANGLE for axis in "xyz"}
    strong = {"alpha": (0.0, 900.0), "sigma": (9.0, 13.0), "scale": (0.85, 1.25)}
    borders = {"patch_center_dist_from_border": [length // 2 for length in size], "order_data": order}
    return DeformAndCrop(size, **angles, **strong, **borders, order_seg=0, p_el_per_sample=1.0)


def places_in_volume(transform: DeformAndCrop, shape: tuple[int, ...], seed: int, where: str) -> np.ndarray:
    with numpy_seed(seed):
        move = (transform.draw if where == LOADER else transform.draw_coarsely)(shape)
    if move.field is not None:
        places = places_of(move, transform.patch_size, torch.device("cpu")).numpy()
    else:
        places = move.places
    return places + np.array([part.start for part in move.box]).reshape(-1, *(1,) * len(shape))


@pytest.mark.parametrize("size", [(48, 40), (40, 36, 32)], ids=str)
def test_places_of_an_elastic_deformation_are_the_loaders(size):
    transform, shape = deform(size), tuple(3 * length for length in size)
    for seed in range(3):
        one, other = (places_in_volume(transform, shape, seed, where) for where in (LOADER, DEVICE))
        assert other == pytest.approx(one, abs=2e-4)


@pytest.mark.parametrize("moment", ["deviation", "lag 8", "lag 16"])
def test_elastic_fields_have_the_moments_of_noise_smoothed_in_full(moment):
    size, strength, sigma, count = (96, 96), 100.0, 9.0, 100
    transform = deform(size)
    transform.alpha, transform.sigma = (strength, strength), (sigma, sigma)
    transform.do_rotation = transform.do_scale = transform.random_crop = False
    mesh = np.stack(np.meshgrid(*(np.arange(length) + 96.0 for length in size), indexing="ij")) - 48
    fields = np.concatenate([places_in_volume(transform, (192, 192), seed, DEVICE) - mesh for seed in range(count)])
    noise = np.random.default_rng(0).uniform(-1, 1, (2 * count, *size))
    full = np.stack([strength * gaussian_filter(each, sigma, mode="constant") for each in noise])
    assert moment_of(fields, moment) == pytest.approx(moment_of(full, moment), rel=0.12)


def moment_of(fields: np.ndarray, name: str) -> float:
    if name == "deviation":
        return float(fields.std())
    lag = int(name.split()[1])
    return float((fields[:, lag:] * fields[:, :-lag]).mean() / fields.var())


@pytest.mark.parametrize("size", [(48, 40), (40, 36, 32)], ids=str)
def test_the_voxels_that_are_cut_out_hold_every_place(size):
    transform, shape, device = deform(size), tuple(4 * length for length in size), torch.device("cpu")
    for seed in range(100):
        with numpy_seed(seed):
            move = transform.draw_coarsely(shape)
        places = places_of(move, size, device).flatten(1).numpy()
        for along, part, length in zip(places, move.box, shape, strict=True):
            # Beyond the volume there is nothing to hold
            assert along.min() >= 0 or part.start == 0
            assert along.max() <= part.stop - part.start - 1 or part.stop == length


def test_the_same_draw_gives_the_same_patch_bit_for_bit():
    one, other = (patches(DEVICE, case(3), 6, probability=0.8) for _ in range(2))
    assert all(torch.equal(first, second) for first, second in zip(one, other, strict=True))


def test_no_random_state_of_the_process_is_touched():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    patches(DEVICE, case(2), 4, probability=1.0)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_the_loader_hands_over_the_numbers_of_the_cache():
    sample = augment(DEVICE).set_random_state(0)(case(3))
    assert (sample["image"].dtype, sample["label"].dtype) == (torch.float16, torch.uint8)


def test_a_patch_is_a_float_image_and_a_byte_label():
    image, label = patches(DEVICE, case(3), 2, probability=1.0)
    assert (image.dtype, label.dtype, image.shape) == (torch.float32, torch.uint8, (2, 1, 32, 28, 24))
    assert image.shape == label.shape


@pytest.mark.parametrize("dims", [2, 3])
def test_a_training_gets_the_classes_of_the_loader(dims):
    given = {key: value.reshape((1, 60, 52, -1)) for key, value in case(dims).items()}
    small = {"patch_size": [32, 28, 24], "slice_size": [32, 28], "spatial_dims": dims, "mirror_axes": [0, 1]}
    found = []
    for where in (LOADER, DEVICE):
        parser = ConfigParser(load([COMMON / "train.yaml"]))
        parser.update({**small, "label_map": "abnormal_normal", "mirror_swaps_lungs": True, "augment_on": where})
        preprocessing = parser.get_parsed_content("train::preprocessing")
        samples = [preprocessing.set_random_state(seed)(given) for seed in range(8)]
        found.append(parser.get_parsed_content("prepare_batch")(collate(samples))[1])
    assert found[0].shape == found[1].shape == (8, 1, *(32, 28, 24)[:dims])
    assert (found[0] != found[1]).float().mean() <= OTHER_LABELS


def test_a_batch_without_plans_stays_as_it_is():
    given = {"image": torch.ones(2, 1, 4, 4), "label": torch.zeros(2, 1, 4, 4)}
    image, label = prepare_batch(given)
    assert (image is given["image"], label is given["label"]) == (True, True)


def test_a_list_with_other_transforms_is_refused():
    with pytest.raises(InputError, match=r"^augment_on is device, where SpatialTransform, one of .* at loader\.$"):
        BatchgeneratorsListd(KEYS, [SpatialTransform((4, 4))], DEVICE)


def test_labels_that_are_something_beyond_their_volume_are_refused():
    outside = deform((8, 8))
    outside.border_cval_seg = 3
    with pytest.raises(InputError, match="but border_cval_seg is 3; leave augment_on at loader"):
        BatchgeneratorsListd(KEYS, [outside], DEVICE)


def test_another_place_is_refused():
    with pytest.raises(InputError, match=r"^augment_on is 'cuda', expected loader or device\.$"):
        BatchgeneratorsListd(KEYS, [], "cuda")
