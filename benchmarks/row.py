"""One measured line of the table, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MET = {True: "met", False: "missed", None: ""}
COLUMNS = ("goal", "what", "measured", "against", "times", "asked", "peak GiB", "")


@dataclass(frozen=True)
class Row:
    """A measurement beside what the project wants of it.

    Args:
        goal: its number, see benchmarks/README.md.
        name: what was measured.
        value: median over the repeats, in `unit`.
        unit: such as `s` or `patches/s`; empty for a number without one.
        reference: what `ratio` compares with; empty where nothing is compared.
        ratio: how many times better than the reference, above 1 is better; None without a reference.
        target: what is asked for, in words; empty for a row that is there for comparison.
        met: whether it is; None without a target.
        peak_gib: most memory that the process had at once; None where it was not measured.
    """

    goal: int
    name: str
    value: float
    unit: str
    reference: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    peak_gib: float | None = None


def table(rows: Sequence[Row]) -> str:
    """The rows by goal as a Markdown table, which can be read as it is."""
    lines = [
        COLUMNS,
        tuple("---" for _ in COLUMNS),
        *(
            (
                str(row.goal),
                row.name,
                f"{shown(row.value)} {row.unit}".strip(),
                row.reference,
                "" if row.ratio is None else f"{row.ratio:.1f}",
                row.target,
                "" if row.peak_gib is None else f"{row.peak_gib:.2f}",
                MET[row.met],
            )
            for row in sorted(rows, key=lambda row: row.goal)
        ),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def shown(number: float) -> str:
    """Digits that matter, none of them an exponent: 0.0123, 1.23, 12.3, 123."""
    if number == 0 or abs(number) >= 100:
        return f"{number:.0f}"
    if abs(number) < 1:
        return f"{number:.4f}"
    return f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"
