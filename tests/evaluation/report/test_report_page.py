"""The whole page, from whole runs and from what is left of others."""

from __future__ import annotations

import re
import shutil

import pytest
from commands import run_command
from report_makers import SETTINGS, write_json, write_run

from evaluation.report import sections
from evaluation.report.cross_validation import report
from evaluation.report.pictures import chosen_cases, pictures
from evaluation.report.run import read_run
from pipeline.core.errors import InputError

TITLES = [
    "Should I believe this?",
    "Results",
    "Folds",
    "Spread over cases",
    "Cases",
    "Worst, median and best case",
    "Slices",
    "Training",
    "What was run",
]


@pytest.fixture
def make_run(tmp_path):
    """A run that `spoil` took something from, with at most two cases that can be looked at."""

    def made(spoil=lambda out: None, cases=2, **given):
        out = write_run(tmp_path, cases, **given)
        spoil(out)
        run = read_run(out)
        return run, list(pictures(run, chosen_cases(run, 2)))

    return made


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return report(read_run(write_run(tmp_path_factory.mktemp("run"), cases=3)))


def titles(page):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


def said(section):
    """The text of a section."""
    return re.sub(r"<[^>]*>", " ", section.body)


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


def test_intervals_stand_where_they_are_given(make_run):
    run, _ = make_run()
    told = said(sections.results(run.rows, lambda values, patients: (0.125, 0.875), "Made up."))
    assert "0.125 to 0.875" in told
    assert "Made up." in told


@pytest.mark.parametrize(
    ("labels", "structure"),
    [("lungs_and_infection", "infection"), ("infection", "infection"), ("abnormal_normal", "abnormal")],
)
def test_other_label_maps_are_ranked_by_their_infection(make_run, labels, structure):
    run, seen = make_run(labels=labels)
    assert f"{structure} Dice" in said(sections.extremes(run, seen))
    assert "MIScnn" not in said(sections.folds(run))


def test_without_an_infection_no_case_is_called_the_worst(make_run):
    run, seen = make_run(labels="lungs")
    assert "scored no infection" in said(sections.extremes(run, seen))
    assert "agreement: whole lungs" in said(sections.viewer(run, seen))


def test_one_fold_says_that_folds_cannot_be_compared(make_run):
    assert "There is one fold" in said(sections.folds(make_run(folds=1)[0]))


def test_a_run_that_was_not_evaluated_says_so_where_its_scores_would_be(make_run):
    run, seen = make_run(lambda out: (out / "metrics.csv").unlink())
    scored = (
        sections.results(run.rows, None, ""),
        sections.boxes(run.rows),
        sections.cases(run.rows, seen),
        sections.extremes(run, seen),
    )
    assert all("metrics.csv is missing" in said(section) for section in scored)


def test_scans_that_were_moved_leave_the_numbers(make_run):
    run, seen = make_run(lambda out: shutil.rmtree(out.parent / "data"))
    assert "are not all where they were" in said(sections.viewer(run, seen))
    assert "case_1" in said(sections.cases(run.rows, seen))


def test_missing_histories_leave_the_table_of_trainings(make_run):
    run, _ = make_run(lambda out: [file.unlink() for file in out.glob("fold*/history.csv")])
    told = said(sections.training(run))
    assert "there is no history.csv" in told
    assert "Trainings" in told


def test_leaking_patients_are_told(make_run):
    folds = {"folds": [{"fold": 0, "test": ["case_0"]}], "leaking_patients": ["patient_0"]}
    run, _ = make_run(lambda out: write_json(out / "folds.json", folds))
    assert "patient_0" in said(sections.folds(run)).partition("both sides")[2]


def test_what_the_data_say_about_themselves_is_told_first(make_run):
    run, _ = make_run(lambda out: write_json(out.parent / "data" / "manifest.json", {"about": "Invented scans."}))
    page = report(run, shown=0)
    assert 0 < page.find("Invented scans.") < page.find("<main")


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    write_json(tmp_path / "train.json", {**SETTINGS, "label_map": "lungs_infection"})
    assert titles(report(read_run(tmp_path))) == TITLES[1:]


def test_the_command_writes_the_page_into_the_run(tmp_path, capsys):
    write_json(tmp_path / "train.json", {**SETTINGS, "label_map": "lungs_infection"})
    run_command("report", tmp_path, "--cases", 0)
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "report.html" in capsys.readouterr().out


def test_the_command_refuses_a_folder_without_a_run(tmp_path):
    with pytest.raises(InputError, match="holds no cross-validation"):
        run_command("report", tmp_path)
