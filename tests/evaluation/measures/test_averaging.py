"""Means over rows and metrics of all their voxels together are two things; tables show both."""

from __future__ import annotations

import math

import pytest

from evaluation.measures.averaging import mean_scores, pooled_scores
from evaluation.measures.metrics import Overlap
from evaluation.measures.slices import averaged
from evaluation.tables.paper_table import markdown, published, text, with_references, write_means

HEADS = ("row", "structure")
PAPER = {("a", "infection"): {"dice": 0.7, "dice_sd": 0.1}, ("b", "infection"): {"dice": 0.8}}


def row(tp: int, fp: int, fn: int, tn: int = 90) -> dict:
    """A row of a case with its counts and two metrics."""
    overlap = Overlap(tp, fp, fn, tn)
    counts = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    return {**counts, "dice": overlap.dice, "precision": overlap.precision}


SMALL, LARGE, MISSED = row(1, 3, 0), row(80, 10, 10), row(0, 0, 10)


def means(dice: float, averaging: str = "cases", name: str = "a") -> dict:
    return {
        "row": name,
        "structure": "infection",
        "averaging": averaging,
        "scored": 3,
        "dice": dice,
        "dice_undefined": 0,
    }


def test_every_row_weighs_alike_in_a_mean():
    assert mean_scores([SMALL, LARGE], ["dice"])["dice"] == pytest.approx((2 / 5 + 160 / 180) / 2)


def test_every_voxel_weighs_alike_in_a_pool():
    assert pooled_scores([SMALL, LARGE], ["dice"])["dice"] == pytest.approx(162 / 185)


def test_a_pool_is_defined_where_one_of_its_rows_is_not():
    assert pooled_scores([SMALL, MISSED], ["precision"]) == {"precision": 0.25, "precision_undefined": 0}


def test_a_pool_without_any_prediction_has_no_precision():
    assert pooled_scores([MISSED, MISSED], ["precision"]) == {"precision": None, "precision_undefined": 1}


def test_counts_read_from_a_table_are_pooled():
    read = [{name: float(value) for name, value in one.items()} for one in (SMALL, LARGE)]
    assert pooled_scores(read, ["dice"]) == pooled_scores([SMALL, LARGE], ["dice"])


def test_a_deviation_is_that_of_a_sample():
    assert mean_scores([SMALL, LARGE], ["dice", "dice_sd"])["dice_sd"] == pytest.approx(
        abs(SMALL["dice"] - LARGE["dice"]) / math.sqrt(2)
    )


def test_one_row_has_no_deviation():
    assert mean_scores([SMALL], ["dice_sd"]) == {"dice_sd": None}


def test_models_are_averaged_after_their_slices_are_pooled():
    rows = [
        {"network": "enet", "class": "infection", "model": model, **one} for model, one in enumerate((SMALL, LARGE))
    ]
    *_, mean = averaged(rows, ["dice"], ["slices", "pooled"])
    assert (mean["model"], mean["dice"]) == ("mean", pytest.approx((2 / 5 + 160 / 180) / 2))


def test_each_averaging_is_a_table_under_its_name():
    shown = text("title", [], [means(0.5), means(0.6, "pooled")], {}, HEADS).splitlines()
    assert [line for line in shown if line in ("cases", "pooled")] == ["cases", "pooled"]


def test_the_papers_numbers_stand_beside_the_first_averaging_alone():
    shown = text("title", [], [means(0.5), means(0.6, "pooled")], PAPER, HEADS).splitlines()
    assert [line.split()[2:] for line in shown if line.startswith("a ")] == [
        ["0.500", "0.700", "±", "0.100"],
        ["0.600"],
    ]


def test_a_deviation_of_ours_stands_beside_its_mean():
    assert "0.500 ± 0.200" in text("title", [], [{**means(0.5), "dice_sd": 0.2}], {}, HEADS)


def test_what_the_paper_alone_has_is_a_row_without_our_numbers():
    rows = with_references([means(0.5), means(0.6, "pooled")], PAPER, HEADS)
    shown = text("title", [], rows, PAPER, HEADS).splitlines()
    assert [line.split() for line in shown if line.startswith("b ")] == [["b", "infection", "-", "0.800"]]


def test_a_page_has_a_heading_an_averaging():
    page = markdown("Title", ["note"], [means(0.5), means(0.6, "pooled")], PAPER, HEADS)
    assert [line for line in page.splitlines() if line.startswith("#")] == ["# Title", "## cases", "## pooled"]


def test_a_table_of_results_has_the_papers_numbers_and_deviations(tmp_path):
    write_means(tmp_path / "results.csv", [means(0.5)], PAPER, HEADS)
    head, line = (tmp_path / "results.csv").read_text().splitlines()
    assert head == "row,structure,averaging,scored,dice,dice_undefined,paper_dice,paper_dice_sd"
    assert line == "a,infection,cases,3,0.5,0,0.7,0.1"


@pytest.mark.parametrize(
    ("file", "key", "column", "expected"),
    [
        ("chs_net_tables4_5.csv", ("BU cascade", "lungs"), "precision", 0.73),
        ("chs_net_tables2_3.csv", ("chs_net", "infection"), "jaccard", 0.89),
        ("eamc_table3.csv", ("FTL", "infection"), "Seg-nr.2_sd", 0.194),
        ("eamc_table4.csv", ("1, 2, 3, 5", "infection"), "MosMed", 0.9513),
        ("small_covid_net_table1.csv", ("small_covid_net", "infection"), "sensitivity", 0.7321),
    ],
)
def test_a_published_table_is_read_by_its_first_two_columns(file, key, column, expected):
    assert published(file)[key][column] == expected


@pytest.mark.parametrize("file", ["chs_net_tables4_5.csv", "chs_net_tables2_3.csv"])
def test_no_jaccard_of_chs_net_can_be_that_of_its_dice(file):
    # As printed, to two decimals: above what the Dice allows at most
    assert all(row["jaccard"] > row["dice"] / (2 - row["dice"]) + 0.02 for row in published(file).values())
