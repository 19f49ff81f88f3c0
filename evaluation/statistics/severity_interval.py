"""How far the infected share of a new scan may be off, from how far it was off in held-out patients of the same run.

Conformal prediction by patient (Vovk et al. 2005; Lei et al. 2018): a patient's error is that of their worst scan, and
of n held-out patients a new one of the same kind errs by no more than the k-th smallest with a probability of k / (n +
1), whatever the distribution. The errors are of several models, each of which had not seen the patient, and so stand
for a new patient of any one of them as far as these are alike. `coverage` holds each fold's patients against the
errors of the other folds': leaving out one patient at a time would always find what the level says, by arithmetic.

Errors are absolute, in the share itself. Relative ones (logarithm, arc sine, over the root of the share) gave wider
intervals at the same coverage, each patient left out in turn: over six cross-validations of pneumo_net on ten to
fourteen patients, the mean widths of 80 % intervals were 20.4 percentage points absolute, 24.4 over the root of the
share plus 0.05, 24.8 by the arc sine, and 31.5 by the logarithm of the share plus 0.05. A scan in which far too much
is found makes relative ones wide for all in which much is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evaluation.measures.severity import grade
from evaluation.tables.severity_table import SeverityRow

WHOSE = ("reference", "prediction")
# Percent, the highest first
LADDER = (95, 90, 80)
# What counts once: where nobody told whose scans are, each scan does
PATIENTS, SCANS = "patients", "scans"


class Share(NamedTuple):
    """An infected share of a held-out scan, in [0, 1], and the fold that held it out."""

    patient: str
    fold: int
    reference: float
    prediction: float

    @property
    def error(self) -> float:
        return abs(self.reference - self.prediction)


@dataclass(frozen=True)
class HeldOut:
    """Infected shares of held-out scans, of both lungs and of the worse lung, by which a case is graded.

    `whose` is what counts once, PATIENTS or SCANS.
    """

    lungs: tuple[Share, ...] = ()
    worse: tuple[Share, ...] = ()
    whose: str = PATIENTS

    @classmethod
    def of(cls, rows: Iterable[tuple[int, SeverityRow]], patient_of: Mapping[str, str]) -> HeldOut:
        """From folds and rows of severity.csv, and the patient of each case.

        Scans in which either side has no lung tell nothing. Where a case's patient is not
        known, each scan counts as a patient of its own.
        """
        rows = list(rows)
        known = all(row["case"] in patient_of for _, row in rows)
        found: dict[str, list[Share]] = {"lungs": [], "worse": []}
        for fold, row in rows:
            pairs = {
                "lungs": [row[f"{whose}_lungs_percent"] for whose in WHOSE],
                "worse": [_worse(row[f"{whose}_left_percent"], row[f"{whose}_right_percent"]) for whose in WHOSE],
            }
            for name, (reference, prediction) in pairs.items():
                if not math.isnan(reference + prediction):
                    patient = patient_of[row["case"]] if known else row["case"]
                    found[name].append(Share(patient, fold, reference / 100, prediction / 100))
        return cls(tuple(found["lungs"]), tuple(found["worse"]), PATIENTS if known else SCANS)


def _worse(left: float, right: float) -> float:
    """Of a lung that is not there nothing is known; nan where neither is."""
    return max((share for share in (left, right) if not math.isnan(share)), default=math.nan)


def level_of(patients: int) -> int | None:
    """The highest level of LADDER, in percent, that so many patients carry; None for fewer than four.

    One of them has to be left outside, lest the one worst patient alone says how wide it is: 95 % takes 39 patients, 90
    % 19 and 80 % nine. Four to eight give 80 % by their worst.
    """
    rung = next((level for level in LADDER if rank(level, patients) < patients), None)
    return rung or (LADDER[-1] if rank(LADDER[-1], patients) <= patients else None)


def rank(level: int, patients: int) -> int:
    """Which of the patients' errors, from the smallest, is reached at a level in percent; there may be too few."""
    return math.ceil((patients + 1) * level / 100)


def patient_errors(shares: Iterable[Share]) -> dict[str, float]:
    """The error of each patient's worst scan, in [0, 1]."""
    errors: dict[str, float] = {}
    for share in shares:
        errors[share.patient] = max(errors.get(share.patient, 0.0), share.error)
    return errors


@dataclass(frozen=True)
class ShareInterval:
    """Ends in [0, 1], and the level in percent at which they are to hold, from so many patients."""

    low: float
    high: float
    level: int
    patients: int


def share_interval(share: float, shares: Sequence[Share]) -> ShareInterval | None:
    """Around an infected share in [0, 1]; None without a share, or with too few patients for any level."""
    errors = patient_errors(shares)
    level = level_of(len(errors))
    if math.isnan(share) or level is None:
        return None
    return ShareInterval(*_around(share, _reach(errors, level)), level, len(errors))


def _reach(errors: Mapping[str, float], level: int) -> float:
    """The error that is reached at a level; infinite where there are too few."""
    ordered = sorted(errors.values())
    place = rank(level, len(ordered))
    return ordered[place - 1] if place <= len(ordered) else math.inf


def _around(share: float, reach: float) -> tuple[float, float]:
    return max(share - reach, 0.0), min(share + reach, 1.0)


@dataclass(frozen=True)
class Coverage:
    """What the intervals of a run are worth.

    Args:
        level: in percent, at which they are to hold.
        patients: how many there are.
        reach: how far an interval goes to either side, in [0, 1], unless 0 or 1 ends it.
        held: patients all of whose scans lay within the intervals that the other folds' patients give; None where that
            cannot be tried, with one fold or too few patients in the others.
        width: of these intervals, in [0, 1]: mean over patients of the mean over their scans; None likewise.
    """

    level: int
    patients: int
    reach: float
    held: int | None
    width: float | None


def coverage(shares: Sequence[Share]) -> Coverage | None:
    """Of the held-out scans of a run; None where there are too few patients for any interval."""
    errors = patient_errors(shares)
    level = level_of(len(errors))
    if level is None:
        return None
    outside: set[str] = set()
    widths: dict[str, list[float]] = {}
    for fold in {share.fold for share in shares}:
        mine = [share for share in shares if share.fold == fold]
        here = {share.patient for share in mine}
        reach = _reach(patient_errors(share for share in shares if share.patient not in here), level)
        if math.isinf(reach):
            return Coverage(level, len(errors), _reach(errors, level), None, None)
        for share in mine:
            low, high = _around(share.prediction, reach)
            widths.setdefault(share.patient, []).append(high - low)
            if share.error > reach:
                outside.add(share.patient)
    width = statistics.fmean(map(statistics.fmean, widths.values()))
    return Coverage(level, len(errors), _reach(errors, level), len(errors) - len(outside), width)


def grades_right(worse: Iterable[Share]) -> tuple[int, int]:
    """Of how many patients every scan has the grade of its reference, and how many there are."""
    right: dict[str, bool] = {}
    for share in worse:
        right[share.patient] = right.get(share.patient, True) and grade(share.reference) == grade(share.prediction)
    return sum(right.values()), len(right)
