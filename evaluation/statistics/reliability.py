"""What a run's probabilities are worth: its held-out cases' counts by level, and scores before and after a temperature.

Patients, not voxels, are what is drawn: each counts the same, and intervals are over patients.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.measures.cases import Job
from evaluation.measures.reliability import (
    RELIABILITY_RULE,
    binned,
    brier_score,
    level_counts,
    level_probabilities,
    negative_log_likelihood,
)
from evaluation.measures.roc import LEVELS
from evaluation.statistics.intervals import Estimate, estimate
from evaluation.statistics.temperature import TEMPERATURE_RULE, best_temperature, why_no_temperature, without_each
from pipeline.core.atomic import write_csv
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap
from pipeline.core.temperature import Temperature
from pipeline.scans.simpleitk import sitk

RELIABILITY_FILE = "reliability.csv"
COLUMNS = ("case", "patient_id", "level", "voxels", "infected")
RULE = f"{RELIABILITY_RULE}; {TEMPERATURE_RULE}"


@dataclass(frozen=True)
class CaseCounts:
    """Of a case, what `level_counts` gives."""

    case: str
    patient_id: str
    counts: np.ndarray


def case_counts(
    job: Job, reference: sitk.Image, prediction: sitk.Image, levels: np.ndarray | None, label_map: LabelMap
) -> CaseCounts | None:
    """The counts of a case, from images as `read_pair` gives them and the infection's probability in 255ths.

    None without probabilities, and where the reference does not annotate infection, or not the lungs: within which
    voxels count.
    """
    if levels is None or not (job.annotation.infection and job.annotation.lungs):
        return None
    arrays = sitk.GetArrayViewFromImage(reference), sitk.GetArrayViewFromImage(prediction)
    return CaseCounts(job.case, job.patient_id, level_counts(*arrays, levels, label_map))


@dataclass(frozen=True)
class Scores:
    """Calibration error, Brier score and negative log-likelihood, with intervals over patients; and the curve.

    `bins` is what `binned` gives, (3, BINS), averaged over patients.
    """

    ece: Estimate
    brier: Estimate
    nll: Estimate
    bins: np.ndarray


@dataclass(frozen=True)
class Reliability:
    """Of the held-out cases of a run, at least one.

    Args:
        cases: of which each patient may have several, which are averaged first.
    """

    cases: Sequence[CaseCounts]

    @cached_property
    def shares(self) -> list[np.ndarray]:
        """Of each patient, float64 (2, 256), adding up to 1: the mean over the cases."""
        by_patient: defaultdict[str, list[np.ndarray]] = defaultdict(list)
        for case in self.cases:
            by_patient[case.patient_id].append(case.counts / case.counts.sum())
        return [np.mean(mine, axis=0) for mine in by_patient.values()]

    @cached_property
    def why_not(self) -> str:
        """Why there is no temperature; empty where there is one."""
        return why_no_temperature(self.shares)

    @cached_property
    def temperature(self) -> Temperature | None:
        """Of all patients, which is kept beside the models."""
        if self.why_not:
            return None
        return Temperature(best_temperature(self.shares), len(self.shares), len(self.cases))

    @cached_property
    def before(self) -> Scores:
        """Of the probabilities as the networks gave them."""
        return _scores(self.shares, [None] * len(self.shares))

    @cached_property
    def after(self) -> Scores | None:
        """Of each patient with the temperature that the others give; None where there is none."""
        return None if self.why_not else _scores(self.shares, without_each(self.shares))

    def summary(self) -> dict[str, Any]:
        """For summary.json."""
        return {
            "rule": RULE,
            "patients": len(self.shares),
            "cases": len(self.cases),
            "temperature": self.temperature and self.temperature.temperature,
            "why_not": self.why_not,
            "before": _told(self.before),
            "after": self.after and _told(self.after),
        }


def reliability_of(cases: Iterable[CaseCounts | None]) -> Reliability | None:
    """Of those cases that have counts, each once however many folds hold it out; None where there is none."""
    once = {case.case: case for case in cases if case is not None and case.counts.any()}
    return Reliability(list(once.values())) if once else None


def _scores(shares: Sequence[np.ndarray], temperatures: Sequence[float | None]) -> Scores:
    """With a temperature a patient."""
    likely = [level_probabilities(one) for one in temperatures]
    bins = np.array([binned(*pair) for pair in zip(shares, likely, strict=True)])
    return Scores(
        _calibration_error(bins),
        estimate(map(brier_score, shares, likely)),
        estimate(map(negative_log_likelihood, shares, likely)),
        bins.mean(0),
    )


def _calibration_error(bins: np.ndarray) -> Estimate:
    """With its interval, of one array (3, BINS) a patient: who is drawn is averaged, and no error before that."""
    patients = len(bins)

    def error_of(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        """Of the patients of these numbers, along an axis."""
        rows = np.moveaxis(drawn.astype(int), axis, -1)
        flat = rows.reshape(-1, rows.shape[-1])
        places = flat + patients * np.arange(len(flat))[:, None]
        times = np.bincount(places.ravel(), minlength=patients * len(flat)).reshape(-1, patients)
        errors = np.abs(times @ (bins[:, 1] - bins[:, 2])).sum(-1) / rows.shape[-1]
        return errors.reshape(rows.shape[:-1])

    return estimate(np.arange(patients), error_of)


def _told(scores: Scores) -> dict[str, Any]:
    return {name: asdict(getattr(scores, name)) for name in ("ece", "brier", "nll")}


def write_counts(cases: Iterable[CaseCounts], folder: Path) -> None:
    """reliability.csv: a row a case and level that it has voxels of."""
    rows = [
        {
            "case": case.case,
            "patient_id": case.patient_id,
            "level": level,
            "voxels": int(case.counts[:, level].sum()),
            "infected": int(case.counts[1, level]),
        }
        for case in cases
        for level in np.flatnonzero(case.counts.sum(0)).tolist()
    ]
    write_csv(folder / RELIABILITY_FILE, COLUMNS, rows)


def read_counts(folder: Path) -> list[CaseCounts]:
    """What `write_counts` wrote; none where there is no file, InputError where it is damaged."""
    file = folder / RELIABILITY_FILE
    if not file.is_file():
        return []
    found: dict[str, CaseCounts] = {}
    with file.open(newline="", encoding="utf-8-sig") as stream:
        try:
            for cells in csv.DictReader(stream):
                empty = CaseCounts(cells["case"], cells["patient_id"], np.zeros((2, LEVELS), np.int64))
                voxels, infected = int(cells["voxels"]), int(cells["infected"])
                found.setdefault(cells["case"], empty).counts[:, int(cells["level"])] = voxels - infected, infected
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{file}: is not as it was written ({error!r}); run the evaluation again.") from error
    return list(found.values())
