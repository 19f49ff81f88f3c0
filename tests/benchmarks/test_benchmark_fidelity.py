"""How far a mode's labels are from those of another one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fidelity import compared
from pipeline.core.labels import CONSOLIDATION, GROUND_GLASS, STRUCTURES

REFERENCE = np.array([0, 1, 2, GROUND_GLASS, GROUND_GLASS, CONSOLIDATION, 0, 0])
EXACT = np.array([0, 1, 2, 3, 3, 0, 0, 0])
OTHER = np.array([0, 1, 2, 3, 3, 3, 0, 0])


def test_kinds_of_infection_in_a_reference_count_as_infection():
    same, change = compared([EXACT], [OTHER], [REFERENCE], STRUCTURES["infection"])
    assert (same, change) == (pytest.approx(0.8), pytest.approx(0.2))


def test_means_are_over_patients():
    same, change = compared([EXACT, EXACT], [OTHER, EXACT], [REFERENCE, REFERENCE], STRUCTURES["infection"])
    assert (same, change) == (pytest.approx(0.9), pytest.approx(0.1))
