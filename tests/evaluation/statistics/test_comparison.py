"""Runs read from their tables, refused where they are not of the same cases, and compared patient by patient."""

import math

import numpy as np
import pytest
from report_makers import row, rows

from evaluation.measures.cases import write_metrics_csv
from evaluation.statistics.comparison import case_differences, compare, read_runs, run_names, shared_structures
from pipeline.core.errors import InputError


def keyed(*tables):
    return {(one["case"], one["fold"], one["structure"]): one for table in tables for one in table}


@pytest.fixture
def written(tmp_path):
    """Writes each table to runs/<name>/cv/metrics.csv and gives the folders."""

    def write(**tables):
        folders = [tmp_path / "runs" / name / "cv" for name in tables]
        for folder, table in zip(folders, tables.values(), strict=True):
            write_metrics_csv(table, folder / "metrics.csv")
        return folders

    return write


def test_runs_are_named_by_what_tells_their_folders_apart(written):
    assert list(read_runs(written(enet=rows([0.5]), unet=rows([0.6])))) == ["enet", "unet"]


def test_a_run_may_be_given_as_its_table(written):
    folders = written(enet=rows([0.5]), unet=rows([0.6]))
    assert read_runs([folder / "metrics.csv" for folder in folders]) == read_runs(folders)


def test_a_folder_within_another_keeps_its_path(tmp_path):
    files = [tmp_path / "cv" / "metrics.csv", tmp_path / "cv" / "cv" / "metrics.csv"]
    assert run_names(files) == [str(files[0]), "cv"]


def test_the_same_run_twice_is_refused(written):
    with pytest.raises(InputError, match="given twice"):
        read_runs(written(enet=rows([0.5])) * 2)


def test_a_repeated_row_is_refused(written):
    with pytest.raises(InputError, match="two rows of case case_0, fold 0, infection"):
        read_runs(written(enet=rows([0.5]) * 2))


def test_an_empty_table_is_refused(written):
    with pytest.raises(InputError, match="has no rows"):
        read_runs(written(enet=[]))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        pytest.param(
            rows([0.5]), "case_1: its infection is tested in fold 0 of enet and in no fold of unet", id="case"
        ),
        pytest.param(rows([0.5, 0.5], fold=1), "tested in fold 0 of enet and in fold 1 of unet", id="fold"),
        pytest.param(rows([0.5, 0.5], patient_id="x"), "patient case_0 in enet and x in unet", id="patient"),
        pytest.param(rows([0.5, 0.5], reference_ml=2), "has 1.000 ml in enet and 2.000 ml in unet", id="reference"),
    ],
)
def test_runs_of_other_cases_are_refused(written, other, message):
    folders = written(enet=rows([0.5, 0.6]), unet=other)
    with pytest.raises(InputError, match=message):
        read_runs(folders)


def test_runs_may_score_other_structures_besides(written):
    lungs = rows([0.9, 0.9], structure="lungs")
    runs = read_runs(written(enet=rows([0.5, 0.6]), unet=[*rows([0.5, 0.7]), *lungs]))
    assert shared_structures(runs) == ["infection"]


def test_runs_without_a_common_structure_are_refused(written):
    runs = read_runs(written(enet=rows([0.5]), unet=rows([0.5], structure="lungs")))
    with pytest.raises(InputError, match="no structure in common"):
        shared_structures(runs)


def test_a_structure_that_a_run_lacks_is_refused():
    with pytest.raises(InputError, match="lungs is not in every run; expected one of: infection"):
        shared_structures({"enet": keyed(rows([0.5]))}, ["lungs"])


def test_cases_are_paired_whatever_their_order():
    first, second = rows([0.5, 0.9]), rows([0.4, 0.7])
    found = case_differences(keyed(first), keyed(second[::-1]), "dice", "infection")
    assert found == [("case_0", pytest.approx(0.1)), ("case_1", pytest.approx(0.2))]


def test_two_infinite_distances_are_equal():
    lost = keyed(rows([math.inf]))
    assert case_differences(lost, lost, "dice", "infection") == [("case_0", 0.0)]


def compared(first, second, structure="infection"):
    return compare({"a": keyed(first), "b": keyed(second)}, "dice", [structure])[0]


def test_several_cases_of_a_patient_are_one_pair():
    first, second = [
        [row(f"p{n}", value, patient_id="p") for n, value in enumerate(dice)] for dice in ((0.5, 0.9), (0.4, 0.7))
    ]
    found = compared([*first, row("q", 0.8)], [*second, row("q", 0.5)])
    assert (found.cases, found.test.pairs) == (3, 2)
    assert found.median_difference.value == pytest.approx((0.15 + 0.3) / 2)


def test_cases_that_are_undefined_in_either_run_are_left_out_and_counted():
    found = compared(rows([0.5, math.nan, 0.7]), rows([0.4, 0.5, math.nan]))
    assert (found.cases, found.left_out, found.test.pairs) == (1, 2, 1)


def test_the_interval_of_the_median_difference_is_over_patients():
    assert compared(rows([0.5, 0.7, 0.9]), rows([0.4, 0.5, 0.6])).median_difference.patients == 3


def test_every_two_runs_are_compared_on_every_structure():
    run = keyed(rows([0.5]), rows([0.9], structure="lungs"))
    found = compare(dict.fromkeys("abc", run), "dice", ["lungs", "infection"])
    assert [one.first + one.second for one in found] == ["ab", "ac", "bc"] * 2


def test_holms_correction_is_over_all_comparisons_of_the_family():
    steps = np.arange(1, 9) / 100
    runs = {"a": rows(0.5 + steps), "b": rows([0.5] * 8), "c": rows([0.5] * 8)}
    found = compare({name: keyed(table) for name, table in runs.items()}, "dice", ["infection"])
    # a and b, a and c: 2 / 256 each, times two; b and c are equal and not counted
    assert [one.p_holm for one in found] == [pytest.approx(4 / 256), pytest.approx(4 / 256), None]


def test_the_smallest_corrected_p_follows_from_the_pairs_of_the_whole_family():
    table = [*rows([0.5] * 6), *rows([0.5] * 5, structure="lungs")]
    better = [*rows(0.6 + np.arange(6) / 100), *rows(0.6 + np.arange(5) / 100, structure="lungs")]
    found = compare({"a": keyed(better), "b": keyed(table)}, "dice", ["infection", "lungs"])
    assert [one.smallest_p_holm for one in found] == [0.0625, 0.0625]
