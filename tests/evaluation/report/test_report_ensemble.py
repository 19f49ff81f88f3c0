"""What the report says of a leave-one-patient-out ensemble."""

from __future__ import annotations

import json

import pytest
from markupsafe import escape
from report_makers import write_run

from evaluation.measures.cases import NUMBERS
from evaluation.measures.flags import AGREEMENT, judged
from evaluation.measures.severity import Severity
from evaluation.report.cross_validation import report
from evaluation.report.ensemble_section import ensemble, score_table, spread_table
from evaluation.report.run import read_run
from evaluation.statistics.ensemble_severity import CaseSeverity
from evaluation.statistics.ensemble_tables import ONE_VOTER, Group, ensemble_summary
from evaluation.statistics.findings import Finding


def rows(dice, cases=6):
    who = [{"case": f"case_{number}", "patient_id": f"p{number}", "fold": 0} for number in range(cases)]
    return [{**one, "structure": "infection", **dict.fromkeys(NUMBERS, 1.0), "dice": dice} for one in who]


def scores():
    """Two members that score 0.5 and 0.6 alone and 0.7 together on six external cases."""
    voters = {row["case"]: 2 for row in rows(0)}
    flagged = Finding("case_0", 0, None, (judged(AGREEMENT, 0.2),))
    external = Group("external", rows(0.7), voters, {"fold0": rows(0.5), "fold1": rows(0.6)}, [flagged])
    left_out = Group("out-of-patient", rows(0.4), dict.fromkeys(voters, 1), {})
    half, none = Severity(0.5, 0.1, 0.3), Severity(0.2, 0.0, 0.1)
    severity = CaseSeverity("case_0", half, half, (half, none))
    return json.loads(json.dumps(ensemble_summary("vote", ["fold0", "fold1"], [left_out, external], [severity])))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("run"))
    (folder / "lopo.json").write_text(json.dumps(scores()))
    return read_run(folder)


def test_the_table_names_who_votes_and_on_how_many_patients():
    body = [[cell.text for cell in cells] for cells in score_table(scores()).body]
    assert body[1:3] == [["external, ensemble", "6", "0.700 ± 0.000"], ["mean single member", "6", "0.550 ± 0.000"]]


def test_a_case_has_the_range_of_its_members():
    (cells,) = spread_table(scores()).body
    assert [cell.text for cell in cells] == ["case_0", "30.0", "30.0", "10.0 to 30.0", "CT-2", "CT-2", "CT-1 to CT-2"]


def test_a_single_voter_is_called_no_ensemble(run):
    assert escape(ONE_VOTER[1:]) in ensemble(run).body


def test_the_comparison_with_the_mean_member_is_told(run):
    assert "External. Dice of infection, ensemble and mean single member" in ensemble(run).body


def test_a_disagreement_of_the_members_is_told(run):
    assert "The models disagree on the infection (Dice 0.20 between them)" in ensemble(run).body


def test_the_report_has_the_section_and_its_title(run):
    page = report(run, 0)
    assert '<section id="ensemble"' in page
    assert "Leave-one-patient-out of unet_3d" in page


def test_a_cross_validation_has_no_such_section(tmp_path):
    assert ensemble(read_run(write_run(tmp_path))) is None
