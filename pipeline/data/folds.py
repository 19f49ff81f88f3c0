"""Cross-validation folds: by patient, one patient a fold, as Ma et al. published them, or from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.folders.public_set import PUBLISHED_FILE

BY_PATIENT, ONE_PATIENT_OUT, PUBLISHED = "patients", "lopo", "published"

# What a fold of a split file may say beside the cases that it tests
LISTS = ("train", "validation")

# Of a case whose size nobody told
NO_SLICE = (0, 0, 2)
CaseEntry = Mapping[str, Any]
# {"fold": 0, "test": [...]}, and "train", "validation" where a file gives them
Fold = dict[str, Any]


def split_by_patient(cases: Sequence[CaseEntry], folds: int, seed: int) -> list[list[str]]:
    """Test case names of each fold, where all cases of a patient stand in one fold and every case in exactly one.

    The folds differ by at most one patient. The same patients, folds and seed give the same split whatever the order of
    the cases; as many folds as patients is leave-one-patient-out.
    """
    patients = patients_of(cases)
    if not 2 <= folds <= len(patients):
        raise InputError(
            f"folds: {folds} asked for {len(patients)} patient(s); expected 2 to the number of patients; "
            "change the number of folds or add patients."
        )
    shuffled = np.random.default_rng(seed).permutation(patients).tolist()
    dealt = [set(shuffled[fold::folds]) for fold in range(folds)]
    return [sorted(case["case"] for case in cases if case["patient_id"] in mine) for mine in dealt]


def tested_cases(cases: Sequence[CaseEntry]) -> list[CaseEntry]:
    """Those that folds by patient hold out: all but single slices, where there are volumes.

    A slice has no volume, no severity and no whole lungs, and in a mean over patients would count as much as a scan. It
    is trained on in every fold. A slice of a patient who has a volume too stays with that.
    """
    of_volumes = {case["patient_id"] for case in cases if is_volume(case)}
    return [case for case in cases if case["patient_id"] in of_volumes] or list(cases)


def is_volume(case: CaseEntry) -> bool:
    """Whether a case is a scan and no single slice."""
    return bool(case.get("size", NO_SLICE)[2] > 1)


def split_one_patient_out(cases: Sequence[CaseEntry]) -> list[list[str]]:
    """Test case names of as many folds as there are patients: fold k tests the k-th patient by name."""
    return [sorted(case["case"] for case in cases if case["patient_id"] == patient) for patient in patients_of(cases)]


def patients_of(cases: Iterable[CaseEntry]) -> list[str]:
    """Every patient once, by name."""
    return sorted({case["patient_id"] for case in cases})


def published_split(cases: Sequence[CaseEntry]) -> list[list[str]]:
    """The five 16/4 splits of Ma et al. 2020 on the public 20-CT set; InputError for any other data set.

    Two patients stand in two folds each (see the note in the file), so this is for comparison with published numbers.
    """
    return split_from_file(cases, PUBLISHED_FILE)


def split_from_file(cases: Sequence[CaseEntry], file: str | Path) -> list[list[str]]:
    """Test case names of each fold of `folds_from_file`."""
    return [fold["test"] for fold in folds_from_file(cases, file)]


def folds_from_file(cases: Sequence[CaseEntry], file: str | Path) -> list[Fold]:
    """The folds of {"folds": [{"fold": 0, "test": [...]}, ...]}, as `make_folds` gives it.

    A fold trains on all cases that it does not hold out, unless it lists those to "train" on; "validation" lists those
    whose loss is followed during training, in place of the tested ones. Raises InputError where a name is no case of
    the data set or is tested twice, where a fold trains on what it tests or validates, and where one of `tested_cases`
    is not tested, unless every fold lists what it trains on.
    """
    try:
        entries = read_json(file)["folds"]
        folds: list[Fold] = [{"fold": entry["fold"], "test": list(entry["test"])} for entry in entries]
        for fold, entry in zip(folds, entries, strict=True):
            fold.update({name: list(entry[name]) for name in LISTS if name in entry})
    except (OSError, JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        shape = '{"folds": [{"fold": 0, "test": ["CASE"]}]}'
        raise InputError(f"{file}: is no split ({error!r}); expected {shape}; correct it.") from error
    numbers = [fold["fold"] for fold in folds]
    if numbers != list(range(len(numbers))):
        raise InputError(f"{file}: numbers its folds {numbers}; expected 0, 1, 2 and so on; correct it.")
    _check_names(cases, folds, file)
    _check_sides(folds, file)
    return folds


def _check_names(cases: Sequence[CaseEntry], folds: Sequence[Fold], file: str | Path) -> None:
    names = {case["case"] for case in cases}
    due = {case["case"] for case in tested_cases(cases)}
    times = Counter(name for fold in folds for name in fold["test"])
    twice = {name for name, count in times.items() if count > 1}
    for wrong, said in (
        (_listed(folds) - names, "names cases that the data set lacks"),
        (set() if _all_listed(folds) else due - times.keys(), "does not test cases of the data set"),
        (twice, "tests cases more than once"),
    ):
        if wrong:
            said_names = ", ".join(sorted(wrong))
            raise InputError(
                f"{file}: {said} ({said_names}); use split {BY_PATIENT!r} or the data set it was made for."
            )


def _check_sides(folds: Sequence[Fold], file: str | Path) -> None:
    for fold in folds:
        for other in ("test", "validation"):
            if both := set(fold.get("train", ())) & set(fold.get(other, ())):
                listed = ", ".join(sorted(both))
                raise InputError(
                    f"{file}: fold {fold['fold']} has cases in both train and {other} ({listed}); expected each in one "
                    "of them; correct it."
                )


def _all_listed(folds: Sequence[Fold]) -> bool:
    """Whether every fold lists what it trains on; the data set may then have cases that no fold uses."""
    return all("train" in fold for fold in folds)


def _listed(folds: Sequence[Fold]) -> set[str]:
    """Every case that a fold names."""
    return {name for fold in folds for key in ("test", *LISTS) for name in fold.get(key, ())}


def make_folds(datalist: Mapping[str, Any], folds: int, split: str = BY_PATIENT, seed: int = 0) -> dict[str, Any]:
    """A cross-validation of a datalist: {"split", "seed", "folds": [{"fold", "test"}], "leaking_patients"}.

    `split` is "patients" (of `tested_cases`), "lopo" (a fold a patient of these), "published" or a JSON file of the
    shape that this gives, whose folds may also have the lists of `folds_from_file`. `seed` is None in the result where
    none was used. `leaking_patients` are tested after training has seen them, which splitting by patient never does.
    """
    cases = datalist["training"]
    if split == BY_PATIENT:
        made = _numbered(split_by_patient(tested_cases(cases), folds, seed))
    elif split == ONE_PATIENT_OUT:
        made = _numbered(split_one_patient_out(tested_cases(cases)))
    elif split == PUBLISHED:
        made = _numbered(published_split(cases))
    elif Path(split).is_file():
        made = folds_from_file(cases, split)
    else:
        known = ", ".join(map(repr, (BY_PATIENT, ONE_PATIENT_OUT, PUBLISHED)))
        raise InputError(f"split: {split!r} is no file and unknown; expected {known} or a file.")
    if len(made) != folds:
        raise InputError(f"split: {split!r} has {len(made)} folds, {folds} asked; set the number to {len(made)}.")
    return {
        "split": split,
        "seed": seed if split == BY_PATIENT else None,
        "folds": made,
        "leaking_patients": _trained_and_tested(cases, made),
    }


def _numbered(split: Sequence[Sequence[str]]) -> list[Fold]:
    return [{"fold": fold, "test": list(test)} for fold, test in enumerate(split)]


def leaking_patients(cases: Sequence[CaseEntry], split: Sequence[Sequence[str]]) -> list[str]:
    """Patients with cases in more than one fold: tested on after training has seen them."""
    return _trained_and_tested(cases, _numbered(split))


def _trained_and_tested(cases: Sequence[CaseEntry], folds: Sequence[Fold]) -> list[str]:
    """Patients that stand on both sides of some fold."""
    patient_of = {case["case"]: case["patient_id"] for case in cases}
    leaking: set[str] = set()
    for fold in folds:
        tested = {patient_of[name] for name in fold["test"]}
        leaking |= tested & {patient_of[name] for name in _trained(patient_of, fold)}
    return sorted(leaking)


def _trained(names: Iterable[str], fold: Fold) -> set[str]:
    """The cases that a fold trains on: those it lists, else all that it does not hold out."""
    return set(fold["train"]) if "train" in fold else set(names) - _listed([fold])


def training_cases(datalist: Mapping[str, Any], folds: Mapping[str, Any], fold: int) -> list[dict[str, Any]]:
    """The entries of a datalist that a fold trains on."""
    chosen = _fold(datalist, folds, fold)
    return _entries(datalist, _trained((entry["case"] for entry in datalist["training"]), chosen))


def validation_cases(datalist: Mapping[str, Any], folds: Mapping[str, Any], fold: int) -> list[dict[str, Any]]:
    """The entries of a datalist whose loss a fold follows during training: those it lists, else the tested ones.

    Of the training on all those that it trains on, since no other is there.
    """
    chosen = _fold(datalist, folds, fold)
    followed = chosen["validation"] if "validation" in chosen else chosen["test"]
    return _entries(datalist, followed) if followed else training_cases(datalist, folds, fold)


def held_out_cases(datalist: Mapping[str, Any], folds: Mapping[str, Any], fold: int) -> list[dict[str, Any]]:
    """The entries of a datalist that a fold is tested on."""
    return _entries(datalist, _fold(datalist, folds, fold)["test"])


def _entries(datalist: Mapping[str, Any], names: Iterable[str]) -> list[dict[str, Any]]:
    wanted = set(names)
    return [entry for entry in datalist["training"] if entry["case"] in wanted]


def _fold(datalist: Mapping[str, Any], folds: Mapping[str, Any], fold: int) -> Fold:
    every = folds["folds"]
    if fold == len(every):
        # The number after the last fold's: a training on all, which holds nothing out
        return {"fold": fold, "test": []}
    if not 0 <= fold < len(every):
        raise InputError(f"fold: {fold} came; expected 0 to {len(every) - 1}; choose one of them.")
    planned, cases = _listed(every), datalist["training"]
    differing = planned - {case["case"] for case in cases}
    # A case that came later would be trained on in every fold and tested in none, unless the folds list their cases.
    if not _all_listed(every):
        differing |= {case["case"] for case in tested_cases(cases)} - planned
    if differing:
        listed = ", ".join(sorted(differing))
        raise InputError(f"folds: made for another data set (not in both: {listed}); make the folds again.")
    return every[fold]
