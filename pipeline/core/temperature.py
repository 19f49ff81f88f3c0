"""The temperature of a run: what makes its probabilities of infection mean what they say, kept beside its models.

A network's softmax is mostly too sure of itself. Temperature scaling (Guo et al. 2017) divides the logit of a
probability by one number, fitted on patients that the network has not seen; the order of voxels stays, and so does
every label, which is decided before. `evaluation.statistics.temperature` fits it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pipeline.core.atomic import read_json, write_json
from pipeline.core.errors import InputError

if TYPE_CHECKING:
    import torch

TEMPERATURE_FILE = "temperature.json"
# Files hold probabilities in so many steps, and a temperature is fitted on what files hold
STEPS = 255
# What is rounded to 0 stays 0, or air and all that is surely healthy would get some probability; what is rounded to
# the highest step is taken as the middle of that, which has a logit
LEAST, MOST = 0.5 / STEPS, 1 - 0.25 / STEPS

Shares = TypeVar("Shares", np.ndarray, "torch.Tensor")


@dataclass(frozen=True)
class Temperature:
    """That the logit of the infection's probability is divided by, and of how many held-out patients and cases it is.

    Over 1 the network was too sure of itself, under 1 not sure enough.
    """

    temperature: float
    patients: int
    cases: int


def tempered(shares: Shares, temperature: float) -> Shares:
    """Probabilities in [0, 1] whose logits are divided by a temperature, of any shape; below LEAST they are 0."""
    # As odds, in operators that arrays and tensors share
    clipped = shares.clip(0, MOST)
    up, down = clipped ** (1 / temperature), (1 - clipped) ** (1 / temperature)
    return up / (up + down) * (shares >= LEAST)


def write_temperature(folder: Path, found: Temperature | None, rule: str) -> None:
    """Keep a run's temperature and how it came about; without one an earlier one goes."""
    file = folder / TEMPERATURE_FILE
    if found is None:
        file.unlink(missing_ok=True)
    else:
        write_json(file, {**asdict(found), "of": "infection", "rule": rule})


def read_temperature(folder: Path) -> Temperature | None:
    """That of a run; None where it has none, InputError where the file is damaged."""
    file = folder / TEMPERATURE_FILE
    if not file.is_file():
        return None
    try:
        content: dict[str, Any] = read_json(file)
        found = Temperature(float(content["temperature"]), int(content["patients"]), int(content["cases"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{file}: is not as it was written ({error!r}); run the cross-validation again, or delete it."
        ) from error
    if not 0 < found.temperature < np.inf:
        raise InputError(f"{file}: the temperature is {found.temperature}, expected a number above 0; delete it.")
    return found


def calibration_told(temperatures: Sequence[Temperature]) -> dict[str, Any]:
    """What results say of their probabilities: a number each, one of each member where there are several."""
    if not temperatures:
        return {"calibrated": False}
    names = ("temperature", "patients")
    several = {name: [getattr(one, name) for one in temperatures] for name in names}
    return {"calibrated": True, **({name: several[name][0] for name in names} if len(temperatures) == 1 else several)}
