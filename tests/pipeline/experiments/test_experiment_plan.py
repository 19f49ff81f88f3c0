"""Which slices the paper's experiments train and test on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from slice_set_makers import write, write_cases, write_png_slices, write_set_one, write_set_two

from pipeline.core.errors import InputError
from pipeline.data.slice_sets import Stack
from pipeline.experiments.plan import PARTS, equal_parts, leaking_patients, make_plan, whole_patients


def kept(*lengths: int, patients: str = "abcdefgh") -> list:
    """A stack for each length; stack k is of the k-th patient."""
    return [
        (Stack(f"case_{k}", patients[k], Path(f"{k}.nii.gz"), ()), tuple(range(length)))
        for k, length in enumerate(lengths)
    ]


def lengths(parts: list) -> list[int]:
    return [sum(len(slices) for _, slices in part) for part in parts]


@pytest.fixture
def data(tmp_path):
    """All three sets in one folder: 10 slices, 2 x 3 slices, and 5 cases of 4 slices."""
    write_set_one(tmp_path)
    write_set_two(tmp_path)
    write_cases(tmp_path / "set3")
    return tmp_path


def test_four_parts_differ_by_at_most_one_slice():
    assert lengths(equal_parts(kept(5, 1, 8, 3, 9))) == [6, 7, 6, 7]


def test_parts_are_contiguous_and_a_case_on_a_cut_stands_in_two():
    parts = equal_parts(kept(3, 3, 2))
    assert [[(stack.name, slices) for stack, slices in part] for part in parts] == [
        [("case_0", (0, 1))],
        [("case_0", (2,)), ("case_1", (0,))],
        [("case_1", (1, 2))],
        [("case_2", (0, 1))],
    ]


def test_parts_by_patient_hold_whole_patients():
    parts = whole_patients(kept(4, 4, 4, 4, 4, patients="abcda"))
    held = [{stack.patient_id for stack, _ in part} for part in parts]
    assert sorted(map(sorted, held)) == [["a"], ["b"], ["c"], ["d"]]


def test_parts_by_patient_are_as_equal_as_can_be():
    assert sorted(lengths(whole_patients(kept(9, 8, 7, 6, 4, 3, 2, 1)))) == [10, 10, 10, 10]


def test_parts_by_patient_are_the_same_each_time():
    assert whole_patients(kept(9, 8, 7, 6, 5)) == whole_patients(kept(9, 8, 7, 6, 5))


def test_experiment_1_trains_on_the_first_nine_tenths_of_set_one(data):
    plan = make_plan(1, data, "paper")
    assert [(piece.case, piece.slices) for piece in plan.of(["train"])] == [("set1", tuple(range(9)))]


def test_experiment_1_tests_on_set_two(data):
    plan = make_plan(1, data, "paper")
    assert plan.cases(plan.test) == ["set2_1", "set2_2"]


def test_experiment_2_trains_on_two_parts_validates_on_the_third_and_tests_on_the_fourth(data):
    plan = make_plan(2, data, "paper")
    assert [(model.train, model.validation) for model in plan.models] == [
        (("F2", "F3"), ("F1",)),
        (("F1", "F3"), ("F2",)),
        (("F1", "F2"), ("F3",)),
    ]
    assert plan.test == ("F4",)


def test_the_parts_of_experiment_2_are_all_kept_slices_once(data):
    plan = make_plan(2, data, "paper")
    assert [plan.slices([part]) for part in PARTS] == [5, 5, 5, 5]
    assert sorted((piece.stack.name, number) for piece in plan.pieces for number in piece.slices) == [
        (f"case_{case}", number) for case in range(5) for number in range(4)
    ]


def test_a_case_of_a_part_is_named_after_it(data):
    assert make_plan(2, data, "paper").cases(["F1"]) == ["case_0_F1", "case_1_F1"]


def test_patients_on_both_sides_of_a_cut_are_named(data):
    plan = make_plan(2, data, "paper")
    assert leaking_patients(plan, plan) == ["case_3"]


def test_by_patient_nobody_is_on_both_sides(data):
    plan = make_plan(2, data, "paper", by_patient=True)
    assert leaking_patients(plan, plan) == []


def test_experiment_3_tests_on_set_two_and_trains_nothing(data):
    plan = make_plan(3, data, "paper")
    assert (plan.cases(plan.test), plan.models) == (["set2_1", "set2_2"], ())


def test_a_split_lists_who_is_trained_validated_and_tested_on(data):
    plan = make_plan(2, data, "paper")
    (fold,) = plan.split(("F1", "F2"), ("F3",))["folds"]
    assert fold["fold"] == 0
    assert {name: {case[-2:] for case in fold[name]} for name in ("train", "validation", "test")} == {
        "train": {"F1", "F2"},
        "validation": {"F3"},
        "test": {"F4"},
    }


def test_a_slice_needs_more_than_100_labelled_pixels(tmp_path):
    write_cases(tmp_path / "set3")
    codes = np.zeros((4, 20, 20), np.uint8)
    for number, pixels in enumerate((0, 100, 101, 150)):
        codes[number].ravel()[:pixels] = 1
    write(tmp_path / "set3" / "labels" / "case_0.nii.gz", codes, (0.8, 0.8, 5.0))
    (piece,) = (piece for piece in make_plan(2, tmp_path, "paper").pieces if piece.stack.name == "case_0")
    assert piece.slices == (2, 3)


def test_single_slices_can_stand_in_for_set_one(tmp_path):
    write_png_slices(write_set_two(tmp_path) / "set1", count=10)
    plan = make_plan(1, tmp_path, "paper")
    assert plan.cases(["train"]) == [f"set1_slice_{number}" for number in range(9)]


def test_too_few_slices_for_four_parts_are_an_error(tmp_path):
    with pytest.raises(InputError, match=r"has 3 slices with more than 100 labelled pixels, of 1 patient"):
        make_plan(2, write_cases(tmp_path, cases=1, count=3), "paper")


def test_too_few_patients_for_four_parts_are_an_error(tmp_path):
    with pytest.raises(InputError, match=r"of 3 patient\(s\); expected enough for the four parts"):
        make_plan(2, write_cases(tmp_path, cases=3), "paper", by_patient=True)


def test_another_number_of_an_experiment_is_an_error(data):
    with pytest.raises(InputError, match="EXP is 4, expected one of: 1, 2, 3"):
        make_plan(4, data, "paper")
