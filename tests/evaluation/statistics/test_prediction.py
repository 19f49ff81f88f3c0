"""What a predicted label map tells of a case without a reference."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from evaluation.statistics.prediction import flag_entries, found_in
from evaluation.statistics.severity_interval import SCANS, HeldOut, Share
from pipeline.core.labels import label_map

OWN = label_map("lungs_infection")


def held_out(patients, lungs=0.01, worse=0.3, **given):
    """So many patients, whose shares of both lungs and of the worse one were off by so much, in two folds."""
    off = [[Share(f"patient_{place}", place % 2, 0.0, error) for place in range(patients)] for error in (lungs, worse)]
    return HeldOut(*map(tuple, off), **given)


HELD_OUT = held_out(20)


def found(make_chest, name="lungs_infection", of_run=HELD_OUT):
    """Of a faultless prediction of the tiny chest in the classes of a label map."""
    scan, label = make_chest()
    classes = label_map(name)
    predicted = sitk.GetImageFromArray(classes.class_of_code()[sitk.GetArrayFromImage(label)])
    predicted.CopyInformation(label)
    return found_in(predicted, scan, classes, of_run, "case")


def test_the_share_is_that_of_the_infected_voxels(make_chest):
    codes = sitk.GetArrayFromImage(make_chest()[1])
    share = 100 * np.count_nonzero(codes == 3) / np.count_nonzero(codes)
    assert found(make_chest)[0]["lungs_percent"] == pytest.approx(share, abs=1e-3)


def test_the_lungs_hold_their_infection(make_chest):
    label = make_chest()[1]
    ml = np.prod(label.GetSpacing()) / 1000 * np.count_nonzero(sitk.GetArrayFromImage(label))
    assert found(make_chest)[0]["lungs_ml"] == pytest.approx(ml, abs=0.01)


def test_the_interval_of_the_share_is_as_wide_as_errors_were(make_chest):
    told = found(make_chest)[0]
    low, high = told["lungs_percent_interval"]
    assert (told["lungs_percent"] - low, high - told["lungs_percent"]) == pytest.approx((1, 1), abs=1e-3)


def test_the_interval_of_the_grade_is_that_of_the_worse_lung(make_chest):
    told = found(make_chest)[0]
    assert (told["grade"], told["grade_interval"]) == ("CT-2", ["CT-0", "CT-3"])
    assert told["grades_possible"] == ["CT-0", "CT-1", "CT-2", "CT-3"]
    assert told["grades_told"] == "CT-2 (moderate); CT-0 (none), CT-1 (mild) and CT-3 (severe) are possible"


def test_it_is_told_of_how_many_patients_the_grade_was_right(make_chest):
    assert found(make_chest)[0]["grades_right"] == {"right": 0, "of": 20}


def test_the_level_and_the_patients_of_the_interval_are_told(make_chest):
    told = found(make_chest)[0]
    assert (told["interval_level_percent"], told["interval_patients"]) == (90, 20)
    assert told["interval"] == (
        "90 % interval from 20 held-out patients of this model's run; 20 of them lay within the interval that the "
        "patients of the other folds give"
    )


def test_three_patients_give_no_interval_and_it_is_said_why(make_chest):
    told = found(make_chest, of_run=held_out(3))[0]
    assert told["lungs_percent_interval"] is told["interval_level_percent"] is told["grades_told"] is None
    assert told["interval"] == (
        "3 held-out patients of this model's run have a known severity, and four are the fewest to tell it from"
    )


def test_a_model_that_does_not_tell_the_patients_counts_scans_and_says_so(make_chest):
    told = found(make_chest, of_run=held_out(4, whose=SCANS))[0]
    assert told["interval_patients"] is None
    assert told["interval"] == (
        "80 % interval from 4 held-out scans of this model's run; nothing beside the model tells which scans are of "
        "one patient, so each counts as one"
    )


def test_without_held_out_cases_there_is_no_interval_and_it_is_said_why(make_chest):
    told = found(make_chest, of_run=HeldOut())[0]
    assert told["lungs_percent_interval"] is told["grade_interval"] is None
    assert "no held-out cases" in told["interval"]


def test_a_model_of_both_lungs_as_one_has_a_share_and_no_grade(make_chest):
    told, flags = found(make_chest, "lungs_and_infection")
    assert told["lungs_percent"] == pytest.approx(found(make_chest)[0]["lungs_percent"])
    assert (told["grade"], flags) == (None, [])


@pytest.mark.parametrize(("name", "why"), [("infection", "look for the lungs"), ("lungs", "look for infection")])
def test_a_model_that_sees_one_of_the_two_has_no_share_and_it_is_said_why(make_chest, name, why):
    told, _ = found(make_chest, name)
    assert told["lungs_percent"] is None
    assert why in told["interval"]


def test_flags_are_told_with_their_limits(make_chest):
    first, *_ = flag_entries(found(make_chest)[1])
    assert (first["flag"], first["raised"], first["low"], first["high"]) == ("lung_volume", True, 1000, 10000)
