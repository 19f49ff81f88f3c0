"""A table of each kind of processor stands once in the page, and the others stay."""

from __future__ import annotations

import pytest

from benchmarks.readme import BEGIN, END, README, with_table

MACHINE = {"cpu": "some processor", "cores": 2}


def test_a_new_kind_comes_last_and_the_same_kind_takes_its_place():
    page = with_table("# Benchmarks\n", "AVX2", MACHINE, "20 min", "| one |\n")
    page = with_table(page, "AVX-512", MACHINE, "9 min", "| two |\n")
    page = with_table(f"{page}\nthe end\n", "AVX2", MACHINE, "30 min", "| three |\n")
    assert "| one |" not in page
    assert page.index("| three |") < page.index("| two |") < page.index("the end")
    assert page.count("cpu some processor, cores 2") == 2
    assert page.count(END) == 2
    assert "took 30 min" in page
    assert "took 20 min" not in page


def test_a_mark_without_its_end_is_an_error():
    with pytest.raises(ValueError, match="has no"):
        with_table(BEGIN.format("AVX2"), "AVX2", MACHINE, "1 min", "")


def test_the_marks_of_the_page_itself_are_in_pairs():
    page = README.read_text(encoding="utf-8")
    assert page.count(BEGIN.partition("{")[0]) == page.count(END)
