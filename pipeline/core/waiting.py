"""How the threads of OpenMP, which torch computes with, wait for one another.

By default they spin for long. Where other processes have the cores, they then wait for threads that do not run, and a
training step takes ten times as long. The libraries read their settings when they are loaded: this has to come before
torch, and imports nothing of it.
"""

from __future__ import annotations

from collections.abc import MutableMapping

# GNU's, in spins, and Intel's and LLVM's, in milliseconds. Alone a step takes as long as without; docs/training.md
SETTINGS = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}
# The standard's own word for it, which these would take the place of
POLICY = "OMP_WAIT_POLICY"


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Set what is not set; where the user has said how threads wait, nothing."""
    if POLICY not in environment:
        for name, value in SETTINGS.items():
            environment.setdefault(name, value)
