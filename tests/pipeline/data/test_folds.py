"""No patient stands on both sides of a fold, and every case is tested once."""

from __future__ import annotations

import json

import pytest

from pipeline.core.errors import InputError
from pipeline.data import folds
from pipeline.folders.public_set import PUBLIC_PATIENTS, PUBLISHED_FILE

PUBLIC_CASES = [name for entry in json.loads(PUBLISHED_FILE.read_text())["folds"] for name in entry["test"]]


def entries(*cases: str) -> list[dict]:
    """`p1_a` is a case of patient p1."""
    return [{"case": case, "patient_id": case.split("_")[0]} for case in cases]


def public_set(*, without: str = "") -> dict:
    names = [name for name in PUBLIC_CASES if name != without]
    return {"training": [{"case": name, "patient_id": PUBLIC_PATIENTS.get(name, name)} for name in names]}


ELEVEN = entries(*(f"p{patient}_{series}" for patient in range(7) for series in "ab"[: 1 + patient % 2]))


@pytest.mark.parametrize("seed", range(5))
def test_every_case_is_tested_exactly_once(seed):
    split = folds.split_by_patient(ELEVEN, 3, seed)
    assert sorted(name for test in split for name in test) == sorted(case["case"] for case in ELEVEN)


@pytest.mark.parametrize("seed", range(5))
def test_no_patient_stands_in_two_folds(seed):
    assert folds.leaking_patients(ELEVEN, folds.split_by_patient(ELEVEN, 3, seed)) == []


def sized(depth: int, *cases: str) -> list[dict]:
    return [{**case, "size": [64, 64, depth]} for case in entries(*cases)]


def test_single_slices_beside_volumes_are_trained_on_in_every_fold_and_tested_in_none():
    volumes, slices = sized(40, "p0_a", "p1_a", "p2_a"), sized(1, "p7_a", "p8_a")
    datalist = {"training": volumes + slices}
    made = folds.make_folds(datalist, 3)
    assert sorted(name for fold in made["folds"] for name in fold["test"]) == ["p0_a", "p1_a", "p2_a"]
    for fold in range(3):
        learnt = {case["case"] for case in folds.training_cases(datalist, made, fold)}
        assert {"p7_a", "p8_a"} < learnt
        assert not learnt & set(made["folds"][fold]["test"])


def test_a_patient_left_out_is_one_with_a_volume():
    made = folds.make_folds({"training": sized(40, "p0_a", "p1_a") + sized(1, "p7_a")}, 2, "lopo")
    assert [fold["test"] for fold in made["folds"]] == [["p0_a"], ["p1_a"]]


@pytest.mark.parametrize("slices_tested", [[], ["p8_a"]])
def test_a_split_file_need_not_test_single_slices_beside_volumes_and_may(tmp_path, slices_tested):
    file = tmp_path / "split.json"
    file.write_text(
        json.dumps({"folds": [{"fold": 0, "test": ["p0_a", *slices_tested]}, {"fold": 1, "test": ["p1_a"]}]})
    )
    datalist = {"training": sized(40, "p0_a", "p1_a") + sized(1, "p7_a", "p8_a")}
    made = folds.make_folds(datalist, 2, str(file))
    learnt = {case["case"] for case in folds.training_cases(datalist, made, 0)}
    assert learnt == {"p1_a", "p7_a", "p8_a"} - {*slices_tested}


def test_a_slice_of_a_patient_with_a_volume_stays_with_it():
    datalist = {"training": sized(40, "p0_a", "p1_a") + sized(1, "p0_b")}
    made = folds.make_folds(datalist, 2)
    assert ["p0_a", "p0_b"] in [fold["test"] for fold in made["folds"]]
    assert made["leaking_patients"] == []


def test_slices_alone_are_tested():
    slices = sized(1, "p0_a", "p1_a", "p2_a")
    made = folds.make_folds({"training": slices}, 3)
    assert sorted(name for fold in made["folds"] for name in fold["test"]) == ["p0_a", "p1_a", "p2_a"]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7])
def test_folds_differ_by_at_most_one_patient(count):
    patients = [len({name.split("_")[0] for name in test}) for test in folds.split_by_patient(ELEVEN, count, 0)]
    assert max(patients) - min(patients) <= 1


def test_the_same_seed_gives_the_same_split_in_any_order_of_cases():
    assert folds.split_by_patient(ELEVEN, 3, 4) == folds.split_by_patient(ELEVEN[::-1], 3, 4)


def test_another_seed_gives_another_split():
    assert folds.split_by_patient(ELEVEN, 3, 4) != folds.split_by_patient(ELEVEN, 3, 5)


def test_as_many_folds_as_patients_leave_one_patient_out():
    split = folds.split_by_patient(ELEVEN, 7, 0)
    assert sorted(split)[:2] == [["p0_a"], ["p1_a", "p1_b"]]


@pytest.mark.parametrize("count", [-1, 0, 1, 8])
def test_a_number_of_folds_that_cannot_be_is_an_error(count):
    with pytest.raises(InputError, match=f"folds: {count} asked for 7 patient"):
        folds.split_by_patient(ELEVEN, count, 0)


def test_the_published_split_tests_four_cases_a_fold():
    split = folds.published_split(public_set()["training"])
    assert [len(test) for test in split] == [4] * 5
    assert "coronacases_008" in split[0]


def test_the_published_split_says_which_cases_are_missing():
    with pytest.raises(InputError, match=r"names cases that the data set lacks \(coronacases_003\)"):
        folds.published_split(public_set(without="coronacases_003")["training"])


def test_the_published_split_leaks_two_patients():
    made = folds.make_folds(public_set(), 5, "published")
    assert made["leaking_patients"] == ["radiopaedia_10", "radiopaedia_29"]


def test_the_public_set_split_by_patient_leaks_none():
    assert folds.make_folds(public_set(), 5, "patients", seed=3)["leaking_patients"] == []


def test_folds_survive_a_file(tmp_path):
    made = folds.make_folds({"training": ELEVEN}, 3, seed=2)
    (tmp_path / "mine.json").write_text(json.dumps(made))
    again = folds.make_folds({"training": ELEVEN}, 3, str(tmp_path / "mine.json"))
    assert again["folds"] == made["folds"]


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        ([["p1_a"], ["p2_a"], ["p3_a"]], "lacks .p3_a"),
        ([["p1_a"], []], "does not test cases of the data set .p2_a"),
        ([["p1_a", "p2_a"], ["p2_a"]], "more than once .p2_a"),
    ],
)
def test_a_split_of_ones_own_tests_every_case_once(tmp_path, tests, said):
    content = {"folds": [{"fold": fold, "test": test} for fold, test in enumerate(tests)]}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=said):
        folds.split_from_file(entries("p1_a", "p2_a"), tmp_path / "mine.json")


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"folds": [{"test": []}]}', '{"folds": [{"fold": 1, "test": []}]}']
)
def test_a_file_that_is_no_split_is_an_error(tmp_path, content):
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(InputError, match=r"mine\.json: "):
        folds.split_from_file(ELEVEN, tmp_path / "mine.json")


def test_leaving_one_patient_out_has_a_fold_a_patient_by_name():
    split = folds.split_one_patient_out(entries("p2_a", "p1_a", "p1_b"))
    assert split == [["p1_a", "p1_b"], ["p2_a"]]


def test_leaving_one_patient_out_is_the_same_with_every_seed():
    datalist = {"training": entries("p1_a", "p2_a", "p3_a")}
    assert folds.make_folds(datalist, 3, "lopo", seed=1) == folds.make_folds(datalist, 3, "lopo", seed=2)


def test_leaving_one_patient_out_has_as_many_folds_as_patients():
    with pytest.raises(InputError, match="'lopo' has 2 folds, 5 asked; set the number to 2"):
        folds.make_folds({"training": entries("p1_a", "p2_a")}, 5, "lopo")


def test_an_unknown_split_is_an_error():
    with pytest.raises(InputError, match="'random' is no file and unknown"):
        folds.make_folds({"training": ELEVEN}, 3, "random")


def test_another_number_of_folds_than_published_is_an_error():
    with pytest.raises(InputError, match="has 5 folds, 4 asked"):
        folds.make_folds(public_set(), 4, "published")


def test_training_and_held_out_cases_share_no_patient_and_are_all():
    datalist = {"training": ELEVEN}
    made = folds.make_folds(datalist, 3)
    training, tested = folds.training_cases(datalist, made, 1), folds.held_out_cases(datalist, made, 1)
    assert not {case["patient_id"] for case in training} & {case["patient_id"] for case in tested}
    assert len(training) + len(tested) == len(ELEVEN)


def test_the_number_after_the_last_folds_is_a_training_on_all():
    datalist = {"training": ELEVEN}
    made = folds.make_folds(datalist, 3)
    assert folds.training_cases(datalist, made, 3) == folds.validation_cases(datalist, made, 3) == ELEVEN
    assert folds.held_out_cases(datalist, made, 3) == []


@pytest.mark.parametrize("fold", [-1, 4])
def test_a_fold_that_is_not_there_is_an_error(fold):
    made = folds.make_folds({"training": ELEVEN}, 3)
    with pytest.raises(InputError, match=f"fold: {fold} came; expected 0 to 2"):
        folds.held_out_cases({"training": ELEVEN}, made, fold)


def test_folds_of_a_data_set_that_has_grown_are_an_error():
    made = folds.make_folds({"training": ELEVEN}, 3)
    with pytest.raises(InputError, match="not in both: new_a"):
        folds.training_cases({"training": [*ELEVEN, *entries("new_a")]}, made, 0)


def split_file(folder, *entries_of_folds: dict):
    content = {"folds": [{"fold": fold, **entry} for fold, entry in enumerate(entries_of_folds)]}
    (folder / "mine.json").write_text(json.dumps(content))
    return str(folder / "mine.json")


FOUR = {"training": entries("p1_a", "p1_b", "p2_a", "p3_a")}


def names(cases: list[dict]) -> list[str]:
    return [case["case"] for case in cases]


def test_a_fold_trains_on_what_its_file_lists(tmp_path):
    made = folds.make_folds(FOUR, 1, split_file(tmp_path, {"train": ["p2_a"], "test": ["p1_a"]}))
    assert names(folds.training_cases(FOUR, made, 0)) == ["p2_a"]


def test_where_every_fold_lists_its_training_a_case_may_be_left_out(tmp_path):
    made = folds.make_folds(FOUR, 1, split_file(tmp_path, {"train": ["p2_a"], "test": ["p1_a"]}))
    assert names(folds.held_out_cases(FOUR, made, 0)) == ["p1_a"]


def test_where_one_fold_lists_no_training_every_case_is_tested(tmp_path):
    file = split_file(tmp_path, {"train": ["p2_a"], "test": ["p1_a"]}, {"test": ["p2_a"]})
    with pytest.raises(InputError, match=r"does not test cases of the data set .p1_b, p3_a"):
        folds.make_folds(FOUR, 2, file)


def test_a_fold_may_validate_on_cases_of_its_own(tmp_path):
    file = split_file(tmp_path, {"train": ["p2_a"], "validation": ["p3_a"], "test": ["p1_a"]})
    assert names(folds.validation_cases(FOUR, folds.make_folds(FOUR, 1, file), 0)) == ["p3_a"]


def test_a_fold_validates_on_what_it_tests_unless_it_says_otherwise():
    made = folds.make_folds({"training": ELEVEN}, 3)
    datalist = {"training": ELEVEN}
    assert folds.validation_cases(datalist, made, 1) == folds.held_out_cases(datalist, made, 1)


def test_what_is_validated_is_not_trained_on_where_no_training_is_listed(tmp_path):
    file = split_file(tmp_path, {"validation": ["p3_a"], "test": ["p1_a", "p1_b"]}, {"test": ["p2_a", "p3_a"]})
    assert names(folds.training_cases(FOUR, folds.make_folds(FOUR, 2, file), 0)) == ["p2_a"]


@pytest.mark.parametrize("other", ["test", "validation"])
def test_a_case_on_two_sides_of_a_fold_is_an_error(tmp_path, other):
    fold = {"train": ["p1_a", "p2_a"], "test": ["p3_a"]}
    fold[other] = ["p2_a"]
    with pytest.raises(InputError, match=rf"fold 0 has cases in both train and {other} \(p2_a\)"):
        folds.make_folds(FOUR, 1, split_file(tmp_path, fold))


@pytest.mark.parametrize("side", ["train", "validation"])
def test_a_list_that_names_an_unknown_case_is_an_error(tmp_path, side):
    file = split_file(tmp_path, {"train": ["p2_a"], "test": ["p1_a"], side: ["p9_a"]})
    with pytest.raises(InputError, match=r"names cases that the data set lacks \(p9_a\)"):
        folds.make_folds(FOUR, 1, file)


def test_a_list_that_is_none_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"mine\.json: is no split"):
        folds.make_folds(FOUR, 1, split_file(tmp_path, {"train": None, "test": ["p1_a"]}))


def test_patients_that_a_fold_both_trains_and_tests_on_leak(tmp_path):
    file = split_file(tmp_path, {"train": ["p1_b", "p2_a"], "test": ["p1_a"]})
    assert folds.make_folds(FOUR, 1, file)["leaking_patients"] == ["p1"]


def test_patients_that_a_fold_leaves_out_do_not_leak(tmp_path):
    file = split_file(tmp_path, {"train": ["p2_a"], "test": ["p1_a"]})
    assert folds.make_folds(FOUR, 1, file)["leaking_patients"] == []


def test_lists_survive_a_file(tmp_path):
    file = split_file(tmp_path, {"train": ["p2_a"], "validation": ["p3_a"], "test": ["p1_a"]})
    made = folds.make_folds(FOUR, 1, file)
    (tmp_path / "again.json").write_text(json.dumps(made))
    assert folds.make_folds(FOUR, 1, str(tmp_path / "again.json"))["folds"] == made["folds"]


def test_listed_folds_may_stand_beside_a_case_that_came_later(tmp_path):
    made = folds.make_folds(FOUR, 1, split_file(tmp_path, {"train": ["p2_a"], "test": ["p1_a"]}))
    grown = {"training": [*FOUR["training"], *entries("new_a")]}
    assert names(folds.training_cases(grown, made, 0)) == ["p2_a"]


def test_listed_folds_of_a_data_set_that_has_shrunk_are_an_error(tmp_path):
    made = folds.make_folds(FOUR, 1, split_file(tmp_path, {"train": ["p2_a"], "test": ["p1_a"]}))
    with pytest.raises(InputError, match="not in both: p2_a"):
        folds.training_cases({"training": entries("p1_a")}, made, 0)
