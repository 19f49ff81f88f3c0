"""What a network makes of a scan, in a few numbers, and how far that is from its training scans.

Two things are held against the training: the mean of each channel of the deepest layer, whose distance is a Mahalanobis
distance with a diagonal covariance (Gonzalez et al., Medical Image Analysis 82, 2022, use a full one of patches), and
the grey levels where the network found something, whose distance is that of their quantiles. `pipeline.inferers.traits`
gets them of a scan, at no cost beside the network's answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.atomic import read_json, write_json
from pipeline.core.errors import InputError

# In a fold's folder: of its training scans and of those that it held out
TRAITS_FILE = "scan_traits.json"
TRAINING, HELD_OUT = "training", "held_out"
# Of the grey levels
QUANTILES = tuple(np.linspace(0.025, 0.975, 20).round(4).tolist())
# As many training scans tell mean and spread, and more would only take time
MOST_SCANS = 20


@dataclass(frozen=True)
class Traits:
    """Of one scan, by one network.

    Args:
        deep: mean of each channel of the deepest layer.
        levels: QUANTILES of the prepared scan's values where anything but background was found; empty where nothing
            was.
    """

    deep: tuple[float, ...]
    levels: tuple[float, ...]

    @classmethod
    def of(cls, deep: Sequence[float], levels: Sequence[float]) -> Traits:
        return cls(*(tuple(float(f"{number:.6g}") for number in numbers) for numbers in (deep, levels)))


@dataclass(frozen=True)
class Distances:
    """How far a scan is from a network's training scans.

    Args:
        deep: root mean square over the channels, in spreads of the training scans.
        levels: mean over the quantiles, in units of the prepared scan; nan where nothing was found.
    """

    deep: float
    levels: float


@dataclass(frozen=True, eq=False)
class Familiar:
    """The training scans of one network together.

    Args:
        deep: mean over them of each channel, float64.
        spread: of each channel over them, of the same shape.
        levels: mean of each of QUANTILES; None where nothing was found in any of them.
    """

    deep: np.ndarray
    spread: np.ndarray
    levels: np.ndarray | None

    @classmethod
    def of(cls, training: Sequence[Traits]) -> Familiar:
        """Of at least two scans."""
        if len(training) < 2:
            raise ValueError(f"{len(training)} training scans have no spread")
        deep = np.array([each.deep for each in training])
        spread = deep.std(0, ddof=1)
        found = [each.levels for each in training if each.levels]
        # A channel that few scans happen to agree in is no better known than the others
        spread = spread + math.sqrt(float((spread**2).mean()))
        return cls(deep.mean(0), spread, np.mean(found, axis=0) if found else None)

    def distances(self, scan: Traits) -> Distances:
        differences = np.array(scan.deep) - self.deep
        # Where all scans are the same, as single slices of one colour, nothing is known of a spread
        within = np.divide(differences, self.spread, out=np.zeros_like(differences), where=self.spread > 0)
        known = bool(scan.levels) and self.levels is not None
        levels = float(np.abs(np.array(scan.levels) - self.levels).mean()) if known else math.nan
        return Distances(math.sqrt(float((within**2).mean())), levels)


def read_traits(fold: Path) -> dict[str, dict[str, Traits]]:
    """Those that lie in a fold's folder, by TRAINING and HELD_OUT and then by case; none where there is no file.

    InputError where the file is damaged.
    """
    file = fold / TRAITS_FILE
    if not file.is_file():
        return {TRAINING: {}, HELD_OUT: {}}
    try:
        content: dict[str, dict[str, Any]] = read_json(file)
        return {
            whose: {case: Traits(tuple(one["deep"]), tuple(one["levels"])) for case, one in content[whose].items()}
            for whose in (TRAINING, HELD_OUT)
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{file}: is not as it was written ({error!r}); delete it, and its flag is left out."
        ) from error


def write_traits(fold: Path, traits: Mapping[str, Mapping[str, Traits]]) -> None:
    write_json(
        fold / TRAITS_FILE,
        {whose: {case: asdict(one) for case, one in of_cases.items()} for whose, of_cases in traits.items()},
    )


def folds_of(run: Path) -> dict[int, Path]:
    """The folders of a run's folds that hold traits, by number; those of a cascade's last stage, which answers."""
    return {int(file.parent.name.removeprefix("fold")): file.parent for file in run.glob(f"**/fold*/{TRAITS_FILE}")}


def familiar(training: Mapping[str, Traits]) -> Familiar | None:
    """The training scans of a network, as its fold keeps them; None of too few to tell."""
    return Familiar.of([*training.values()]) if len(training) > 1 else None
