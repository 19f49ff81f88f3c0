"""The cases of a data set, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.scans.intensity import GREY_255, HOUNSFIELD


def table(datalist: Mapping[str, Any]) -> str:
    """A line for every case, and a last one that counts them."""
    entries = datalist["training"]
    rows = [("case", "patient", "intensity", "size", "spacing mm", "left ml", "right ml", "infection ml")]
    for entry in entries:
        size = "x".join(str(length) for length in entry["size"])
        spacing = "x".join(f"{length:.4g}" for length in entry["spacing_mm"])
        volume_ml = entry["volume_ml"]
        structures = ("left_lung", "right_lung", "infection")
        volumes = [f"{volume_ml[name]:.1f}" if name in volume_ml else "-" for name in structures]
        rows.append((entry["case"], entry["patient_id"], entry["intensity"], size, spacing, *volumes))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    patients = len({entry["patient_id"] for entry in entries})
    hounsfield, grey = (sum(entry["intensity"] == domain for entry in entries) for domain in (HOUNSFIELD, GREY_255))
    counts = f"{hounsfield} in Hounsfield units, {grey} in 0..255 grey, layout {datalist['layout']}"
    return "\n".join([*lines, f"{len(entries)} cases of {patients} patients: {counts}"])
