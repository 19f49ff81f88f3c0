"""How far a scan is from a model's training, by hand."""

import json
import math

import numpy as np
import pytest

from evaluation.statistics.unlike_training import (
    Familiarity,
    TraitLimits,
    held_out_distances,
    limits_of,
    read_limits,
    unlike_flags,
    write_limits,
)
from pipeline.core.errors import InputError
from pipeline.core.scan_traits import (
    HELD_OUT,
    QUANTILES,
    TRAINING,
    Distances,
    Familiar,
    Traits,
    folds_of,
    read_traits,
    write_traits,
)


def traits(deep, level=0.0):
    return Traits.of(deep, [level] * len(QUANTILES))


def rows(**dice):
    """A row of one structure for each case, a patient of its own, all in fold 0."""
    return [
        {"case": case, "fold": 0, "patient_id": case, "structure": "infection", "dice": value}
        for case, value in dice.items()
    ]


def test_the_distances_by_hand():
    # Spreads of 2 and 0 in two channels: root mean square 1.4142, which is added to each
    known = Familiar.of([traits([-math.sqrt(2), 5.0], 1.0), traits([math.sqrt(2), 5.0], 3.0)])
    found = known.distances(traits([2 + math.sqrt(2), 5.0], 2.5))
    assert found.deep == pytest.approx(math.sqrt(0.5), abs=1e-5)
    assert found.levels == pytest.approx(0.5)


def test_the_grey_levels_of_a_scan_in_which_nothing_was_found_are_unknown():
    known = Familiar.of([traits([0.0]), traits([1.0])])
    assert math.isnan(known.distances(Traits((0.5,), ())).levels)


def test_training_scans_that_are_all_alike_say_nothing():
    assert Familiar.of([traits([1.0]), traits([1.0])]).distances(traits([9.0])).deep == 0


def test_the_limits_are_those_of_the_farthest_patient_that_was_segmented_well():
    distances = {(case, 0): Distances(deep, deep / 10) for case, deep in zip("abcde", (1, 2, 3, 4, 99), strict=True)}
    found = limits_of(distances, rows(a=0.9, b=0.8, c=0.7, d=0.6, e=0.59))
    assert found == TraitLimits(4, 0.4, 4)


def test_of_many_patients_the_farthest_is_passed_over():
    cases = [f"case{i}" for i in range(39)]
    distances = {(case, 0): Distances(i, 0.0) for i, case in enumerate(cases)}
    # The 38th of 39: .95 of 40
    assert limits_of(distances, rows(**dict.fromkeys(cases, 0.9))).deep == 37


def test_too_few_patients_give_no_limit():
    distances = {(case, 0): Distances(1, 1) for case in "abc"}
    assert limits_of(distances, rows(a=0.9, b=0.9, c=0.9)) is None


def test_no_patient_has_a_part_in_its_own_limit():
    distances = {(case, 0): Distances(deep, math.nan) for case, deep in zip("abcde", (1, 2, 3, 4, 8), strict=True)}
    flags = unlike_flags(distances, rows(a=0.9, b=0.9, c=0.9, d=0.9, e=0.9))
    assert [flags[case, 0].value for case in "abcde"] == [1 / 8, 2 / 8, 3 / 8, 4 / 8, 8 / 4]
    assert [flags[case, 0].raised for case in "abcde"] == [False] * 4 + [True]


def test_the_distance_that_says_more_counts():
    limits = TraitLimits(2, 0.5, 9)
    assert limits.times(Distances(1, 1)) == 2
    assert limits.times(Distances(5, 0.5)) == 2.5
    assert limits.times(Distances(1, math.nan)) == 0.5
    assert math.isnan(TraitLimits(0, math.nan, 9).times(Distances(1, 1)))


def test_of_several_networks_the_mean_is_taken():
    known = Familiar.of([traits([0.0]), traits([2.0])])
    networks = [(known, TraitLimits(1, 1, 5)), (known, TraitLimits(0.5, 1, 5))]
    far = known.distances(traits([9.0])).deep
    assert Familiarity(networks).flag([traits([9.0])] * 2).value == pytest.approx((far + 2 * far) / 2)


def test_a_network_that_was_not_asked_leaves_the_flag_undefined():
    known = Familiar.of([traits([0.0]), traits([2.0])])
    flag = Familiarity([(known, TraitLimits(1, 1, 5))]).flag([])
    assert (flag.value, flag.raised) == (None, False)


def test_what_folds_keep_gives_the_distances_of_their_held_out_cases(tmp_path):
    training = {"a": traits([0.0], 1.0), "b": traits([2.0], 3.0)}
    write_traits(tmp_path / "fold1", {TRAINING: training, HELD_OUT: {"c": traits([3.0], 2.0)}})
    known = Familiar.of(list(training.values()))
    assert held_out_distances(folds_of(tmp_path)) == {("c", 1): known.distances(traits([3.0], 2.0))}
    assert read_traits(tmp_path / "fold1")[TRAINING] == training


@pytest.fixture(autouse=True)
def _folder(tmp_path):
    (tmp_path / "fold1").mkdir()


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "fold1" / "scan_traits.json").write_text(json.dumps({"training": [1]}))
    with pytest.raises(InputError, match=r"fold1/scan_traits.json: is not as it was written"):
        read_traits(tmp_path / "fold1")
    (tmp_path / "unlike_training.json").write_text(json.dumps({"deep": 1}))
    with pytest.raises(InputError, match=r"unlike_training.json: is not as it was written .*run `make evaluate`"):
        read_limits(tmp_path)


def test_limits_are_kept_and_go(tmp_path):
    write_limits(tmp_path, TraitLimits(1.5, 0.25, 7))
    assert read_limits(tmp_path) == TraitLimits(1.5, 0.25, 7)
    write_limits(tmp_path, None)
    assert read_limits(tmp_path) is None


def test_numbers_are_kept_with_six_digits():
    assert Traits.of(np.array([1 / 3]), []).deep == (0.333333,)
