"""What each of the Anam-Net paper's three experiments trains and tests on.

1: set I's first nine tenths (90 of 100 slices; which ten the paper leaves out is not said), tested on set II.
2: set III's slices, concatenated in the order of the cases and cut into four equal parts F1 to F4; three models, each
   trained on two of F1 to F3 with the third for validation, tested on F4. A case that a cut goes through becomes two
   cases of one patient. By patient, the parts are whole patients instead.
3: the models of experiment 2, tested on set II.
Of sets II and III a slice counts where it has more than 100 labelled pixels, the paper's filter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import InputError
from pipeline.core.labels import INFECTED, LEFT_LUNG, RIGHT_LUNG
from pipeline.data.slice_sets import ONE, THREE, TWO, SliceSet, Stack, find_set
from pipeline.experiments.prepared_slices import Piece, check_lungs, code_counts

EXPERIMENTS = (1, 2, 3)
TRAIN_PART, TEST_PART = "train", "test"
PARTS = ("F1", "F2", "F3", "F4")
EQUAL = (1.0,) * len(PARTS)
# A slice is kept where it has more labelled pixels; set I's are all kept that have any.
PAPERS_FILTER, ANY_LABEL = 100, 0
LABELLED = (LEFT_LUNG, RIGHT_LUNG, *INFECTED)

# A stack and the numbers of its slices that count
Kept = tuple[Stack, tuple[int, ...]]


@dataclass(frozen=True)
class Model:
    """One training: the parts of the data that it learns from, and that its validation loss is of."""

    number: int
    train: tuple[str, ...]
    validation: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The cases of an experiment, in parts, and which models learn from and are tested on which part."""

    sets: tuple[SliceSet, ...]
    pieces: tuple[Piece, ...]
    models: tuple[Model, ...]
    test: tuple[str, ...]

    def of(self, parts: Iterable[str]) -> list[Piece]:
        """The pieces of some parts."""
        wanted = set(parts)
        return [piece for piece in self.pieces if piece.part in wanted]

    def cases(self, parts: Iterable[str]) -> list[str]:
        return [piece.case for piece in self.of(parts)]

    def patients(self, parts: Iterable[str]) -> set[str]:
        return {piece.stack.patient_id for piece in self.of(parts)}

    def slices(self, parts: Iterable[str]) -> int:
        return sum(len(piece.slices) for piece in self.of(parts))

    def split(self, train: Sequence[str], validation: Sequence[str] = ()) -> dict[str, Any]:
        """A split file's content: one fold, which is tested on the plan's test part."""
        fold: dict[str, Any] = {"fold": 0, "train": self.cases(train)}
        if validation:
            fold["validation"] = self.cases(validation)
        return {"folds": [{**fold, "test": self.cases(self.test)}]}


def make_plan(experiment: int, data_dir: str | Path, preparation: str, by_patient: bool = False) -> Plan:
    """The plan of experiment 1, 2 or 3 on the data in a folder.

    Reads every label file. Raises InputError where a set is missing, unreadable or without enough slices, or has no
    lungs in its labels, which the paper's preparation needs.
    """
    if experiment == 1:
        return _experiment_one(data_dir, preparation)
    if experiment == 2:
        return _experiment_two(data_dir, preparation, by_patient)
    if experiment == 3:
        tested, pieces = _set_two(data_dir, preparation)
        return Plan((tested,), pieces, (), (TEST_PART,))
    raise InputError(f"EXP is {experiment}, expected one of: {', '.join(map(str, EXPERIMENTS))}.")


def _experiment_one(data_dir: str | Path, preparation: str) -> Plan:
    learnt = find_set(ONE, data_dir)
    tested, test = _set_two(data_dir, preparation)
    kept = kept_slices(learnt, preparation, ANY_LABEL)
    flat = flattened(kept)
    used = grouped(flat[: len(flat) * 9 // 10])
    if not used:
        raise InputError(f"{learnt.folder}: has {len(flat)} labelled slice(s); expected two or more to train on.")
    pieces = tuple(Piece(stack.name, stack, slices, TRAIN_PART) for stack, slices in used)
    return Plan((learnt, tested), (*pieces, *test), (Model(0, (TRAIN_PART,)),), (TEST_PART,))


def _set_two(data_dir: str | Path, preparation: str) -> tuple[SliceSet, tuple[Piece, ...]]:
    """Set II and its kept slices, to be tested on."""
    tested = find_set(TWO, data_dir)
    kept = kept_slices(tested, preparation, PAPERS_FILTER)
    if not kept:
        raise InputError(f"{tested.folder}: no slice has more than {PAPERS_FILTER} labelled pixels; check its labels.")
    return tested, tuple(Piece(stack.name, stack, slices, TEST_PART) for stack, slices in kept)


def _experiment_two(data_dir: str | Path, preparation: str, by_patient: bool) -> Plan:
    source = find_set(THREE, data_dir)
    kept = kept_slices(source, preparation, PAPERS_FILTER)
    parts = whole_patients(kept) if by_patient else equal_parts(kept)
    if not all(parts):
        patients = {stack.patient_id for stack, _ in kept}
        raise InputError(
            f"{source.folder}: has {len(flattened(kept))} slices with more than {PAPERS_FILTER} labelled pixels, of "
            f"{len(patients)} patient(s); expected enough for the four parts of experiment 2; add cases."
        )
    pieces = tuple(
        Piece(f"{stack.name}_{part}", stack, slices, part)
        for part, group in zip(PARTS, parts, strict=True)
        for stack, slices in group
    )
    models = tuple(Model(k, tuple(part for part in PARTS[:3] if part != PARTS[k]), (PARTS[k],)) for k in range(3))
    return Plan((source,), pieces, models, PARTS[3:])


def kept_slices(source: SliceSet, preparation: str, more_than: int, codes: Sequence[int] = LABELLED) -> list[Kept]:
    """The stacks of a set that have slices with more pixels of some codes than that, and those slices' numbers."""
    counts = [code_counts(stack, preparation) for stack in source.stacks]
    check_lungs(str(source.folder), counts, preparation)
    labelled = [np.flatnonzero(count[:, list(codes)].sum(1) > more_than) for count in counts]
    return [
        (stack, tuple(slices.tolist())) for stack, slices in zip(source.stacks, labelled, strict=True) if slices.size
    ]


def equal_parts(kept: Sequence[Kept]) -> list[list[Kept]]:
    """Four contiguous parts of all slices in order; their lengths differ by at most one."""
    flat = flattened(kept)
    cuts = [len(flat) * cut // len(PARTS) for cut in range(len(PARTS) + 1)]
    return [grouped(flat[start:end]) for start, end in pairwise(cuts)]


def whole_patients(kept: Sequence[Kept], shares: Sequence[float] = EQUAL) -> list[list[Kept]]:
    """Parts of whole patients, with slices in proportion to the shares as nearly as in the best of many orders.

    Each time the same. Each patient goes to the part that is emptiest so far.
    """
    patients: dict[str, list[Kept]] = {}
    for stack, slices in kept:
        patients.setdefault(stack.patient_id, []).append((stack, slices))
    chance = np.random.default_rng(0)
    tries = [
        _dealt([list(patients.values())[place] for place in chance.permutation(len(patients))], shares)
        for _ in range(500)
    ]
    return min(tries, key=lambda parts: _spread(_filled(parts, shares)))


def _dealt(patients: Sequence[list[Kept]], shares: Sequence[float]) -> list[list[Kept]]:
    parts: list[list[Kept]] = [[] for _ in shares]
    for patient in patients:
        filled = _filled(parts, shares)
        parts[filled.index(min(filled))].extend(patient)
    return parts


def _filled(parts: Sequence[Sequence[Kept]], shares: Sequence[float]) -> list[float]:
    """Slices of each part over its share."""
    return [sum(len(slices) for _, slices in part) / share for part, share in zip(parts, shares, strict=True)]


def _spread(numbers: Sequence[float]) -> float:
    return max(numbers) - min(numbers)


def flattened(kept: Sequence[Kept]) -> list[tuple[Stack, int]]:
    """Every slice by itself, in order."""
    return [(stack, number) for stack, slices in kept for number in slices]


def grouped(flat: Sequence[tuple[Stack, int]]) -> list[Kept]:
    """Slices that stand by themselves joined by their stacks again."""
    groups: dict[Stack, list[int]] = {}
    for stack, number in flat:
        groups.setdefault(stack, []).append(number)
    return [(stack, tuple(numbers)) for stack, numbers in groups.items()]


def leaking_patients(plan: Plan, tested: Plan) -> list[str]:
    """Patients that a model of `plan` learns from and that `tested`, which may be the same plan, tests on."""
    learnt: set[str] = set()
    for model in plan.models:
        learnt |= plan.patients(model.train)
    return sorted(learnt & tested.patients(tested.test))
