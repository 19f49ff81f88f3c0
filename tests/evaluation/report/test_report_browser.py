"""The report in a browser, opened as a file: headless Chromium, driven by playwright."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from report_makers import write_run

from evaluation.report.atlas import REFERENCE_FACTOR
from evaluation.report.cross_validation import report
from evaluation.report.run import read_run
from pipeline.core.labels import INFECTION

pytestmark = pytest.mark.browser
DARK, LIGHT = "rgb(20, 23, 26)", "rgb(255, 255, 255)"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    out = write_run(tmp_path_factory.mktemp("run"), cases=4)
    (out / "report.html").write_text(report(read_run(out)), encoding="utf-8")
    return out / "report.html"


@pytest.fixture
def open_page(open_file, file):
    """Open the report, once its first case can be seen."""

    def opened(**options):
        page = open_file(file, **options)
        page.wait_for_selector("#viewer[data-case]")
        return page

    return opened


@pytest.fixture
def page(open_page):
    return open_page(viewport={"width": 1200, "height": 900})


def pixels(page):
    return page.evaluate("document.getElementById('view').toDataURL()")


def told(page):
    return page.inner_text("#slice-told")


def column(page, place):
    return page.locator(f"table.sortable >> nth=0 >> tbody tr >> :nth-match(td, {place})").all_inner_texts()


def test_nothing_is_complained_of(page):
    assert page.complaints == []


def test_nothing_but_the_file_itself_is_asked_for(page, file):
    assert [address for address in page.asked if not address.startswith("data:")] == [file.as_uri()]


def test_the_slider_changes_the_slice(page):
    before, slice_before = pixels(page), told(page)
    page.locator("#slice").press("ArrowRight")
    assert (pixels(page) != before, told(page) != slice_before) == (True, True)


def test_the_wheel_over_the_picture_changes_the_slice(page):
    page.locator("#view").scroll_into_view_if_needed()
    page.locator("#view").hover()
    # A page that has just been scrolled goes on scrolling
    page.wait_for_timeout(400)
    before = told(page)
    page.mouse.wheel(0, 100)
    page.wait_for_function("before => document.getElementById('slice-told').innerText !== before", arg=before)


def test_keys_on_the_picture_go_to_the_first_and_last_slice(page):
    ends = []
    for key in ("Home", "End"):
        page.locator("#view").press(key)
        ends.append(told(page).split()[0])
    numbers = page.evaluate("JSON.parse(document.getElementById('slices-0').textContent).numbers")
    assert ends == [str(numbers[0]), str(numbers[-1])]


def test_switching_the_overlay_off_and_on_brings_the_same_picture_back(page):
    shown = pixels(page)
    page.locator("#overlay").press("Space")
    assert pixels(page) != shown
    page.locator("#overlay").press("Space")
    assert pixels(page) == shown


@pytest.mark.parametrize("change", ["#opacity", "[name=window] >> nth=0"])
def test_opacity_and_window_change_the_picture(page, change):
    before = pixels(page)
    page.locator(change).press("ArrowRight")
    assert pixels(page) != before


def test_labels_have_a_legend_of_their_own(page):
    page.select_option("#kind", "prediction")
    assert page.locator("#legend-classes").is_visible()
    assert page.locator("#legend-agreement").is_hidden()


def test_missed_infection_is_drawn_red_where_the_reference_alone_has_it(page):
    page.locator("#slice").fill(str(first_infected_slice(page)))
    drawn = page.evaluate(RED_PIXELS)
    page.locator("#overlay").uncheck()
    assert (drawn > 0, page.evaluate(RED_PIXELS)) == (True, 0)


# How many pixels of the view are red rather than grey
RED_PIXELS = """() => {
  const view = document.getElementById("view");
  const bytes = view.getContext("2d").getImageData(0, 0, view.width, view.height).data;
  return bytes.filter((level, place) => place % 4 === 0 && level > bytes[place + 2] + 60).length;
}"""


def first_infected_slice(page):
    """The lowest one of the worst case's reference; the maker's prediction has no infection there."""
    stored = json.loads(page.locator("#slices-0").text_content())
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(stored["labels"].partition(",")[2]))))
    rows, columns = np.nonzero(picture // REFERENCE_FACTOR == INFECTION)
    return int((rows // stored["height"] * stored["columns"] + columns // stored["width"]).min())


def test_a_case_of_the_table_opens_in_the_viewer(page):
    page.click("table.sortable a >> nth=1")
    page.wait_for_function("document.getElementById('viewer').dataset.case === 'case_1'")
    assert "case_1" in page.locator("#case option:checked").inner_text()


def test_the_table_sorts_up_and_down_by_click(page):
    heading = page.locator("table.sortable >> nth=0 >> thead button").last
    heading.click()
    upwards = [float(text) for text in column(page, 7)]
    heading.click()
    downwards = [float(text) for text in column(page, 7)]
    assert upwards == sorted(upwards)
    assert downwards == upwards[::-1]


def test_the_table_sorts_by_keyboard_and_says_so(page):
    heading = page.locator("table.sortable >> nth=0 >> thead th").nth(2)
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize(("scheme", "background"), [("dark", DARK), ("light", LIGHT)])
def test_the_page_is_as_dark_as_the_reader_wants(open_page, scheme, background):
    page = open_page(color_scheme=scheme)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background


def test_a_phone_needs_no_sideways_scrolling(open_page):
    page = open_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_print_opens_what_is_folded_and_leaves_the_viewer_out(page):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#viewer").is_hidden()
    folded = page.locator("details table").all()
    assert [table.is_visible() for table in folded] == [True] * len(folded) != []
    assert page.complaints == []


def test_every_control_has_a_name(page):
    assert page.evaluate(NAMELESS) == []


NAMELESS = """() => [...document.querySelectorAll("input, select, button, canvas[tabindex]")]
  .filter((each) => !(each.labels?.length || each.getAttribute("aria-label") || each.textContent))
  .map((each) => each.outerHTML)"""
