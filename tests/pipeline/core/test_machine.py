"""Whether something fits into memory is asked in one place, whatever it is."""

from __future__ import annotations

import pytest

from pipeline.core import machine
from pipeline.core.errors import InputError
from pipeline.core.machine import check_memory_left


@pytest.fixture(autouse=True)
def left(monkeypatch):
    monkeypatch.setattr(machine, "memory_left_mib", lambda: 100.0)


def said(needed_mib: float, left_mib: float) -> str:
    return f"{needed_mib:g} of {left_mib:g}"


def test_what_just_fits_is_let_through():
    check_memory_left(100.0, said)


def test_what_does_not_fit_is_refused_in_the_caller_s_words_with_both_figures():
    with pytest.raises(InputError, match=r"^101 of 100$"):
        check_memory_left(101.0, said)


def test_what_can_be_used_again_counts_as_left():
    check_memory_left(110.0, said, reusable_mib=10.0)
    with pytest.raises(InputError, match=r"^111 of 110$"):
        check_memory_left(111.0, said, reusable_mib=10.0)
