"""Whether a scan fits into memory, from its grid alone, before anything of it is read."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from pipeline.core.machine import check_memory_left

# Measured on a real CT of 397 x 310 x 101 voxels of int16: 213 MiB more than a CT that is next to nothing takes
SCAN_BYTES = 18
# Counted, in float32: the prepared scan and how often each voxel was seen; what the network gives of each class, and
# that once more in the whole volume where it saw a box
PREPARED_BYTES, CLASS_BYTES = 8, 8


def bytes_needed(scanner_size: Sequence[int], prepared_size: Sequence[int], classes: int) -> int:
    """What grows with a scan: beside it stand the program, the network and its windows, which do not.

    Sizes in voxels, of the scanner's grid and of the one that the network sees.
    """
    return SCAN_BYTES * prod(scanner_size) + (PREPARED_BYTES + CLASS_BYTES * classes) * prod(prepared_size)


def check_memory(
    case: str, scanner_size: Sequence[int], prepared_size: Sequence[int], classes: int, reusable_mib: float = 0.0
) -> None:
    """Raise InputError with both figures where a scan needs more than is left.

    `reusable_mib` this process has already and does not need for anything else.
    """
    check_memory_left(
        bytes_needed(scanner_size, prepared_size, classes) / 2**20,
        lambda needed_mib, left_mib: (
            f"{case}: has {' x '.join(map(str, scanner_size))} voxels, which take about {needed_mib:,.0f} MiB of "
            f"memory beside the network, and {left_mib:,.0f} MiB are left; end other programs, or give the job more "
            "(MEM= on a cluster)."
        ),
        reusable_mib,
    )
