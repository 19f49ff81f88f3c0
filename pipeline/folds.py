"""Cross-validation folds: by patient, as Ma et al. published them, or from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.atomic import read_json
from pipeline.errors import InputError

BY_PATIENT, PUBLISHED = "patients", "published"
PUBLISHED_FILE = Path(__file__).parent / "splits" / "ma2020_task1.json"

CaseEntry = Mapping[str, Any]


def split_by_patient(cases: Sequence[CaseEntry], folds: int, seed: int) -> list[list[str]]:
    """Test case names of each fold, where all cases of a patient stand in one fold and every case in exactly one.

    The folds differ by at most one patient. The same patients, folds and seed give the same split whatever the order of
    the cases; as many folds as patients is leave-one-patient-out.
    """
    patients = sorted({case["patient_id"] for case in cases})
    if not 2 <= folds <= len(patients):
        raise InputError(
            f"folds: {folds} asked for {len(patients)} patient(s); expected 2 to the number of patients; "
            "change the number of folds or add patients."
        )
    shuffled = np.random.default_rng(seed).permutation(patients).tolist()
    dealt = [set(shuffled[fold::folds]) for fold in range(folds)]
    return [sorted(case["case"] for case in cases if case["patient_id"] in mine) for mine in dealt]


def published_split(cases: Sequence[CaseEntry]) -> list[list[str]]:
    """The five 16/4 splits of Ma et al. 2020 on the public 20-CT set; InputError for any other data set.

    Two patients stand in two folds each (see the note in the file), so this is for comparison with published numbers.
    """
    return split_from_file(cases, PUBLISHED_FILE)


def split_from_file(cases: Sequence[CaseEntry], file: str | Path) -> list[list[str]]:
    """Test case names of each fold from {"folds": [{"fold": 0, "test": [...]}, ...]}, as `make_folds` gives it.

    Raises InputError unless every case of the data set is tested exactly once and no other is named.
    """
    try:
        entries = read_json(file)["folds"]
        numbers, split = [entry["fold"] for entry in entries], [list(entry["test"]) for entry in entries]
    except (OSError, JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        shape = '{"folds": [{"fold": 0, "test": ["CASE"]}]}'
        raise InputError(f"{file}: is no split ({error!r}); expected {shape}; correct it.") from error
    if numbers != list(range(len(numbers))):
        raise InputError(f"{file}: numbers its folds {numbers}; expected 0, 1, 2 and so on; correct it.")
    _check_tested_once({case["case"] for case in cases}, split, file)
    return split


def _check_tested_once(names: set[str], split: Sequence[Sequence[str]], file: str | Path) -> None:
    times = Counter(name for test in split for name in test)
    twice = {name for name, count in times.items() if count > 1}
    for wrong, said in (
        (times.keys() - names, "names cases that the data set lacks"),
        (names - times.keys(), "does not test cases of the data set"),
        (twice, "tests cases more than once"),
    ):
        if wrong:
            listed = ", ".join(sorted(wrong))
            raise InputError(f"{file}: {said} ({listed}); use split {BY_PATIENT!r} or the data set it was made for.")


def make_folds(datalist: Mapping[str, Any], folds: int, split: str = BY_PATIENT, seed: int = 0) -> dict[str, Any]:
    """A cross-validation of a datalist: {"split", "seed", "folds": [{"fold", "test"}], "leaking_patients"}.

    `split` is "patients", "published" or a JSON file of the shape that this gives. `seed` is None in the result where
    none was used. `leaking_patients` stand in more than one fold, which splitting by patient never does.
    """
    cases = datalist["training"]
    if split == BY_PATIENT:
        tests = split_by_patient(cases, folds, seed)
    elif split == PUBLISHED:
        tests = published_split(cases)
    elif Path(split).is_file():
        tests = split_from_file(cases, split)
    else:
        raise InputError(f"split: {split!r} is no file and unknown; expected {BY_PATIENT!r}, {PUBLISHED!r} or a file.")
    if len(tests) != folds:
        raise InputError(f"split: {split!r} has {len(tests)} folds, {folds} asked; set the number to {len(tests)}.")
    return {
        "split": split,
        "seed": seed if split == BY_PATIENT else None,
        "folds": [{"fold": fold, "test": test} for fold, test in enumerate(tests)],
        "leaking_patients": leaking_patients(cases, tests),
    }


def leaking_patients(cases: Sequence[CaseEntry], split: Sequence[Sequence[str]]) -> list[str]:
    """Patients with cases in more than one fold: tested on after training has seen them."""
    patient_of = {case["case"]: case["patient_id"] for case in cases}
    folds_of = Counter(patient for test in split for patient in {patient_of[name] for name in test})
    return sorted(patient for patient, count in folds_of.items() if count > 1)


def training_cases(datalist: Mapping[str, Any], folds: Mapping[str, Any], fold: int) -> list[dict[str, Any]]:
    """The entries of a datalist that a fold trains on."""
    tested = _tested(datalist, folds, fold)
    return [entry for entry in datalist["training"] if entry["case"] not in tested]


def held_out_cases(datalist: Mapping[str, Any], folds: Mapping[str, Any], fold: int) -> list[dict[str, Any]]:
    """The entries of a datalist that a fold is tested on."""
    tested = _tested(datalist, folds, fold)
    return [entry for entry in datalist["training"] if entry["case"] in tested]


def _tested(datalist: Mapping[str, Any], folds: Mapping[str, Any], fold: int) -> set[str]:
    count = len(folds["folds"])
    if not 0 <= fold < count:
        raise InputError(f"fold: {fold} came; expected 0 to {count - 1}; choose one of them.")
    planned = {name for entry in folds["folds"] for name in entry["test"]}
    # A case that came later would be trained on in every fold and tested in none.
    if differing := planned ^ {entry["case"] for entry in datalist["training"]}:
        listed = ", ".join(sorted(differing))
        raise InputError(f"folds: made for another data set (not in both: {listed}); make the folds again.")
    return set(folds["folds"][fold]["test"])
