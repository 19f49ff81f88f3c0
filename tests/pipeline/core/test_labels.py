"""Label maps: which of the project's codes make up which class."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.errors import InputError
from pipeline.core.labels import (
    CONSOLIDATION,
    GROUND_GLASS,
    INFECTED,
    INFECTION,
    LABEL_CODES,
    LABEL_MAPS,
    LEFT_LUNG,
    RIGHT_LUNG,
    infected,
    label_map,
)


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_every_code_belongs_to_exactly_one_class(name):
    expected = [code for code in LABEL_CODES if code != INFECTION or not label_map(name).tells_kinds]
    assert sorted(code for codes in label_map(name).classes.values() for code in codes) == expected


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_structures_are_made_of_classes_that_exist(name):
    chosen = label_map(name)
    assert {number for numbers in chosen.structures.values() for number in numbers} <= set(range(len(chosen.classes)))


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("lungs_infection", [0, 1, 2, 3, 3, 3]),
        ("abnormal_normal", [0, 2, 2, 1, 1, 1]),
        ("infection", [0, 0, 0, 1, 1, 1]),
    ],
)
def test_each_code_has_the_number_of_its_class(name, classes):
    assert label_map(name).class_of_code().tolist() == classes


def test_kinds_of_infection_have_classes_of_their_own():
    table = label_map("infection_kinds").class_of_code()
    assert table[[LEFT_LUNG, RIGHT_LUNG, GROUND_GLASS, CONSOLIDATION]].tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_all_infection_of_a_label_map_is_one_structure_or_none(name):
    chosen = label_map(name)
    whole = [name for name, numbers in chosen.structures.items() if {*numbers} == {*chosen.infection_classes}]
    assert len(whole) == (name != "lungs")


def test_infected_are_all_codes_of_the_infection_and_no_other():
    assert np.flatnonzero(infected(np.array(LABEL_CODES))).tolist() == list(INFECTED)


def test_an_unknown_label_map_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"^label_map is 'lung', expected one of: lungs_infection, abnormal_normal, "):
        label_map("lung")
