"""Tables of an ensemble: rows named by how honest they are, and a comparison only where one means something."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from evaluation.measures.flags import AGREEMENT, judged
from evaluation.measures.metrics import ALL_METRICS, COUNTS
from evaluation.measures.severity import Severity
from evaluation.statistics.ensemble_severity import CaseSeverity
from evaluation.statistics.ensemble_tables import (
    Group,
    comparisons,
    ensemble_summary,
    ensemble_tables,
    leave_one_out_table,
    mean_member_rows,
)
from evaluation.statistics.findings import Finding


def row(patient: int, dice: float, fold: int = 0) -> dict:
    numbers = dict.fromkeys((*ALL_METRICS, "reference_ml", "prediction_ml"), 0.5)
    head = {"case": f"c{patient}", "patient_id": f"p{patient}", "fold": fold, "structure": "infection"}
    return {**head, **numbers, **dict.fromkeys(COUNTS, 1), "dice": dice}


def external(ensemble: float = 0.8, patients: int = 8) -> Group:
    """Each patient a little different; one member 0.1 below the ensemble, the other 0.3."""
    scores = [ensemble + 0.01 * patient for patient in range(patients)]
    members = {
        name: [row(patient, score - less + 0.001 * patient) for patient, score in enumerate(scores)]
        for name, less in (("fold0", 0.1), ("fold1", 0.3))
    }
    rows = [row(patient, score) for patient, score in enumerate(scores)]
    return Group("external test set", rows, {f"c{patient}": 2 for patient in range(patients)}, members)


def disagreed(case: str) -> Finding:
    return Finding(case, 0, None, (judged(AGREEMENT, 0.2),))


def own(name: str = "out-of-patient", voters: int = 1) -> Group:
    return Group(name, [row(0, 0.6), row(1, 0.7)], {"c0": voters, "c1": voters}, {})


SEVERE = CaseSeverity(
    "c0",
    Severity(0.1, 0.3, 0.2),
    Severity(0.1, 0.2, 0.15),
    (Severity(0, 0.1, 0.05), Severity(0.3, 0.6, 0.4)),
)


def test_the_mean_member_is_the_mean_of_its_voters():
    assert mean_member_rows(external())[0]["dice"] == pytest.approx(0.6)


def test_the_mean_member_is_undefined_where_one_voter_is():
    group = external()
    group.members["fold0"][0]["dice"] = math.nan
    assert math.isnan(mean_member_rows(group)[0]["dice"])


def test_the_ensemble_is_compared_with_the_mean_member_patient_by_patient():
    (one,) = comparisons(external())
    assert one.test.pairs == 8
    assert one.median_difference.value == pytest.approx(0.2 - 0.0035)
    assert one.p_holm < 0.05


def test_the_verdict_is_a_sentence():
    assert "ensemble is higher (p" in " ".join(ensemble_tables("vote", [external()], []).split())


@pytest.mark.parametrize("group", [own(), own("LEAKING: every member votes", 2)])
def test_what_nobody_else_voted_on_is_not_compared(group):
    assert comparisons(group) == []


def test_one_voter_a_patient_is_said_to_be_no_ensemble():
    shown = " ".join(ensemble_tables("vote", [own()], []).split())
    assert "out-of-patient, one voter a patient" in shown
    assert "this row is that member's score and no ensemble's" in shown


def test_a_leaking_row_is_called_so():
    shown = " ".join(ensemble_tables("vote", [own("LEAKING: every member votes", 2)], []).split())
    assert "it says nothing about new patients" in shown


def test_each_member_has_a_row_of_its_own():
    shown = ensemble_tables("vote", [external()], [])
    assert [name in shown for name in ("mean single member", "fold0 alone", "fold1 alone")] == [True] * 3


def test_the_summary_is_plain_json():
    summary = ensemble_summary("vote", ["fold0", "fold1"], [own(), external()], [SEVERE])
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_a_disagreement_of_the_members_is_told():
    group = replace(external(), findings=[disagreed("c3")])
    assert "c3, agreement: The models disagree" in " ".join(ensemble_tables("vote", [group], []).split())


def test_the_summary_has_raised_flags_and_what_they_are_worth():
    (found,) = ensemble_summary("vote", [], [replace(external(0.5), findings=[disagreed("c3")])], [])["flags"]
    assert [(one["case"], one["flag"]) for one in found["raised"]] == [("c3", "agreement")]
    assert [(one["name"], one["failed"], one["caught"]) for one in found["worth"]] == [("agreement", 1, 1)]


def test_the_spread_of_the_infected_share_is_from_the_least_to_the_most_that_a_member_finds():
    (found,) = ensemble_summary("vote", [], [external()], [SEVERE])["severity"]["cases"]
    assert (found["ensemble_percent"], found["members_min_percent"], found["members_max_percent"]) == (15, 5, 40)


def test_the_spread_has_grades():
    found = SEVERE.as_row()
    assert [found[name] for name in ("ensemble_grade", "members_min_grade", "members_max_grade")] == [
        "CT-1",
        "CT-1",
        "CT-3",
    ]


def test_a_single_voter_has_no_spread():
    alone = CaseSeverity("c0", SEVERE.reference, SEVERE.ensemble, ())
    assert alone.as_row()["members_min_percent"] is None


def test_severity_is_shown_for_each_case():
    (line,) = [line for line in ensemble_tables("vote", [own()], [SEVERE]).splitlines() if line.startswith("c0")]
    assert line.split() == ["c0", "20.0", "15.0", "5.0", "40.0", "CT-2", "CT-1", "CT-1", "CT-3"]


def test_leaving_one_out_has_a_line_a_member_and_their_mean():
    lines = leave_one_out_table([row(4, 0.6, 0), row(2, 0.8, 1)], {0: 7, 1: 8}).splitlines()
    shown = [line.split() for line in lines if line.startswith(("fold", "mean", "SD  "))]
    assert shown == [["fold0", "p4", "7", "0.600"], ["fold1", "p2", "8", "0.800"], ["mean", "0.700"], ["SD", "0.141"]]
