"""What every goal's measurements are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Args:
        repeats: of every contestant; medians are taken.
        scratch: a folder for generated scans and outputs, kept between calls.
        run: folder of a trained fold for what needs trained weights, such as runs/unet_3d/cv/fold0.
    """

    repeats: int
    scratch: Path
    run: Path
