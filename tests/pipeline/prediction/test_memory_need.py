"""A scan that does not fit into memory is refused with the figures, before it is read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipeline.core import machine
from pipeline.core.errors import InputError
from pipeline.core.machine import _control_groups, memory_left_mib
from pipeline.prediction.memory_need import bytes_needed, check_memory

SIZE = (512, 512, 300)


@pytest.fixture
def left(monkeypatch):
    monkeypatch.setattr(machine, "memory_left_mib", lambda: 1000.0)


def test_a_scan_that_fits_is_let_through(left):
    check_memory("a", (100, 100, 100), (50, 50, 50), 4)


def test_a_scan_that_does_not_fit_is_refused_with_both_figures(left):
    needed = bytes_needed(SIZE, SIZE, 4) / 2**20
    with pytest.raises(InputError, match=rf"a: has 512 x 512 x 300 voxels, .*{needed:,.0f} MiB.* and 1,000 MiB"):
        check_memory("a", SIZE, SIZE, 4)


def test_what_the_process_has_already_counts_as_left(left):
    check_memory("a", SIZE, SIZE, 4, reusable_mib=1e6)


def test_a_header_that_claims_a_huge_scan_is_refused(left):
    with pytest.raises(InputError, match="32767 x 32767 x 32767"):
        check_memory("a", (32767,) * 3, (1000,) * 3, 4)


def group(root: Path, name: str, **files: str) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (root / name / file.replace("_", ".", 1)).write_text(content)


def test_the_limit_of_a_control_group_is_what_it_has_left_without_files_that_can_be_dropped(tmp_path):
    (tmp_path / "groups").write_text("0::/job/step\n")
    mib = 2**20
    group(
        tmp_path / "fs",
        "job",
        memory_max=str(800 * mib),
        memory_current=str(300 * mib),
        memory_stat=f"inactive_file {100 * mib}\n",
    )
    group(tmp_path / "fs", "job/step", memory_max="max", memory_current="1", memory_stat="inactive_file 0\n")
    assert list(_control_groups(tmp_path / "groups", tmp_path / "fs")) == [(800, 200)]


def test_slurm_s_limit_counts_where_nothing_else_enforces_it(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "10")
    assert memory_left_mib() == 0


def test_where_the_system_tells_nothing_there_is_no_limit(monkeypatch):
    monkeypatch.setattr(machine, "available_mib", lambda: math.inf)
    monkeypatch.setattr(machine, "_control_groups", lambda: iter(()))
    monkeypatch.delenv("SLURM_MEM_PER_NODE", raising=False)
    monkeypatch.delenv("SLURM_MEM_PER_CPU", raising=False)
    assert memory_left_mib() == math.inf
