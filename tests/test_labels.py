"""Label maps: which of the project's codes make up which class."""

from __future__ import annotations

import pytest

from pipeline.errors import InputError
from pipeline.labels import LABEL_CODES, LABEL_MAPS, label_map


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_every_code_belongs_to_exactly_one_class(name):
    assert sorted(code for codes in label_map(name).classes.values() for code in codes) == list(LABEL_CODES)


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_structures_are_made_of_classes_that_exist(name):
    chosen = label_map(name)
    assert {number for numbers in chosen.structures.values() for number in numbers} <= set(range(len(chosen.classes)))


@pytest.mark.parametrize(
    ("name", "classes"),
    [("lungs_infection", [0, 1, 2, 3]), ("abnormal_normal", [0, 2, 2, 1]), ("infection", [0, 0, 0, 1])],
)
def test_each_code_has_the_number_of_its_class(name, classes):
    assert label_map(name).class_of_code().tolist() == classes


def test_an_unknown_label_map_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"^label_map is 'lung', expected one of: lungs_infection, abnormal_normal, "):
        label_map("lung")
