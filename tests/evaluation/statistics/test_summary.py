"""The numbers of a summary by hand, and the tables that show them."""

import json
import math
import subprocess

import pytest
from commands import run_command

from evaluation.measures.cases import NUMBERS, write_metrics_csv
from evaluation.measures.metrics import EMPTY_RULE
from evaluation.statistics.summary import summarise
from evaluation.tables.scores import case_table, paper_table, structure_table, tables
from pipeline.core.errors import InputError
from pipeline.core.project import program
from pipeline.core.text_table import aligned, shortened

STRUCTURES = ("left_lung", "right_lung", "lungs", "infection")


def case_rows(case, fold, dice, patient_id=None):
    """Rows of one case: `dice` of the four structures in order, sensitivity a tenth lower, specificity 0.99."""
    who = {"case": case, "patient_id": patient_id or case, "fold": fold}
    return [
        {**who, "structure": structure, **dict.fromkeys(NUMBERS, 1.0)}
        | {"dice": value, "sensitivity": value - 0.1, "specificity": 0.99}
        for structure, value in zip(STRUCTURES, dice, strict=False)
    ]


def two_folds():
    """Three cases in fold 0, one of them without infection, and two in fold 1."""
    return [
        *case_rows("a", 0, (0.90, 0.80, 0.70, 0.50)),
        *case_rows("b", 0, (0.94, 0.84, 0.70, math.nan)),
        *case_rows("c", 0, (0.98, 0.94, 0.70, 0.60), patient_id="a"),
        *case_rows("d", 1, (0.60, 0.80, 0.70, 0.80)),
        *case_rows("e", 1, (0.70, 0.90, 0.70, 0.90)),
    ]


def test_cases_and_patients_are_counted_apart():
    summary = summarise(two_folds())
    assert (summary["cases"], summary["patients"]) == (5, 4)


def test_the_summary_states_the_empty_rule():
    assert summarise(two_folds())["empty_rule"] == EMPTY_RULE


def test_undefined_dice_is_left_out_and_counted():
    dice = summarise(two_folds())["structures"]["infection"]["dice"]
    assert dice["cases"] == 4
    assert dice["mean"] == pytest.approx((0.5 + 0.6 + 0.8 + 0.9) / 4)
    assert dice["median"] == pytest.approx(0.7)


def test_the_standard_deviation_is_that_of_a_sample():
    dice = summarise(two_folds()[-8:])["structures"]["left_lung"]["dice"]
    assert dice["std"] == pytest.approx(math.sqrt((0.05**2 + 0.05**2) / 1))


def test_one_case_has_no_standard_deviation():
    spread = summarise(case_rows("a", 0, (0.9, 0.8, 0.7, 0.5)))["structures"]["lungs"]["dice"]
    assert spread == {"mean": 0.7, "median": 0.7, "std": None, "cases": 1, "infinite": 0}


def test_a_structure_that_is_never_defined_has_neither_mean_nor_median():
    spread = summarise(case_rows("a", 0, (0.9, 0.8, 0.7, math.nan)))["structures"]["infection"]["dice"]
    assert spread == {"mean": None, "median": None, "std": None, "cases": 0, "infinite": 0}


def test_infinite_distances_are_counted_and_have_no_mean():
    rows = [{**row, "hd95_mm": math.inf} if row["case"] == "a" else row for row in two_folds()]
    found = summarise(rows)["structures"]["lungs"]["hd95_mm"]
    assert found == {"mean": None, "median": 1.0, "std": None, "cases": 5, "infinite": 1}


def test_a_median_among_infinite_distances_is_none():
    rows = [{**row, "hd95_mm": math.inf} for row in two_folds()]
    assert summarise(rows)["structures"]["lungs"]["hd95_mm"]["median"] is None


def test_slice_wise_dice_weighs_every_slice_the_same():
    rows = case_rows("a", 0, (0.9, 0.9, 0.9, 0.5)) + case_rows("b", 1, (0.9, 0.9, 0.9, 0.5))
    rows[3].update(slice_dice_empty_1=0.2, slices=30)
    rows[7].update(slice_dice_empty_1=0.6, slices=10)
    assert summarise(rows)["slice_wise"]["structures"]["infection"] == pytest.approx(0.3)


def test_pooled_dice_adds_up_the_voxels_of_all_cases():
    rows = case_rows("a", 0, (0.9, 0.9, 0.9, 0.5)) + case_rows("b", 1, (0.9, 0.9, 0.9, 0.5))
    rows[3].update(tp=90, fp=10, fn=10, tn=0)
    rows[7].update(tp=0, fp=5, fn=5, tn=0)
    assert summarise(rows)["pooled"]["structures"]["infection"]["dice"] == pytest.approx(180 / 210)


def test_lesions_of_all_cases_are_added_up():
    rows = case_rows("a", 0, (0.9, 0.9, 0.9, 0.5)) + case_rows("b", 1, (0.9, 0.9, 0.9, 0.5))
    for row in rows:
        row.update(lesions=math.nan)
    rows[3].update(lesions=3, lesions_found=2, lesions_false=4)
    rows[7].update(lesions=1, lesions_found=0, lesions_false=1)
    found = summarise(rows)["lesions"]
    assert (found["sensitivity"], found["false_positives_a_case"]) == (0.5, 2.5)


def test_without_an_infection_there_are_no_lesions():
    rows = [{**row, "lesions": math.nan} for row in two_folds()]
    assert summarise(rows)["lesions"] is None


def test_a_summary_is_json_without_nan():
    summary = summarise(case_rows("a", 0, (math.nan, 0.8, 0.7, math.nan)))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_fold_lungs_are_the_mean_of_left_and_right_medians():
    first = summarise(two_folds())["miscnn"]["folds"][0]
    assert first["lungs"]["dice"] == pytest.approx((0.94 + 0.84) / 2)


def test_fold_medians_count_an_undefined_dice_as_zero():
    first = summarise(two_folds())["miscnn"]["folds"][0]
    # the median of 0, 0.5 and 0.6; without the empty case it would be 0.55
    assert first["infection"]["dice"] == 0.5


def test_fold_medians_cover_sensitivity_and_specificity():
    second = summarise(two_folds())["miscnn"]["folds"][1]
    assert second["infection"]["sensitivity"] == pytest.approx(0.75)
    assert second["infection"]["specificity"] == pytest.approx(0.99)


def test_the_average_is_the_mean_of_fold_medians():
    average = summarise(two_folds())["miscnn"]["average"]
    assert average["infection"]["dice"] == pytest.approx((0.5 + 0.85) / 2)
    assert average["lungs"]["dice"] == pytest.approx((0.89 + 0.75) / 2)


def test_the_mean_of_fold_medians_hides_a_lost_case():
    dice = {0: (0.8, 0.8, 0.8, 0.0), 1: (0.8, 0.8, 0.8, 0.8)}
    rows = [
        row
        for fold, values in dice.items()
        for index, value in enumerate(values)
        for row in case_rows(f"{fold}{index}", fold, (0.9, 0.9, 0.9, value))
    ]
    summary = summarise(rows)
    assert summary["miscnn"]["average"]["infection"]["dice"] == pytest.approx(0.8)
    assert summary["structures"]["infection"]["dice"]["mean"] == pytest.approx(0.7)


def test_one_fold_of_one_case_is_its_own_average():
    miscnn = summarise(case_rows("a", 3, (0.9, 0.8, 0.7, 0.5)))["miscnn"]
    assert [fold["fold"] for fold in miscnn["folds"]] == [3]
    assert miscnn["average"]["lungs"]["dice"] == pytest.approx(0.85)


def test_a_case_that_stands_twice_is_refused():
    with pytest.raises(InputError, match="case a: left_lung stands 2 times in fold 0"):
        summarise([*case_rows("a", 0, (1, 1, 1, 1)), *case_rows("a", 0, (1, 1, 1, 1))])


def test_no_rows_have_no_average():
    assert summarise([])["miscnn"] is None


def test_the_paper_table_has_a_row_per_fold_the_average_and_the_papers_own():
    lines = paper_table(summarise(two_folds())).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["0", "1", "AVG"]
    assert lines[4].split() == ["AVG", "5", "0.820", "0.720", "0.990", "0.675", "0.575", "0.990"]
    assert lines[5].split()[-7:] == ["20", "0.956", "0.956", "0.998", "0.761", "0.730", "0.999"]


def test_the_paper_table_says_how_it_averages_and_whose_data_the_last_row_is():
    text = " ".join(paper_table(summarise(two_folds())).split())
    assert "mean over folds of the median over a fold's cases" in text
    assert "Other data than the rows above" in text


def test_the_structure_table_shows_spread_median_and_number_of_cases():
    line = structure_table(summarise(two_folds())).splitlines()[5]
    assert line.split()[:6] == ["infection", "0.700", "±", "0.183", "0.700", "4"]


def test_the_structure_table_states_the_empty_rule():
    assert EMPTY_RULE in " ".join(structure_table(summarise(two_folds())).split())


def test_the_case_table_is_sorted_and_marks_undefined_dice():
    lines = case_table(two_folds()[::-1]).splitlines()
    assert [line[0] for line in lines[2:7]] == ["a", "b", "c", "d", "e"]
    assert lines[3].split() == ["b", "0", "0.940", "0.840", "0.700", "-"]


def test_tables_stay_within_a_hundred_plain_characters():
    rows = [*two_folds(), *case_rows("1.2.840.113704.1.111." * 5, 11, (1, 1, 1, 1))]
    text = tables(rows, summarise(rows))
    assert max(map(len, text.splitlines())) <= 100
    assert {letter for letter in text if not letter.isascii()} == {"±"}


def test_columns_stand_under_one_another():
    assert aligned([["name", "n"], ["a", "100"], ["long name", "-"]]).splitlines() == [
        "name         n",
        "a          100",
        "long name    -",
    ]


def test_a_long_case_name_keeps_both_ends():
    assert shortened("first" + "x" * 60 + "last") == "first" + "x" * 16 + ".." + "x" * 17 + "last"


def test_the_command_prints_the_tables_and_writes_the_summary(tmp_path, capsys):
    write_metrics_csv(two_folds(), tmp_path / "metrics.csv")
    run_command("summary", tmp_path / "metrics.csv")
    assert json.loads((tmp_path / "summary.json").read_text()) == summarise(two_folds())
    assert capsys.readouterr().out.strip() == tables(two_folds(), summarise(two_folds()))


def test_the_command_tells_of_a_missing_table_in_one_line(tmp_path):
    command = program("summary", str(tmp_path / "gone.csv"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'gone.csv'}: there is no such file; check the path.\n"


def test_without_the_papers_structures_there_is_no_paper_table():
    rows = [{**row, "structure": "abnormal"} for row in case_rows("a", 0, (0.9,))]
    summary = summarise(rows)
    assert summary["miscnn"] is None
    assert "MIScnn" not in tables(rows, summary)
    assert "abnormal" in tables(rows, summary)
