"""References that do not annotate everything, and voxels that nobody knows, hand-drawn."""

import re

import numpy as np
import pytest
import SimpleITK as sitk

from evaluation.measures.cases import Job, case_rows, without_infection
from evaluation.statistics.findings import Finding, examine, worths
from evaluation.statistics.summary import summarise
from evaluation.tables.scores import tables
from evaluation.tables.severity_table import case_severities
from pipeline.core.annotation import Annotation
from pipeline.core.labels import IGNORE, LABEL_MAPS, label_map

CLASSES = label_map("lungs_infection")
SPACING_MM = (2.0, 1.0, 1.0)


def lungs():
    """Axes (z, y, x): two lungs that do not touch, the left one at higher x."""
    codes = np.zeros((4, 6, 11), np.uint8)
    codes[:, 1:5, 1:5], codes[:, 1:5, 6:10] = 2, 1
    return codes


def infected_lungs():
    codes = lungs()
    codes[1:3, 2:4, 6:8], codes[1:3, 2:4, 3:5] = 3, 3
    return codes


def rows(reference, prediction, annotates, classes=CLASSES):
    images = [sitk.GetImageFromArray(codes) for codes in (reference, prediction)]
    job = Job("", "", "a", "a", 0, annotation=Annotation.of(annotates))
    return {row["structure"]: row for row in case_rows(job, *images, classes)}


def test_a_mask_of_infection_scores_infection_alone():
    mask = np.where(infected_lungs() == 3, 3, 0).astype(np.uint8)
    found = rows(mask, infected_lungs(), ["infection"])
    assert list(found) == ["infection"]
    assert found["infection"]["dice"] == 1


def test_lungs_are_scored_with_their_infection_where_nobody_annotated_it():
    found = rows(lungs(), infected_lungs(), ["left_lung", "right_lung"])
    assert {name: row["dice"] for name, row in found.items()} == {"left_lung": 1, "right_lung": 1, "lungs": 1}
    assert found["right_lung"]["prediction_ml"] == found["right_lung"]["reference_ml"]


def test_without_sides_both_lungs_are_scored_together_alone():
    found = rows(np.where(lungs() > 0, 1, 0).astype(np.uint8), infected_lungs(), ["lungs"])
    assert {name: row["dice"] for name, row in found.items()} == {"lungs": 1}


@pytest.mark.parametrize("name", ["abnormal_normal", "lungs_and_infection"])
def test_infection_becomes_the_one_class_of_the_lungs(name):
    classes = label_map(name)
    numbers = classes.class_of_code()[infected_lungs()]
    assert np.array_equal(without_infection(numbers, classes, SPACING_MM), classes.class_of_code()[lungs()])


def test_a_whole_reference_has_the_rows_that_it_had():
    for classes in LABEL_MAPS.values():
        codes = np.where(infected_lungs() == 3, classes.codes[-1], infected_lungs())
        every = rows(codes, classes.class_of_code()[codes], None, classes)
        assert list(every) == list(classes.structures)


def test_ignored_voxels_are_of_neither_mask_and_counted_nowhere():
    reference, prediction = infected_lungs(), infected_lungs()
    reference[0] = IGNORE
    # Wrong where nobody knows: no matter
    prediction[0] = 3
    ignoring, known = rows(reference, prediction, None), rows(infected_lungs()[1:], prediction[1:], None)
    names = ("dice", "tp", "fp", "fn", "tn", "reference_ml", "prediction_ml", "specificity", "lesions", "lesions_false")
    for structure, row in ignoring.items():
        assert {name: row[name] for name in names} == {name: known[structure][name] for name in names}


def test_severity_leaves_out_what_nobody_knows():
    reference, prediction = infected_lungs(), infected_lungs()
    reference[:1], prediction[:1] = IGNORE, 3
    expected = case_severities(infected_lungs()[1:], prediction[1:], CLASSES, SPACING_MM)
    assert case_severities(reference, prediction, CLASSES, SPACING_MM) == expected


@pytest.mark.parametrize("annotates", [["infection"], ["left_lung", "right_lung"], ["lungs", "infection"]])
def test_a_reference_that_lacks_something_has_no_severity_but_its_prediction_has_flags(annotates):
    images = [sitk.GetImageFromArray(infected_lungs()) for _ in range(2)]
    found = examine(Job("", "", "a", "a", 0, annotation=Annotation.of(annotates)), *images, CLASSES)
    assert found.severity is None
    assert found.flags


def test_tables_and_flags_of_whole_and_partial_references_together():
    every = []
    for case, annotates in (("a", None), ("b", ["infection"]), ("c", ["left_lung", "right_lung"])):
        held = {"a": infected_lungs(), "b": np.where(infected_lungs() == 3, 3, 0).astype(np.uint8), "c": lungs()}[case]
        every += [{**row, "case": case, "patient_id": case} for row in rows(held, infected_lungs(), annotates).values()]
    summary = summarise(every)
    assert {name: of["dice"]["cases"] for name, of in summary["structures"].items()} == {
        "left_lung": 2, "right_lung": 2, "lungs": 2, "infection": 2,
    }  # fmt: skip
    told = tables(every, summary)
    assert re.search(r"^b +0 +- +- +- +1.000$", told, re.MULTILINE)
    assert told.endswith("are both empty, or the reference does not annotate it.")
    images = [sitk.GetImageFromArray(infected_lungs()) for _ in range(2)]
    flags = examine(Job("", "", "c", "c", 0), *images, CLASSES).flags
    (first, *_) = worths([Finding(case, 0, None, flags) for case in "abc"], every)
    assert first.failed + first.others + first.left_out == 2
