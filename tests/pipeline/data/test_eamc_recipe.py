"""The EAMC recipe: its numbers, its slices, its constant learning rate, and what happens to a patch."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.bundle import ConfigParser

from pipeline.core.configuration import BUNDLES, COMMON, INFERENCE, RECIPES, TRAIN, load, merged, networks
from pipeline.core.errors import InputError
from pipeline.data.slice_patches import SlicePatches
from pipeline.scans.geometry import Geometry

SIDE = 128
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def is_of_the_recipe(network: str) -> bool:
    return load([BUNDLES / network / "configs" / "network.yaml"]).get("recipe") == "eamc"


def configured(key: str, **changes):
    parser = ConfigParser(load([COMMON / "train.yaml", RECIPES / "eamc.yaml"]))
    parser.update(changes)
    return parser.get_parsed_content(key)


@cache
def drawn() -> dict[str, np.ndarray]:
    """What 60 patches went through, measured at the middle of a ramp: pixels of shift, degrees, and zoom."""
    augment = configured("augment").set_random_state(0)
    ramp = np.broadcast_to(np.arange(float(SIDE))[:, None], (SIDE, SIDE))[None]
    patches = [augment({"image": ramp, "label": np.zeros_like(ramp)})["image"][0].numpy() for _ in range(60)]
    centre, below, beside = (np.array([patch[place] for patch in patches]) for place in ((64, 64), (65, 64), (64, 65)))
    steps = below - centre, beside - centre
    return {
        "shift": centre - SIDE / 2,
        "degrees": np.degrees(np.arctan2(steps[1], steps[0])),
        "zoom": np.hypot(*steps),
    }


@pytest.mark.parametrize(
    ("key", "expected"),
    [("slice_size", [128, 128]), ("batch_size", 16), ("max_epochs", 70), ("learning_rate", 0.001)],
)
def test_it_has_the_papers_numbers(key, expected):
    assert configured(key) == expected


def test_an_epoch_has_every_patch_once():
    steps = configured("iterations_per_epoch", **{"train::dataset": f"${list(range(100))}"})
    assert steps == math.ceil(100 / 16)


def test_intensities_go_from_the_papers_window_to_one():
    scan = sitk.GetImageFromArray(np.array([[[-2000, -1024], [3071, 3500]]], np.int16))
    assert configured("front", slice_pixels=0).image(scan, "scan").ravel().tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(("pixels", "spacing_mm"), [(512, 0.7), (630, 0.6)])
def test_a_slice_of_any_size_becomes_one_of_512_pixels(pixels, spacing_mm):
    grid = configured("front").grid(Geometry((pixels, pixels, 3), (spacing_mm, spacing_mm, 5.0), (0.0,) * 3, IDENTITY))
    assert grid.size == (512, 512, 3)


def test_patches_are_the_papers_and_follow_the_seed():
    assert configured("slice_patches", seed=4) == SlicePatches([128, 128], over_infection=20, elsewhere=1, seed=4)


@pytest.mark.parametrize("network", list(filter(is_of_the_recipe, networks())))
def test_its_networks_are_tested_on_sixteen_tiles_a_slice(network):
    parser = ConfigParser(merged(INFERENCE, network, "paper", {"device": "cpu"}, {}))
    parser.parse()
    seen: list[tuple[int, ...]] = []

    def record(tiles: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(tiles.shape))
        return tiles

    parser.get_parsed_content("volume_inferer")(torch.rand(1, 1, 512, 512, 1), record)
    assert seen == [(16, 1, 128, 128)]


@pytest.mark.parametrize("preset", ["demo", "quick"])
def test_short_presets_see_slices_as_with_every_other_network(preset):
    keys = ("slice_patches", "slice_pixels", "window_hu", "normalisation", "slice_size")
    own, other = (merged(TRAIN, network, preset, {}, {}) for network in ("amc_net", "unet_2d"))
    assert [own[key] for key in keys] == [other[key] for key in keys]


def test_another_2d_network_can_be_trained_by_it():
    content = merged(TRAIN, "enet", "paper", {"recipe": "eamc"}, {})
    own = merged(TRAIN, "amc_net", "paper", {}, {})
    keys = load([RECIPES / "eamc.yaml"]).keys() & load([COMMON / "train.yaml"]).keys()
    assert {key: content[key] for key in keys} == {key: own[key] for key in keys}


def test_a_3d_network_cannot():
    with pytest.raises(InputError, match=r"^recipe eamc is for 2D networks, and NETWORK unet_3d is a 3D one; .*"):
        merged(TRAIN, "unet_3d", "paper", {"recipe": "eamc"}, {})


def test_an_unknown_recipe_is_refused():
    with pytest.raises(InputError, match=r"^recipe is 'eamcc', expected one of: anam_net, chs_net, eamc, "):
        merged(TRAIN, "enet", "paper", {"recipe": "eamcc"}, {})


def test_the_learning_rate_is_constant():
    schedule = configured("lr_schedule", network="$torch.nn.Linear(1, 1)", max_epochs=20).lr_scheduler
    for _ in range(19):
        schedule.optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == [0.001]


# The ramp is measured half a pixel beside the patch's middle, which is up to 0.7 pixels after rotation and zoom
@pytest.mark.parametrize(
    ("name", "lowest", "highest", "slack"),
    [("shift", -0.2 * SIDE, 0.2 * SIDE, 0.8), ("degrees", -10, 10, 0.01), ("zoom", 0.8, 1.2, 1e-4)],
)
def test_a_patch_is_moved_turned_and_zoomed_as_far_as_in_the_paper(name, lowest, highest, slack):
    values = drawn()[name]
    assert lowest - slack <= values.min() < lowest + 0.1 * (highest - lowest)
    assert highest - 0.1 * (highest - lowest) < values.max() <= highest + slack


def test_a_patch_is_filled_with_its_nearest_pixels():
    augment = configured("augment").set_random_state(0)
    ones = np.ones((1, SIDE, SIDE))
    filled = augment({"image": ones, "label": ones})
    assert filled["image"].min() == pytest.approx(1)
    assert filled["label"].min() == 1


@pytest.fixture
def moved():
    """Diagonal stripes of 0 and 3, as image and as label."""
    stripes = 3 * (np.indices((SIDE, SIDE)).sum(0) % 64 < 32)[None]
    return configured("augment").set_random_state(0)({"image": stripes.astype(float), "label": stripes})


def test_moved_labels_are_nearest_ones_and_stay_codes(moved):
    assert moved["label"].unique().tolist() == [0, 3]


def test_labels_are_moved_with_the_image(moved):
    # Where all the pixels that the image was interpolated from are alike
    for code in (0, 3):
        inside = (moved["image"] - code).abs() < 1e-5
        assert (inside.float().mean() > 0.4, moved["label"][inside].unique().tolist()) == (True, [code])
