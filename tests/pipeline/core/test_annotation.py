import numpy as np
import pytest

from pipeline.core.annotation import (
    IGNORED,
    NO_INFECTION,
    NO_LUNGS,
    PLACE,
    Annotation,
    certain_classes,
    check_annotated,
    host_classes,
    target_of_code,
)
from pipeline.core.errors import InputError
from pipeline.core.labels import IGNORE, LABEL_MAPS, STRUCTURES, infected, label_map

MOSMED, LUNGS, SIDELESS = (
    Annotation.of(["infection"]),
    Annotation.of(["left_lung", "right_lung"]),
    Annotation.of(["lungs"]),
)
WHOLE = Annotation()


def test_what_annotates_everything_is_not_told():
    assert Annotation.of(["infection", "right_lung", "left_lung"]) == WHOLE
    assert WHOLE.names is None
    assert MOSMED.names == ["infection"]
    assert Annotation.of(["lungs", "infection"]).names == ["lungs", "infection"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["lesion"], "^case a: annotates names 'lesion'; expected some of left_lung, right_lung, lungs, infection.$"),
        ([], "^case a: annotates names nothing; expected some of"),
        (["left_lung"], "^case a: annotates names left_lung alone; expected both left_lung and right_lung, or lungs"),
    ],
)
def test_names_that_say_nothing_are_refused(names, said):
    with pytest.raises(InputError, match=said):
        Annotation.of(names, "case a: ")


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        (WHOLE, ["left_lung", "right_lung", "lungs", "infection"]),
        (MOSMED, ["infection"]),
        (LUNGS, ["left_lung", "right_lung", "lungs"]),
        (SIDELESS, ["lungs"]),
    ],
)
def test_what_a_label_tells(annotation, told):
    assert [name for name, codes in STRUCTURES.items() if annotation.tells(codes)] == told


def test_whole_lungs_are_told_without_their_infection_and_not_by_it():
    whole = label_map("lungs").classes["lungs"]
    assert [one.tells(whole) for one in (LUNGS, SIDELESS, MOSMED)] == [True, True, False]


@pytest.mark.parametrize("classes", LABEL_MAPS.values(), ids=LABEL_MAPS)
def test_the_target_of_a_whole_label_is_the_number_of_the_class(classes):
    numbers = target_of_code(classes, WHOLE)
    assert numbers.pop(IGNORE) == IGNORED
    assert list(numbers.values()) == classes.class_of_code().tolist()


def test_a_mask_of_infection_says_all_to_a_network_that_knows_no_lungs():
    assert target_of_code(label_map("infection"), MOSMED) == target_of_code(label_map("infection"), WHOLE)


def test_a_target_tells_what_the_case_does_not_annotate():
    assert target_of_code(label_map("lungs_infection"), MOSMED)[0] == PLACE * NO_LUNGS
    assert target_of_code(label_map("lungs_infection"), LUNGS)[2] == PLACE * NO_INFECTION + 2


def test_the_largest_target_fits_a_byte():
    assert all(max(target_of_code(classes, LUNGS).values()) < 256 for classes in LABEL_MAPS.values())


@pytest.mark.parametrize(
    ("name", "untold", "shown", "host"),
    [
        ("lungs_infection", NO_INFECTION, 0, [0, 1, 2, 1]),
        ("lungs_infection", NO_INFECTION, 2, [0, 1, 2, 2]),
        ("lungs_infection", NO_LUNGS, 3, [0, 0, 0, 3]),
        ("abnormal_normal", NO_INFECTION, 2, [0, 2, 2]),
        ("lungs", NO_LUNGS, 0, [0, 0]),
        ("lungs", NO_LUNGS, 1, [0, 1]),
        ("lungs", NO_INFECTION, 0, [0, 1]),
        ("infection", NO_INFECTION, 0, [0, 0]),
        ("infection_kinds", NO_INFECTION, 0, [0, 0, 0]),
    ],
)
def test_hosts(name, untold, shown, host):
    assert host_classes(label_map(name))[PLACE * untold + shown].tolist() == host


def test_a_class_that_no_label_annotates_is_refused():
    entries = [{"case": "a", "annotates": ["infection"]}, {"case": "b", "annotates": ["infection"]}]
    with pytest.raises(InputError, match=r"has the class left lung, which none of the labels annotates \(infection\);"):
        check_annotated(entries, label_map("lungs_infection"))
    check_annotated(entries, label_map("infection"))
    check_annotated([*entries, {"case": "c", "annotates": ["left_lung", "right_lung"]}], label_map("lungs_infection"))


def test_what_is_to_be_ignored_is_no_infection_and_keeps_its_code():
    codes = np.array([0, 2, 3, 5, IGNORE], np.uint8)
    assert infected(codes).tolist() == [False, False, True, True, False]
    assert label_map("lungs_infection").classes_of(codes).tolist() == [0, 2, 3, 3, IGNORE]


@pytest.mark.parametrize(
    ("structures", "told"),
    [
        (None, {0: 0, 1: 1, 2: 2, 3: 3, 4: 3, 5: 3}),
        (["infection"], {3: 3, 4: 3, 5: 3}),
        (["left_lung", "right_lung"], {0: 0}),
        (["lungs", "infection"], {0: 0, 3: 3, 4: 3, 5: 3}),
        (["lungs"], {0: 0}),
    ],
)
def test_a_voxel_is_certain_where_its_label_tells_it_from_every_other_class(structures, told):
    table = certain_classes(label_map("lungs_infection"), Annotation.of(structures))
    assert {code: int(number) for code, number in enumerate(table) if number != IGNORE} == told
