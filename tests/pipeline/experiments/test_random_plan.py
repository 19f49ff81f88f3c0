"""A random part of the slices is tested on, and the others are folds."""

from __future__ import annotations

import pytest
from slice_set_makers import write_cases, write_png_slices, write_set_one, write_set_two

from pipeline.core.errors import InputError
from pipeline.experiments.plan import Plan, leaking_patients
from pipeline.experiments.random_plan import random_plan

FOLDS = ["F1", "F2", "F3", "F4", "F5"]


def plan_of(data, sets=("III",), test_share=0.3, by_patient=False, **more) -> Plan:
    return random_plan(data, "window", by_patient, sets, test_share, folds=5, **more)


def slices_of(plan, parts) -> list[tuple[str, int]]:
    return [(piece.stack.name, number) for piece in plan.of(parts) for number in piece.slices]


@pytest.fixture
def data(tmp_path):
    """12 x 10 slices of set III and 4 x 5 of set II."""
    write_set_two(tmp_path / "medseg", volumes=4, count=5)
    write_cases(tmp_path / "set3", cases=12, count=10)
    return tmp_path


def test_the_shares_are_those_that_were_asked_for(data):
    plan = plan_of(data)
    assert [plan.slices([part]) for part in (*FOLDS, "test")] == [17, 17, 16, 17, 17, 36]


def test_a_hundred_slices_are_72_to_train_18_to_validate_and_10_to_test(tmp_path):
    plan = plan_of(write_set_one(tmp_path, count=100), ("I",), 0.1)
    assert {(plan.slices(model.train), plan.slices(model.validation)) for model in plan.models} == {(72, 18)}
    assert plan.slices(plan.test) == 10


def test_every_slice_is_in_one_part(data):
    plan = plan_of(data)
    every = slices_of(plan, (*FOLDS, "test"))
    assert len(every) == len(set(every)) == 120


def test_every_fold_is_validated_on_once(data):
    models = plan_of(data).models
    assert [model.validation for model in models] == [(name,) for name in FOLDS]
    assert all(sorted((*model.train, *model.validation)) == FOLDS for model in models)


def test_nothing_is_trained_on_that_is_tested(data):
    plan = plan_of(data)
    tested = set(slices_of(plan, plan.test))
    assert all(tested.isdisjoint(slices_of(plan, (*model.train, *model.validation))) for model in plan.models)


def test_each_set_is_cut_by_itself(data):
    plan = plan_of(data, ("II", "III"))
    tested = [name.startswith("set2") for name, _ in slices_of(plan, plan.test)]
    assert (tested.count(True), tested.count(False)) == (6, 36)


def test_slices_of_one_patient_stand_on_both_sides(data):
    plan = plan_of(data)
    assert leaking_patients(plan, plan)


def test_by_patient_nobody_stands_on_both_sides(data):
    plan = plan_of(data, by_patient=True)
    assert leaking_patients(plan, plan) == []


def test_by_patient_the_shares_are_as_near_as_whole_patients_allow(data):
    plan = plan_of(data, by_patient=True)
    assert sorted(plan.slices([part]) for part in FOLDS) == [10, 20, 20, 20, 20]
    assert plan.slices(plan.test) == 30


@pytest.mark.parametrize("by_patient", [False, True])
def test_the_same_seed_gives_the_same_parts(data, by_patient):
    one, other = (plan_of(data, by_patient=by_patient, seed=3) for _ in range(2))
    assert one == other


def test_another_seed_draws_other_slices(data):
    one, other = (plan_of(data, seed=seed) for seed in (0, 1))
    assert slices_of(one, one.test) != slices_of(other, other.test)


def test_only_slices_with_the_wanted_codes_count(tmp_path):
    write_set_one(tmp_path / "medseg", count=10)
    with_infection = write_png_slices(tmp_path / "other" / "set1", count=10)
    assert plan_of(with_infection.parent, ("I",), codes=(3,)).slices([*FOLDS, "test"]) == 10
    with pytest.raises(InputError, match="has 0 labelled slices"):
        plan_of(tmp_path, ("I",), codes=(2,))


def test_too_few_patients_are_an_error(tmp_path):
    with pytest.raises(InputError, match=r"has 30 labelled slices of 3 patient\(s\); expected enough for 5 folds"):
        plan_of(write_cases(tmp_path, cases=3, count=10), by_patient=True)
