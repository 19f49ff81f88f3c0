"""Should I believe this? Each answer, from evidence made by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from report_makers import row

from evaluation.measures.flags import EVERY, Flag
from evaluation.measures.severity import Severity
from evaluation.report import belief
from evaluation.report.belief import BAD, GOOD, NEUTRAL, Evidence, Named, answers
from evaluation.report.run import Run, Stage
from evaluation.statistics.findings import Finding
from evaluation.tables.severity_table import severity_row

FOLDS = {"folds": [{"fold": 0, "test": ["case_0"]}, {"fold": 1, "test": ["case_1"]}], "leaking_patients": []}


def scored(*dice, **changed):
    """A row a value, of a patient each, in two folds; 20 of 40 ml are found."""
    volumes = {"reference_ml": 40.0, "prediction_ml": 20.0}
    return [row(f"case_{place}", value, fold=place % 2, **{**volumes, **changed}) for place, value in enumerate(dice)]


def entries(rows, **changed):
    names = sorted({each["case"] for each in rows})
    return {
        name: {"case": name, "patient_id": name, "intensity": "hu", "image_sha256": name, **changed} for name in names
    }


def evidence(rows, shown=(), settings=None, **fields):
    told = {"folds": FOLDS, "cases": entries(rows), "datalist": {}, **fields}
    run = Run(Path("cv"), (Stage("", settings or {"name": "unet_3d"}),), Path("data"), rows=tuple(rows), **told)
    return Evidence(run, dict(shown))


def flagged(*raised):
    """A finding a case, of one flag that is raised or not."""
    suspicion = {True: 1.0, False: -1.0}
    return tuple(
        Finding(f"case_{place}", place % 2, None, (Flag(EVERY[0], 0.0, suspicion[each], ""),))
        for place, each in enumerate(raised)
    )


def test_patients_that_were_held_out_are_counted():
    found = belief.held_out(evidence(scored(0.5, 0.7)))
    assert (found.kind, found.sentences) == (
        GOOD,
        [
            "No. 2 scans of 2 patients were tested, in 2 folds. Each scan was segmented by a network that was trained "
            "without its patient; no patient was on both sides."
        ],
    )


def test_cases_that_no_fold_tests_are_counted():
    rows = scored(0.5, 0.7)
    found = belief.held_out(evidence(rows[:1], cases=entries(rows)))
    assert found.sentences[1] == "1 more case of the data was not tested."


def test_patients_on_both_sides_speak_against_it_by_name():
    found = belief.held_out(evidence(scored(0.5), folds={**FOLDS, "leaking_patients": ["anna", "bert"]}))
    assert (found.kind, found.sentences[0]) == (BAD, "Yes, some: anna, bert were trained on and tested.")


def test_another_models_weights_speak_against_it():
    found = belief.held_out(evidence(scored(0.5), settings={"begin_with": "other/fold0"}))
    assert (found.kind, found.sentences[-1]) == (
        BAD,
        "But it began with another model's weights, which may have been trained on these patients.",
    )


def test_of_label_maps_from_elsewhere_nobody_knows():
    found = belief.held_out(evidence(scored(0.5), settings={"name": "SomeTool"}, scored={"name": "SomeTool"}))
    assert (found.kind, found.sentences[0].partition(". ")[0]) == (BAD, "Nobody knows")


def test_one_file_under_two_patients_names_speaks_against_it():
    rows = scored(0.5, 0.7)
    found = belief.same_scans(evidence(rows, cases=entries(rows, image_sha256="0")))
    assert found.kind == BAD
    assert found.sentences[0].startswith("Yes: case_0 and case_1 are one file under the names of several patients")


def test_different_files_speak_for_it_and_say_what_they_do_not_show():
    found = belief.same_scans(evidence(scored(0.5, 0.7)))
    assert found.kind == GOOD
    assert found.sentences[0].startswith("Not by their files: no two of the 2 are the same under the names of two")


def test_failures_come_the_worst_first_and_lead_to_their_slices():
    found = belief.failures(evidence(scored(0.5, 0.9, 0.1), shown={("case_2", 0): 3}))
    assert (found.kind, found.sentences) == (BAD, ["In 2 of 3 scans with infection, its Dice is below 0.6."])
    assert found.cases == [
        Named("case_2", "infection Dice 0.100, 20 ml found, 40 ml in the reference", 3),
        Named("case_0", "infection Dice 0.500, 20 ml found, 40 ml in the reference", None),
    ]


def test_infection_where_there_is_none_is_told_apart_from_infection_that_was_missed():
    empty = scored(0.9, 0.0, 0.0, float("nan"), reference_ml=0.0)[1:]
    empty[1]["prediction_ml"] = 30.0
    found = belief.failures(evidence([*scored(0.9), *empty]))
    assert found.sentences == ["In 2 of 3 scans without infection, some was found all the same."]
    assert [case.told for case in found.cases] == ["30 ml found, none there", "20 ml found, none there"]


def test_many_failures_are_named_up_to_a_few():
    found = belief.failures(evidence(scored(*[0.1] * 9)))
    assert (len(found.cases), found.sentences[-1]) == (5, "The worst 5; the others stand in the table of cases.")


def test_where_nothing_failed_it_is_said():
    found = belief.failures(evidence(scored(0.8, 0.7)))
    assert (found.kind, found.sentences) == (GOOD, ["In none of 2 scans: the infection Dice is at least 0.6 in each."])


@pytest.mark.parametrize(
    ("dice", "raised", "kind", "told"),
    [
        ([0.1] * 4 + [0.9] * 4, [True] * 4 + [False] * 4, GOOD, "in 4 of 4 failed scans, and in 0 of 4 others."),
        ([0.1] * 5 + [0.9] * 9, [True] * 4 + [False] * 10, NEUTRAL, "in 4 of 5 failed scans, and in 0 of 9 others."),
        ([0.1, 0.9], [False, True], BAD, "in 0 of 1 failed scan, and in 1 of 1 other."),
    ],
    ids=["all", "most", "the wrong ones"],
)
def test_warnings_are_worth_what_they_told(dice, raised, kind, told):
    found = belief.warnings_worth(evidence(scored(*dice), findings=flagged(*raised)))
    assert (found.kind, found.sentences[0]) == (kind, f"A warning was raised {told}")


def test_a_difference_that_may_be_chance_is_called_so():
    found = belief.warnings_worth(evidence(scored(0.1, 0.9), findings=flagged(True, False)))
    assert (found.kind, found.sentences[1]) == (NEUTRAL, "With so few scans such a difference can be chance.")


def test_few_patients_speak_against_the_figures_with_their_interval():
    found = belief.how_sure(evidence(scored(*[0.4, 0.6] * 5)))
    assert found.kind == BAD
    assert found.sentences[0].startswith(
        "The infection Dice, 1 for perfect overlap and 0 for none, is 0.500, the mean of 10 patients, each counted "
        "once. With other patients like these it could as well be 0.4"
    )
    assert found.sentences[1] == (
        "Such an interval is too narrow with few patients: of 10, simulated, it held the truth in 79 of 100 trials, "
        "where 95 are promised."
    )


def test_two_patients_have_no_interval():
    found = belief.how_sure(evidence(scored(0.4, 0.6)))
    assert found.sentences[1] == "It has no interval: an interval needs 3 patients, there are 2."


def test_a_severity_that_is_far_off_speaks_against_it():
    shares = Severity(0.2, 0.2, 0.2), Severity(0.4, 0.4, 0.4)
    names = [f"case_{place}" for place in range(4)]
    findings = tuple(Finding(name, 0, severity_row(name, *shares), ()) for name in names)
    found = belief.severity(evidence(scored(*[0.5] * 4), findings=findings))
    assert (found.kind, found.sentences) == (
        BAD,
        [
            "The 80 % interval of the infected share, from 4 patients, reaches 20.0 percentage points to either side.",
            "The CT grade was right in 0 of 4 patients.",
        ],
    )


def reliability(before, after, low=None, high=None, why_not=""):
    scores = {"before": {"ece": {"value": before}}, "after": {"ece": {"value": after, "low": low, "high": high}}}
    return {"probabilities": {**scores, "temperature": None if why_not else 1.5, "why_not": why_not}}


@pytest.mark.parametrize(
    ("after", "high", "kind"), [(0.03, 0.08, GOOD), (0.03, 0.12, NEUTRAL), (0.11, 0.2, BAD), (0.03, None, GOOD)]
)
def test_probabilities_are_told_before_and_after_their_correction(after, high, kind):
    low = None if high is None else 0.01
    found = belief.probabilities(evidence(scored(0.5), summary=reliability(0.043, after, low, high)))
    reach = "" if high is None else f" (with other patients 1 to {100 * high:.0f})"
    assert (found.kind, found.sentences[1]) == (
        kind,
        f"Corrected, as PROBABILITIES=1 writes it, by {100 * after:.0f}{reach}; each patient's correction was learnt "
        "from the others.",
    )
    assert "off by 4 percentage points" in found.sentences[0]


def test_probabilities_without_a_correction_speak_against_them():
    found = belief.probabilities(evidence(scored(0.5), summary=reliability(0.2, None, why_not="two patients are few")))
    assert (found.kind, found.sentences[1]) == (BAD, "It is not corrected: two patients are few.")


def test_a_run_without_probabilities_says_nothing_of_them():
    assert belief.probabilities(evidence(scored(0.5))) is None


def test_what_was_not_tested_is_said():
    found = belief.elsewhere(evidence(scored(0.5, 0.7)))
    assert found.sentences[0].startswith("Little. Tested were 2 scans in Hounsfield units of this data set alone.")


def test_a_run_that_was_not_scored_has_no_answers():
    assert answers(evidence([]).run, {}) == []


def test_a_run_of_before_answers_what_its_files_allow():
    run = evidence(scored(0.5, 0.7), folds={}, cases={}).run
    assert [answer.question for answer in answers(run, {})] == ["Where did it fail?", "How sure are the figures?"]


def test_the_section_leads_to_slices_and_takes_names_as_text():
    rows = [{**each, "case": "<b>"} for each in scored(0.1)]
    body = belief.belief(evidence(rows).run, {("<b>", 0): 0}).body
    assert '<a href="#slices" data-show="0">&lt;b&gt;</a>: infection Dice 0.100' in re.sub(r"\s+", " ", body)
