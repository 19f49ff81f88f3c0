"""The comparison in a browser, opened as a file: headless Chromium, driven by playwright."""

from __future__ import annotations

from functools import partial

import pytest
from report_makers import write_network

from evaluation.report.compare import compare_runs

pytestmark = pytest.mark.browser
DARK, LIGHT = "rgb(20, 23, 26)", "rgb(255, 255, 255)"
NETWORKS = {"unet_3d": 0, "enet": 1, "a_network_with_a_long_name>another_one": 1}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    # Networks that can be built in no time, one parameter more each
    runs = []
    for size, (name, missed) in enumerate(NETWORKS.items(), 1):
        network = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": size, "kernel_size": 1}
        built = {"network_def": network, "spatial_dims": 2, "sample_size": [8, 8, 1]}
        runs.append(write_network(folder, name, 3, missed=missed, **built))
    compare_runs(runs, folder / "comparison.html")
    return folder / "comparison.html"


@pytest.fixture
def open_page(open_file, file):
    return partial(open_file, file)


@pytest.fixture
def page(open_page):
    return open_page(viewport={"width": 1200, "height": 900})


def test_nothing_is_complained_of(page):
    assert page.complaints == []


def test_nothing_but_the_file_itself_is_asked_for(page, file):
    assert page.asked == [file.as_uri()]


@pytest.mark.parametrize(("scheme", "background"), [("dark", DARK), ("light", LIGHT)])
def test_the_page_is_as_dark_as_the_reader_wants(open_page, scheme, background):
    page = open_page(color_scheme=scheme)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background


def test_a_phone_needs_no_sideways_scrolling(open_page):
    page = open_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_cases_sort_by_a_networks_dice(page):
    heading = page.locator("#cases table >> nth=0 >> thead button").last
    heading.click()
    upwards = [float(text) for text in page.locator("#cases table >> nth=0 >> tbody td:last-child").all_inner_texts()]
    assert upwards == sorted(upwards)


def test_no_name_of_a_drawing_covers_another(page):
    assert page.evaluate(COVERED) == []


# Pairs of a drawing's names whose boxes, as the browser measures them, overlap
COVERED = """() => [...document.querySelectorAll(".pareto")].flatMap((figure) => {
  const names = [...figure.querySelectorAll("text.name")]
    .map((each) => [each.textContent, each.getBoundingClientRect()]);
  return names.flatMap(([one, a], place) => names.slice(place + 1)
    .filter(([, b]) => a.left < b.right && b.left < a.right)
    .filter(([, b]) => a.top < b.bottom - 2 && b.top < a.bottom - 2)
    .map(([other]) => `${one} ${other}`));
})"""


def test_every_name_of_a_drawing_is_within_it(page):
    assert page.evaluate(OUTSIDE) == []


OUTSIDE = """() => [...document.querySelectorAll(".pareto svg.plot:not(.mark)")].flatMap((plot) => {
  const whole = plot.getBoundingClientRect();
  return [...plot.querySelectorAll("text.name")].filter((name) => {
    const box = name.getBoundingClientRect();
    return box.left < whole.left || box.right > whole.right;
  }).map((name) => name.textContent);
})"""
