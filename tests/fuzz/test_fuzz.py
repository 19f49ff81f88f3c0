"""Damaged files end in a result or in one sentence: the first few hundred of `make fuzz`, or with -m slow all."""

from __future__ import annotations

import pytest

from fuzz.attempts import KINDS, tried


def bad_ends(kind, folder, count):
    return [
        f"{outcome.name}: {outcome.kind}: {outcome.said}"
        for outcome in tried(kind, folder, count, 0)
        if not outcome.good
    ]


# Series take longest
FEW = {"images": 400, "pairs": 200, "series": 60, "folders": 150, "weights": 150}


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_hundred_damaged_inputs_end_well(tmp_path, kind):
    assert bad_ends(kind, tmp_path, FEW[kind]) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_damaged_inputs_end_well(tmp_path, kind):
    assert bad_ends(kind, tmp_path, 2000) == []
