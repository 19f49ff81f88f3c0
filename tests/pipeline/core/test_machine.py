"""Whether something fits into memory is asked in one place, whatever it is."""

from __future__ import annotations

import platform

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


@pytest.mark.parametrize(
    ("capabilities", "held_back", "name", "bfloat16"),
    [
        ({"avx2": True, "avx512_f": False, "cpu_name": "some"}, "", "AVX2", False),
        ({"avx2": True, "avx512_f": True, "avx512_vnni": True, "avx512_bf16": True}, "", "AVX-512 with bfloat16", True),
        ({"avx2": True, "avx512_f": True, "avx512_vnni": True, "avx512_bf16": True}, "avx2", "AVX2", False),
        ({"avx2": True, "avx_vnni": True}, "", "AVX2 with VNNI", False),
        ({}, "", platform.machine(), False),
    ],
)
def test_the_best_instructions_are_named(monkeypatch, capabilities, held_back, name, bfloat16):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities, raising=False)
    if held_back:
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", held_back)
    else:
        monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    assert machine.instructions() == name
    assert machine.computes_bfloat16() == bfloat16
