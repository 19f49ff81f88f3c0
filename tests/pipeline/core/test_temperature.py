"""The temperature of a run: its file, and what it does to probabilities in arrays and tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.core.errors import InputError
from pipeline.core.temperature import (
    TEMPERATURE_FILE,
    Temperature,
    calibration_told,
    read_temperature,
    tempered,
    write_temperature,
)

FOUND = Temperature(1.53, 14, 15)


def test_it_comes_back_from_its_file_and_goes_with_it(tmp_path):
    write_temperature(tmp_path, FOUND, "a rule")
    assert read_temperature(tmp_path) == FOUND
    write_temperature(tmp_path, None, "a rule")
    assert read_temperature(tmp_path) is None
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("content", ["{}", '{"temperature": 0, "patients": 3, "cases": 3}', "no JSON"])
def test_a_damaged_file_is_named(content, tmp_path):
    (tmp_path / TEMPERATURE_FILE).write_text(content)
    with pytest.raises(InputError, match=TEMPERATURE_FILE):
        read_temperature(tmp_path)


def test_arrays_and_tensors_are_tempered_alike():
    shares = np.linspace(0, 1, 101, dtype=np.float32)
    of_tensor = tempered(torch.from_numpy(shares), 1.7)
    np.testing.assert_allclose(of_tensor.numpy(), tempered(shares, 1.7), rtol=1e-6)
    assert tempered(shares, 1.7).dtype == np.float32


@pytest.mark.parametrize("temperature", [0.05, 0.5, 2.0, 20.0])
def test_one_half_stays_one_half_and_the_order_stays(temperature):
    shares = np.linspace(0, 1, 2001)
    found = tempered(shares, temperature)
    assert found[1000] == pytest.approx(0.5)
    assert (np.diff(found) >= 0).all()


def test_what_is_rounded_to_0_is_0_at_every_temperature():
    assert tempered(np.array([0.0, 0.49 / 255]), 5.0).tolist() == [0.0, 0.0]


def test_results_tell_a_number_or_one_of_each_member():
    assert calibration_told([]) == {"calibrated": False}
    assert calibration_told([FOUND]) == {"calibrated": True, "temperature": 1.53, "patients": 14}
    both = calibration_told([FOUND, Temperature(2.0, 3, 3)])
    assert both == {"calibrated": True, "temperature": [1.53, 2.0], "patients": [14, 3]}
