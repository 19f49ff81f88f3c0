"""The EAMC recipe: its numbers, its constant learning rate, and what happens to a patch."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from monai.bundle import ConfigParser

from pipeline.configuration import COMMON, RECIPES, load

SIDE = 128


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


def test_an_epoch_has_seventeen_patches_a_slice():
    steps = configured("iterations_per_epoch", **{"train::dataset": f"${list(range(100))}"})
    assert steps == math.ceil(17 * 100 / 16)


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
