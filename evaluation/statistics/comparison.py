"""Cross-validations of the same cases, paired patient by patient: read, checked and compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from evaluation.measures.cases import Row, read_metrics_csv
from evaluation.statistics.intervals import Estimate, estimate, patient_means
from evaluation.statistics.paired import SignedRank, holm, signed_rank, smallest_p
from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.core.labels import in_order
from pipeline.core.run_files import METRICS_FILE, SCORED

# Case, fold, structure
Key = tuple[str, int, str]
Rows = Mapping[Key, Row]
# Structure, first run, second run
Pair = tuple[str, str, str]


@dataclass(frozen=True)
class Comparison:
    """Two runs on one structure, `first` less `second`; a pair is a patient.

    Args:
        cases: with a defined metric in both runs, of which the pairs were made.
        left_out: cases where either is undefined.
        median_difference: over the pairs.
        test: the signed-rank test of the pairs.
        p_holm: corrected over the family that was compared together; None where nothing differs.
        smallest_p_holm: the smallest that `p_holm` could have become with as many differing pairs.
    """

    first: str
    second: str
    metric: str
    structure: str
    cases: int
    left_out: int
    median_difference: Estimate
    test: SignedRank
    p_holm: float | None
    smallest_p_holm: float


def read_runs(paths: Sequence[str | Path], names: Mapping[Path, str] | None = None) -> dict[str, Rows]:
    """Name of a run -> its rows by case, fold and structure, of cross-validations that tested the same cases.

    Label maps that were made elsewhere, as `pipeline.runs.score_labels` scores them, know no folds: each of their cases
    stands in the fold in which the cross-validations tested it, and those that these did not test are left out. `names`
    are what they are called, by folder, where that is not what their scores say. Raises InputError where a file is
    missing, empty or repeats a case, and where runs differ in their cases, folds, patients or references.
    """
    files = [path / METRICS_FILE if path.is_dir() else path for path in map(Path, paths)]
    called = _called(files, names or {})
    runs = dict(zip(called, [_read(file) for file in files], strict=True))
    outside = {name for name, file in zip(called, files, strict=True) if is_outside(file.parent)}
    inside = {name: rows for name, rows in runs.items() if name not in outside}
    (first, expected), *others = (inside or runs).items()
    for name, found in others if inside else ():
        check_same_cases(first, expected, name, found)
    if inside:
        folds = {case: fold for case, fold, _ in expected}
        runs |= {name: _in_folds(runs[name], folds, name, first) for name in outside}
    for name in sorted(outside - {first}):
        check_same_references(first, expected, name, runs[name])
    return runs


def is_outside(folder: Path) -> bool:
    """Whether a run's folder has scores of label maps that were made elsewhere."""
    return (folder / SCORED).is_file()


def _called(files: Sequence[Path], names: Mapping[Path, str]) -> list[str]:
    """What each run is called: by its folder; where its label maps were made elsewhere, by what made them."""
    by_path = run_names(files)
    inside = [file for file in files if not is_outside(file.parent)]
    if len(inside) == len(files):
        return by_path
    own = dict(zip(inside, run_names(inside) if inside else (), strict=True))
    called = [
        own[file] if file in own else names.get(file.parent) or str(read_json(file.with_name(SCORED))["name"])
        for file in files
    ]
    return called if len({*called}) == len(called) else by_path


def _in_folds(rows: Rows, folds: Mapping[str, int], name: str, other: str) -> Rows:
    """Rows of the cases that are in folds, each in its own; InputError where there is none."""
    found = {(case, folds[case], structure): row for (case, _, structure), row in rows.items() if case in folds}
    if not found:
        raise InputError(f"{name}: has scores of none of the cases of {other}; score its labels of the same DATA.")
    return {key: {**row, "fold": key[1]} for key, row in found.items()}


def run_names(files: Sequence[Path]) -> list[str]:
    """What tells the paths apart: `unet_3d` and `enet` of runs/unet_3d/cv/metrics.csv and runs/enet/cv/metrics.csv."""
    parts = [file.absolute().parts for file in files]
    if len(set(parts)) < len(parts):
        raise InputError("RUN: the same run was given twice; expected different ones; leave one out.")
    if len(parts) == 1:
        return [str(files[0].parent)]
    start = _common(parts)
    end = _common([path[start:][::-1] for path in parts])
    # One path may go on where another ends: its name is then empty, and the whole path takes its place
    return ["/".join(path[start : len(path) - end]) or str(file) for path, file in zip(parts, files, strict=True)]


def _common(paths: Sequence[Sequence[str]]) -> int:
    """With how many equal parts all paths begin."""
    shortest = min(map(len, paths))
    return next((place for place in range(shortest) if len({path[place] for path in paths}) > 1), shortest)


def _read(file: Path) -> Rows:
    rows = read_metrics_csv(file)
    if not rows:
        raise InputError(f"{file}: has no rows; expected one for each case and structure; evaluate again.")
    return keyed(rows, str(file))


def keyed(rows: Iterable[Row], where: str) -> Rows:
    """The rows by case, fold and structure; InputError, naming `where` they are from, for a second one of a key."""
    found: dict[Key, Row] = {}
    for row in rows:
        key = (row["case"], row["fold"], row["structure"])
        if key in found:
            raise InputError(f"{where}: has two rows of case {key[0]}, fold {key[1]}, {key[2]}; remove one.")
        found[key] = row
    return found


def check_same_cases(first: str, expected: Rows, second: str, found: Rows) -> None:
    """InputError, naming the first case, where two runs did not test the same cases in the same folds."""
    advice = "compare cross-validations of one data set with one split"
    # Networks of other label maps score other structures, but the same ones of every case
    both = set.intersection(*({structure for *_, structure in rows} for rows in (expected, found)))
    differing = sorted(key for key in expected.keys() ^ found.keys() if key[2] in both)
    if differing:
        case, _, structure = differing[0]
        tested = [f"{_folds(rows, case, structure)} of {name}" for name, rows in ((first, expected), (second, found))]
        raise InputError(f"case {case}: its {structure} is tested in {' and in '.join(tested)}; {advice}.")
    check_same_references(first, expected, second, found)


def check_same_references(first: str, expected: Rows, second: str, found: Rows) -> None:
    """InputError, naming the first case, where a case that two runs have is of another patient or reference."""
    advice = "compare scores of one data set"
    for key in sorted(expected.keys() & found.keys()):
        mine, theirs = expected[key], found[key]
        if mine["patient_id"] != theirs["patient_id"]:
            patients = f"{mine['patient_id']} in {first} and {theirs['patient_id']} in {second}"
            raise InputError(f"case {key[0]}: is of patient {patients}; {advice}.")
        if not math.isclose(mine["reference_ml"], theirs["reference_ml"], rel_tol=1e-6):
            volumes = f"{mine['reference_ml']:.3f} ml in {first} and {theirs['reference_ml']:.3f} ml in {second}"
            raise InputError(f"case {key[0]}: the reference of {key[2]} has {volumes}; {advice} and the same labels.")


def _folds(rows: Rows, case: str, structure: str) -> str:
    """The folds that test a structure of a case, in words."""
    folds = [fold for name, fold, found in sorted(rows) if (name, found) == (case, structure)]
    return f"fold {', '.join(map(str, folds))}" if folds else "no fold"


def shared_structures(runs: Mapping[str, Rows], wanted: Sequence[str] = ()) -> list[str]:
    """The structures that every run scored, or those wanted of them; InputError where a wanted one or all are missing.

    Networks of different label maps share few: one that finds the infection alone has no lungs to compare.
    """
    shared = set.intersection(*({structure for *_, structure in rows} for rows in runs.values()))
    if missing := [name for name in wanted if name not in shared]:
        offered = ", ".join(in_order(shared)) or "none"
        raise InputError(f"--structure: {missing[0]} is not in every run; expected one of: {offered}.")
    if not shared:
        raise InputError("RUN: these runs have no structure in common; compare networks of one label map.")
    return in_order(wanted or shared)


def family(runs: Mapping[str, Rows], structures: Sequence[str], against: str = "") -> list[Pair]:
    """What is compared together: every two runs on every structure that both scored.

    With `against`, the name of a run, it is that run with each of the others alone.
    """
    scored = {name: {structure for *_, structure in rows} for name, rows in runs.items()}
    pairs = [(against, name) for name in runs if name != against] if against else [*combinations(runs, 2)]
    return [
        (structure, first, second)
        for structure in structures
        for first, second in pairs
        if structure in scored[first] & scored[second]
    ]


def patient_differences(runs: Mapping[str, Rows], pair: Pair, metric: str) -> list[float]:
    """First less second of each patient with a defined metric in both."""
    structure, first, second = pair
    return [*patient_means(case_differences(runs[first], runs[second], metric, structure)).values()]


def tested(runs: Mapping[str, Rows], metric: str, pairs: Sequence[Pair]) -> list[tuple[SignedRank, float | None]]:
    """The signed-rank test of each pair, and its p corrected over all of them."""
    tests = [signed_rank(patient_differences(runs, pair, metric)) for pair in pairs]
    return [*zip(tests, holm([test.p for test in tests]), strict=True)]


def compare(runs: Mapping[str, Rows], metric: str, structures: Sequence[str], against: str = "") -> list[Comparison]:
    """Every pair of the `family`, which Holm's correction is over."""
    pairs = family(runs, structures, against)
    tests = tested(runs, metric, pairs)
    # Holm's correction grows with each p: no outcome of the same pairs could have come below this
    smallest = holm([smallest_p(test.differing) if test.differing else None for test, _ in tests])
    found = []
    for (structure, first, second), (test, corrected), limit in zip(pairs, tests, smallest, strict=True):
        differences = case_differences(runs[first], runs[second], metric, structure)
        undefined = sum(math.isnan(difference) for _, difference in differences)
        found.append(
            Comparison(
                first,
                second,
                metric,
                structure,
                len(differences) - undefined,
                undefined,
                estimate(patient_means(differences).values(), np.median),
                test,
                corrected,
                1.0 if limit is None else limit,
            )
        )
    return found


def case_differences(first: Rows, second: Rows, metric: str, structure: str) -> list[tuple[str, float]]:
    """(patient, first less second) of each case, by case; nan where the metric is undefined in either."""
    keys = sorted(key for key in first if key[2] == structure and key in second)
    pairs = [(first[key]["patient_id"], first[key][metric], second[key][metric]) for key in keys]
    # Two infinite distances are equal, and their difference would be nan
    return [(patient_id, 0.0 if mine == theirs else mine - theirs) for patient_id, mine, theirs in pairs]
