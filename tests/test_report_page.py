"""The whole page, from whole runs and from what is left of others."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from report_makers import SETTINGS, write_json, write_run

from evaluation.report.__main__ import main, report
from evaluation.report.run import read_run
from pipeline.configuration import ROOT

TITLES = [
    "Results",
    "Folds",
    "Spread over cases",
    "Cases",
    "Worst, median and best case",
    "Slices",
    "Training",
    "What was run",
]


@pytest.fixture(scope="module")
def make_page(tmp_path_factory):
    def made(spoil=lambda out: None, **given):
        out = write_run(tmp_path_factory.mktemp("run"), **given)
        spoil(out)
        return report(read_run(out))

    return made


@pytest.fixture(scope="module")
def page(make_page):
    return make_page()


def titles(page):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


def said(page, anchor):
    """The text of a section."""
    return re.sub(r"<[^>]*>", " ", page.partition(f'<section id="{anchor}"')[2].partition("</section>")[0])


def test_every_section_is_there(page):
    assert titles(page) == TITLES


def test_the_page_asks_nothing_of_the_network(page):
    markup = re.sub("<script>.*?</script>", "", page, flags=re.DOTALL)
    addresses = re.findall(r"""(?:href|src|url)\s*[=(:]\s*["']?([^"')\s]+)""", markup)
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "http:" not in page.replace("http-equiv", "")


def test_the_page_forbids_everything_but_its_own_scripts_and_pictures(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-")
    assert "unsafe" not in policy


def test_every_id_is_there_once_and_every_link_leads_to_one(page):
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_the_dice_of_the_infection_is_said_first(page):
    assert re.search(r"<dt>(.*?)</dt>", page)[1] == "infection Dice"


def test_intervals_stand_where_they_are_given(tmp_path):
    run = read_run(write_run(tmp_path, cases=2))
    page = report(run, shown=0, interval=lambda values, patients: (0.125, 0.875), interval_note="Made up.")
    assert "0.125 to 0.875" in said(page, "results")
    assert "Made up." in said(page, "results")


@pytest.mark.parametrize(
    ("labels", "structure"),
    [("lungs_and_infection", "infection"), ("infection", "infection"), ("abnormal_normal", "abnormal")],
)
def test_other_label_maps_are_ranked_by_their_infection(make_page, labels, structure):
    page = make_page(labels=labels, cases=2)
    assert f"{structure} Dice" in said(page, "extremes")
    assert "MIScnn" not in said(page, "folds")


def test_without_an_infection_no_case_is_called_the_worst(make_page):
    page = make_page(labels="lungs", cases=2)
    assert "scored no infection" in said(page, "extremes")
    assert "agreement: whole lungs" in said(page, "slices")


def test_one_fold_says_that_folds_cannot_be_compared(make_page):
    assert "There is one fold" in said(make_page(folds=1, cases=2), "folds")


def test_a_run_that_was_not_evaluated_says_so(make_page):
    page = make_page(lambda out: (out / "metrics.csv").unlink(), cases=2)
    assert titles(page) == TITLES
    assert "metrics.csv is missing" in said(page, "results")
    assert "1.5" in said(page, "training")


def test_scans_that_were_moved_leave_the_numbers(make_page):
    page = make_page(lambda out: shutil.rmtree(out.parent / "data"), cases=2)
    assert "are not all where they were" in said(page, "slices")
    assert "case_1" in said(page, "cases")


def test_missing_histories_leave_the_table_of_trainings(make_page):
    page = make_page(lambda out: [file.unlink() for file in out.glob("fold*/history.csv")], cases=2)
    assert "there is no history.csv" in said(page, "training")
    assert "Trainings" in said(page, "training")


def test_leaking_patients_are_told(make_page):
    folds = {"folds": [{"fold": 0, "test": ["case_0"]}], "leaking_patients": ["patient_0"]}
    page = make_page(lambda out: write_json(out / "folds.json", folds), cases=2)
    assert "patient_0" in said(page, "folds").partition("both sides")[2]


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    write_json(tmp_path / "train.json", {**SETTINGS, "label_map": "lungs_infection"})
    assert titles(report(read_run(tmp_path))) == TITLES


def test_the_command_writes_the_page_into_the_run(tmp_path, capsys):
    out = write_run(tmp_path, cases=2)
    main([str(out), "--cases", "0"])
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "report.html" in capsys.readouterr().out


def test_a_wrong_folder_is_one_plain_line(tmp_path):
    command = [sys.executable, "-m", "evaluation.report", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
