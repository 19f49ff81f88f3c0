"""Federated learning by MONAI's own `MonaiAlgo` with a bundle, in a process of its own: it sets seeds and paths."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import monai_algo
import pytest
from client_bundles import told_by
from exported import exported

from pipeline.phantom.dataset import write_phantom

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory, tiny_training):
    folder = tmp_path_factory.mktemp("federated")
    write_phantom(folder / "data", patients=3, coarsening=4.0)
    bundle = exported("unet_3d", folder / "bundles", {**tiny_training(), "mixed_precision": False})
    words = [sys.executable, "-W", "ignore", Path(monai_algo.__file__), bundle, folder / "data"]
    return told_by(words, folder / "elsewhere")


def test_each_round_goes_on_with_the_weights_that_it_is_given(told):
    assert [one["epoch"] for one in told["rounds"]] == [1, 2]
    assert all(one["changed"] > 0 for one in told["rounds"])


def test_an_evaluation_tells_dice(told):
    for one in told["rounds"]:
        assert 0 <= one["metrics"]["val_mean_dice"] <= 1
        assert math.isfinite(one["metrics"]["val_loss"])


def test_each_round_measures_the_weights_that_it_is_given(told):
    first, second = (one["metrics"]["val_loss"] for one in told["rounds"])
    assert first != second


def test_the_best_model_is_one_that_was_trained(told):
    assert told["best_is_trained"]


def test_the_final_model_is_that_of_the_last_round(told):
    assert told["final_is_last"]


def test_statistics_are_of_every_case(told):
    assert told["counts"] == {"train": 2, "eval": 1}
    assert told["failed"] == {"train": 0, "eval": 0}
