"""Augmentation is the paper's, reproducible, and moves image and label together."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from batchgenerators.transforms.abstract_transforms import AbstractTransform
from batchgenerators.transforms.color_transforms import BrightnessMultiplicativeTransform
from monai.bundle import ConfigParser

from pipeline.core.configuration import COMMON, load
from transforms.batchgenerators_list import BatchgeneratorsListd, numpy_seed
from transforms.lung_mirror import LungMirror, LungMirrorOnce, mirror, swap_codes

PATCH = [24, 20, 12]
# Mueller et al. 2021, their published scripts; the probability of mirroring is one half an axis.
PAPER = [
    ("LungMirror", {"axes": (0, 1, 2), "swap_lungs": False}),
    (
        "ContrastAugmentationTransform",
        {"contrast_range": [0.3, 3.0], "preserve_range": True, "per_channel": True, "p_per_sample": 0.15},
    ),
    (
        "BrightnessMultiplicativeTransform",
        {"multiplier_range": [0.5, 2.0], "per_channel": True, "p_per_sample": 0.15},
    ),
    (
        "GammaTransform",
        {
            "gamma_range": [0.7, 1.5],
            "invert_image": False,
            "retain_stats": True,
            "per_channel": True,
            "p_per_sample": 0.15,
        },
    ),
    ("GaussianNoiseTransform", {"noise_variance": [0, 0.05], "p_per_sample": 0.15}),
    (
        "DeformAndCrop",
        {
            "patch_size": (160, 160, 80),
            "patch_center_dist_from_border": [80, 80, 40],
            "random_crop": True,
            "do_elastic_deform": True,
            "alpha": [0, 900],
            "sigma": [9, 13],
            "p_el_per_sample": 0.15,
            "do_rotation": True,
            "angle_x": pytest.approx(np.deg2rad([-15, 15])),
            "angle_y": pytest.approx(np.deg2rad([-15, 15])),
            "angle_z": pytest.approx(np.deg2rad([-15, 15])),
            "p_rot_per_sample": 0.15,
            "do_scale": True,
            "scale": [0.85, 1.25],
            "p_scale_per_sample": 0.15,
            "border_mode_data": "constant",
            "border_cval_data": 0,
            "order_data": 3,
            "border_mode_seg": "constant",
            "border_cval_seg": 0,
            "order_seg": 0,
        },
    ),
]


def configured(key: str, **changes: Any) -> Any:
    """A part of train.yaml, with some of its values changed."""
    parser = ConfigParser(load([COMMON / "train.yaml"]))
    parser.update(changes)
    return parser.get_parsed_content(key)


def always(**changes: Any) -> BatchgeneratorsListd:
    """The whole list of train.yaml, each transform with probability 1, for small patches."""
    spatial = {f"deform_and_crop::p_{name}_per_sample": 1.0 for name in ("el", "rot", "scale")}
    return configured("augment", **{"patch_size": PATCH, "augmentation_probability": 1.0, **spatial, **changes})


def case() -> dict[str, np.ndarray]:
    """A label map of three boxes, and an image that is bright where there is one."""
    label = np.zeros((1, 40, 36, 24), np.uint8)
    label[:, 6:18, 8:28, 4:20], label[:, 22:34, 8:28, 4:20], label[:, 25:31, 12:20, 8:16] = 2, 1, 3
    return {"image": 10 * (label > 0).astype(np.float16), "label": label}


@pytest.mark.parametrize("place", range(len(PAPER)), ids=[name for name, _ in PAPER])
def test_the_parameters_are_those_of_the_paper(place):
    transform = configured("augmentations")[place]
    name, expected = PAPER[place]
    assert type(transform).__name__ == name
    assert {key: getattr(transform, key) for key in expected} == expected


def test_there_is_no_transform_beyond_the_papers():
    assert len(configured("augmentations")) == len(PAPER)


@pytest.mark.parametrize("seed", range(4))
def test_image_and_label_move_together(seed):
    # Intensities stay as they are, so that brightness tells where the image went.
    moved = always(augmentation_probability=0.0).set_random_state(seed)(case())
    bright, labelled = moved["image"] > 5, moved["label"] > 0
    assert 2 * (bright & labelled).sum() / (bright.sum() + labelled.sum()) > 0.95


def test_augmentation_gives_a_float_image_and_a_byte_label():
    augmented = always().set_random_state(0)(case())
    assert (augmented["image"].dtype, augmented["label"].dtype) == (torch.float32, torch.uint8)


def test_augmentation_gives_patches():
    augmented = always().set_random_state(0)(case())
    assert augmented["image"].shape == augmented["label"].shape == (1, *PATCH)


def test_augmentation_makes_no_new_codes():
    assert set(always().set_random_state(0)(case())["label"].unique().tolist()) <= {0, 1, 2, 3}


def test_augmentation_leaves_the_case_as_it_was():
    before, given = case(), case()
    always().set_random_state(0)(given)
    assert all(np.array_equal(given[key], before[key]) for key in before)


def test_other_entries_are_passed_on():
    assert always().set_random_state(0)({**case(), "case": "case_1"})["case"] == "case_1"


def test_the_same_random_state_gives_the_same_patch():
    one, other = (always().set_random_state(3)(case()) for _ in range(2))
    assert torch.equal(one["image"], other["image"])


def test_the_same_random_state_gives_the_same_label():
    one, other = (always().set_random_state(3)(case()) for _ in range(2))
    assert torch.equal(one["label"], other["label"])


def test_the_next_patch_is_another_one():
    augment = always().set_random_state(3)
    assert not torch.equal(augment(case())["label"], augment(case())["label"])


def test_the_global_random_state_of_numpy_stays():
    before = np.random.get_state()[1].copy()
    always().set_random_state(0)(case())
    assert np.array_equal(np.random.get_state()[1], before)


def test_the_random_state_of_python_stays():
    before = random.getstate()
    always().set_random_state(0)(case())
    assert random.getstate() == before


def test_the_global_random_state_stays_when_a_transform_fails():
    class Failing(AbstractTransform):
        def __call__(self, **batch: Any) -> dict[str, Any]:
            raise ValueError(np.random.uniform())

    before = np.random.get_state()[1].copy()
    with pytest.raises(ValueError):  # noqa: PT011 - the message is a random number
        BatchgeneratorsListd(("image", "label"), [Failing()])(case())
    assert np.array_equal(np.random.get_state()[1], before)


def test_tensors_are_augmented_without_a_warning(recwarn):
    tensors = {key: torch.from_numpy(value) for key, value in case().items()}
    always().set_random_state(0)(tensors)
    assert [str(warning.message) for warning in recwarn] == []


def test_transforms_are_applied_in_their_order():
    class Add(AbstractTransform):
        def __call__(self, **batch: Any) -> dict[str, Any]:
            return {**batch, "data": batch["data"] + 1}

    double = BrightnessMultiplicativeTransform((2.0, 2.0))
    brightest = [
        BatchgeneratorsListd(("image", "label"), transforms)(case())["image"].max()
        for transforms in ([Add(), double], [double, Add()])
    ]
    assert brightest == [22, 21]


def test_mirroring_moves_known_voxels():
    image, label = np.zeros((1, 4, 3, 2)), np.zeros((1, 4, 3, 2))
    image[0, 0, 1, 1], label[0, 0, 1, 1] = 5, 3
    mirrored_image, mirrored_label = mirror(image, label, axes=[0, 2])
    assert (mirrored_image[0, 3, 1, 0], mirrored_label[0, 3, 1, 0]) == (5, 3)


def test_mirroring_along_no_axis_changes_nothing():
    given = case()
    image, label = mirror(given["image"], given["label"], axes=[])
    assert np.array_equal(image, given["image"])
    assert np.array_equal(label, given["label"])


def test_swapping_exchanges_the_lungs_alone():
    assert swap_codes(np.array([0, 1, 2, 3])).tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize(
    ("axes", "swap_lungs", "expected"),
    [
        pytest.param((0,), False, [1, 3, 0, 2], id="left-right, as the paper"),
        pytest.param((0,), True, [2, 3, 0, 1], id="left-right, swapped"),
        pytest.param((1, 2), True, [2, 0, 3, 1], id="other axes, nothing to swap"),
    ],
)
def test_lungs_are_swapped_only_when_told_and_left_is_right(monkeypatch, axes, swap_lungs, expected):
    monkeypatch.setattr("transforms.lung_mirror.np.random.uniform", lambda: 0.0)
    # From right to left: right lung, background, infection, left lung
    label = np.array([2.0, 0, 3, 1]).reshape(1, 1, 4, 1, 1)
    batch = LungMirror(axes, swap_lungs)(data=label.copy(), seg=label.copy())
    assert batch["seg"].ravel().tolist() == expected


def test_each_axis_is_mirrored_half_of_the_time():
    corner = np.zeros((2000, 1, 2, 2, 2))
    corner[:, :, 0, 0, 0] = 1
    with numpy_seed(0):
        mirrored = LungMirror()(data=corner, seg=corner.copy())["data"]
    # Eight corners with equal probability, standard error 0.007
    assert mirrored.mean(axis=0).ravel() == pytest.approx(np.full(8, 1 / 8), abs=0.03)


def test_mirroring_once_takes_none_or_one_axis_each_as_often():
    with numpy_seed(0):
        drawn = [tuple(LungMirrorOnce(axes=(0, 1)).draw_axes()) for _ in range(3000)]
    shares = [drawn.count(axes) / 3000 for axes in ((), (0,), (1,))]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.03)


def test_a_slice_is_mirrored_like_a_volume():
    image, label = np.arange(6.0).reshape(1, 2, 3), np.arange(6).reshape(1, 2, 3)
    mirrored = mirror(image, label, [0])
    assert [array[0].tolist() for array in mirrored] == [[[3, 4, 5], [0, 1, 2]]] * 2
