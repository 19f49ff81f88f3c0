"""A random part of the slices for testing, the others in folds: the experiment of several papers.

Slices are drawn one by one, so that neighbours of one patient stand on both sides, as these papers do; or by patient.
Each set is cut by itself, so that every part has as much of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.core.errors import InputError
from pipeline.data.slice_sets import find_sets
from pipeline.experiments.plan import (
    ANY_LABEL,
    LABELLED,
    TEST_PART,
    Kept,
    Model,
    Plan,
    flattened,
    grouped,
    kept_slices,
    whole_patients,
)
from pipeline.experiments.prepared_slices import Piece


def random_plan(
    data_dir: str | Path,
    preparation: str,
    by_patient: bool,
    sets: Sequence[str],
    test_share: float,
    folds: int,
    seed: int = 0,
    codes: Sequence[int] = LABELLED,
) -> Plan:
    """`folds` models, each validated on one fold and trained on the others, all tested on the same part of the data.

    Args:
        data_dir: holds one or more of the sets; scans and labels of any other name stand in for the last.
        preparation: of the slices, see `pipeline.experiments.prepared_slices`.
        by_patient: cut between patients, not between slices.
        sets: numbers of `pipeline.data.slice_sets`.
        test_share: of the slices, in (0, 1).
        folds: that the others are cut into.
        seed: of the drawing of slices.
        codes: a slice counts where it has a pixel of one of these label codes.

    Raises:
        InputError: where there is none of the sets, one is unreadable, or they have too few slices or patients.
    """
    found = find_sets(sets, data_dir, plain=sets[-1])
    kept = [kept_slices(one, preparation, ANY_LABEL, codes) for one in found]
    names = [*(f"F{fold + 1}" for fold in range(folds)), TEST_PART]
    shares = [*[(1 - test_share) / folds] * folds, test_share]
    cut = [whole_patients(each, shares) if by_patient else random_parts(each, shares, seed) for each in kept]
    parts = [[one for each in cut for one in each[place]] for place in range(len(names))]
    if not all(parts):
        slices = sum(len(flattened(each)) for each in kept)
        patients = {stack.patient_id for each in kept for stack, _ in each}
        raise InputError(
            f"{' and '.join(str(one.folder) for one in found)}: has {slices} labelled slices of {len(patients)} "
            f"patient(s); expected enough for {folds} folds and a test part; add cases."
        )
    pieces = tuple(
        Piece(f"{stack.name}_{name}", stack, slices, name)
        for name, part in zip(names, parts, strict=True)
        for stack, slices in part
    )
    learnt = tuple(names[:-1])
    models = tuple(Model(k, tuple(name for name in learnt if name != learnt[k]), (learnt[k],)) for k in range(folds))
    return Plan(tuple(found), pieces, models, (TEST_PART,))


def random_parts(kept: Sequence[Kept], shares: Sequence[float], seed: int) -> list[list[Kept]]:
    """All slices once, in parts of random slices whose numbers are as the shares, which add up to 1."""
    every = flattened(kept)
    order = np.random.default_rng(seed).permutation(len(every))
    cuts = np.rint(np.cumsum([0.0, *shares]) * len(every)).astype(int)
    return [grouped([every[place] for place in sorted(order[start:end])]) for start, end in pairwise(cuts)]
