"""The page of one segmented scan, read as text and opened in a browser."""

from __future__ import annotations

import re

import pytest
import SimpleITK as sitk
from conftest import chest

from evaluation.report.prediction import prediction_page
from evaluation.report.stack import stack_of
from evaluation.statistics.prediction import flag_entries, found_in
from evaluation.statistics.severity_interval import HeldOut, Share
from pipeline.core.labels import label_map

WINDOW_HU = (-1250, 250)
OFF = tuple(Share(f"patient_{place}", place % 3, 0.02, 0.04) for place in range(20))
HELD_OUT = HeldOut(OFF, OFF)
NASTY = 'a</script><b>&"name"'


@pytest.fixture(scope="module")
def make_page():
    """The page of a faultless prediction, of a case of a name, with warnings."""

    def made(case="case_1", warnings=(), name="lungs_infection", of_run=HELD_OUT):
        scan, label = chest(size=(48, 40, 24))
        classes = label_map(name)
        predicted = sitk.GetImageFromArray(classes.class_of_code()[sitk.GetArrayFromImage(label)])
        predicted.CopyInformation(label)
        found, flags = found_in(predicted, scan, classes, of_run, case)
        manifest = {
            "case": case,
            "model": {"network": "unet_3d", "mode": "", "sha256": "0" * 64, "members": ["fold0"]},
            "input": {"size": [48, 40, 24], "spacing_mm": [1.2, 1.5, 3.0], "intensity": "hu", "sha256": "1" * 64},
            "severity": found,
            "flags": flag_entries(flags),
            "warnings": list(warnings),
            "device": "cpu",
            "made_with": {"python": "3.11"},
        }
        return prediction_page(manifest, stack_of(scan, predicted, case, WINDOW_HU), classes, WINDOW_HU)

    return made


def test_a_page_says_that_it_is_for_research_only(make_page):
    assert "For research only, not a medical device" in make_page()


def test_a_page_tells_share_and_grade_with_their_intervals(make_page):
    page = make_page()
    assert "infected share of the lungs" in page
    assert "90 % interval from 20 held-out patients of this model&#39;s run; 20 of them lay within" in page
    assert "The grade was right in 20 of 20 held out of this model&#39;s run." in page
    assert re.search(r"<p>CT grade: CT-\d \(\w+\); ", page)


def test_a_model_that_tells_no_sides_has_an_interval_of_the_share_and_no_grade(make_page):
    page = make_page(name="lungs_and_infection")
    assert "90 % interval" in page
    assert "CT grade: " not in page


def test_a_page_without_an_interval_says_why(make_page):
    assert "There is no interval: there are no held-out cases" in make_page(of_run=HeldOut())


def test_a_page_begins_with_what_speaks_against_it(make_page):
    page = make_page(warnings=["The network saw the whole scan."])
    assert page.index("The network saw the whole scan.") < page.index("At a glance")


def test_a_page_asks_nothing_of_the_network(make_page):
    assert "://" not in make_page().replace("http://www.w3.org/2000/svg", "")


def test_a_page_is_the_same_each_time(make_page):
    assert make_page() == make_page()


def test_a_name_is_no_markup(make_page):
    assert NASTY not in make_page(NASTY)


@pytest.mark.parametrize("name", ["lungs_and_infection", "infection", "lungs", "abnormal_normal"])
def test_a_page_can_be_made_of_any_classes(make_page, name):
    assert "At a glance" in make_page(name=name)


@pytest.mark.browser
def test_the_viewer_shows_the_prediction_and_offers_no_comparison(make_page, open_file, tmp_path):
    (tmp_path / "page.html").write_text(make_page(), encoding="utf-8")
    page = open_file(tmp_path / "page.html")
    page.wait_for_selector("#viewer:not([hidden])")
    assert page.input_value("#kind") == "prediction"
    assert page.is_visible("#legend-classes")
    assert not page.is_visible("#legend-agreement")
    assert page.complaints == []
