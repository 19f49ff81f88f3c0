"""How far a scan is from a model's training scans, held against held-out patients that the model segmented well.

`pipeline.core.scan_traits` has the two distances. Neither has a limit of its own: held-out scans are always farther
from the training than its own are, by a factor that depends on network and data. The limit of each is therefore a
quantile of the distances of held-out patients, the conformal one (Vovk et al. 2005): of so many patients a new one of
the same kind is farther than LEVEL of them with a probability of at most 1 - LEVEL, or of 1 / (patients + 1) where
they are few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluation.measures.cases import Row
from evaluation.measures.flags import FAILED_BELOW, UNLIKE_TRAINING, Flag, judged
from evaluation.statistics.intervals import patient_means
from pipeline.core.atomic import read_json, write_json
from pipeline.core.errors import InputError
from pipeline.core.scan_traits import HELD_OUT, TRAINING, Distances, Familiar, Traits, familiar, read_traits

LIMITS_FILE = "unlike_training.json"
LEVEL = 0.95
# Patients that a limit is taken from
FEWEST = 4
RULE = (
    f"the distance that {100 * LEVEL:.0f} % of the held-out patients with a mean Dice of {FAILED_BELOW:g} or more do "
    "not exceed, the farthest one where they are fewer than 19"
)
# A case and its fold
Key = tuple[str, int]


@dataclass(frozen=True)
class TraitLimits:
    """Of the two distances, and of how many patients they are."""

    deep: float
    levels: float
    patients: int

    def times(self, scan: Distances) -> float:
        """How many times as far as its limit a scan is, by the distance that says more; nan where neither is known."""
        parts = [
            distance / limit
            for distance, limit in ((scan.deep, self.deep), (scan.levels, self.levels))
            if limit > 0 and not math.isnan(distance)
        ]
        return max(parts, default=math.nan)


@dataclass(frozen=True)
class Familiarity:
    """Of a model: the training scans of each of its networks, and the limits of the run that it is of."""

    networks: Sequence[tuple[Familiar, TraitLimits]]

    def flag(self, scan: Sequence[Traits]) -> Flag:
        """Of a scan's traits by each network; of several networks, the mean of what each says."""
        if len(scan) != len(self.networks):
            return judged(UNLIKE_TRAINING, math.nan)
        told = [limits.times(known.distances(mine)) for (known, limits), mine in zip(self.networks, scan, strict=True)]
        return judged(UNLIKE_TRAINING, sum(told) / len(told))


def held_out_distances(folds: Mapping[int, Path]) -> dict[Key, Distances]:
    """Of the held-out cases of folds, whose folders are given; none of those whose folders do not tell."""
    found = {}
    for fold, folder in folds.items():
        kept = read_traits(folder)
        if known := familiar(kept[TRAINING]):
            for case, traits in kept[HELD_OUT].items():
                found[case, fold] = known.distances(traits)
    return found


def limits_of(distances: Mapping[Key, Distances], rows: Sequence[Row], without: str = "") -> TraitLimits | None:
    """The limits that the patients of scored cases give, that of `without` left out; None of too few patients."""
    dice: dict[Key, list[float]] = {}
    patient_of: dict[Key, str] = {}
    for row in rows:
        key = row["case"], row["fold"]
        patient_of[key] = row["patient_id"]
        if not math.isnan(row["dice"]):
            dice.setdefault(key, []).append(row["dice"])
    well = [
        key
        for key, found in dice.items()
        if key in distances and patient_of[key] != without and sum(found) / len(found) >= FAILED_BELOW
    ]
    deep, levels = (
        _quantile(patient_means((patient_of[key], getattr(distances[key], name)) for key in well).values())
        for name in ("deep", "levels")
    )
    patients = len({patient_of[key] for key in well})
    return TraitLimits(deep, levels, patients) if patients >= FEWEST else None


def _quantile(distances: Iterable[float]) -> float:
    """The conformal quantile; nan of none."""
    found = sorted(distances)
    return found[min(math.ceil(LEVEL * (len(found) + 1)), len(found)) - 1] if found else math.nan


def unlike_flags(distances: Mapping[Key, Distances], rows: Sequence[Row]) -> dict[Key, Flag]:
    """The flag of each case with a distance and rows, by the limits of all patients but its own."""
    patients = {(row["case"], row["fold"]): row["patient_id"] for row in rows}
    limits = {patient: limits_of(distances, rows, patient) for patient in set(patients.values())}
    return {
        key: judged(UNLIKE_TRAINING, mine.times(distances[key]))
        for key, patient in patients.items()
        if key in distances and (mine := limits[patient])
    }


def write_limits(folder: Path, found: TraitLimits | None) -> None:
    """Keep a run's limits; without them earlier ones go."""
    file = folder / LIMITS_FILE
    if found is None:
        file.unlink(missing_ok=True)
    else:
        write_json(file, {**asdict(found), "rule": RULE})


def read_limits(folder: Path) -> TraitLimits | None:
    """Those of a run; None where it has none, InputError where the file is damaged."""
    file = folder / LIMITS_FILE
    if not file.is_file():
        return None
    try:
        content = read_json(file)
        return TraitLimits(float(content["deep"]), float(content["levels"]), int(content["patients"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{file}: is not as it was written ({error!r}); run `make evaluate` on its run again, or delete it."
        ) from error
