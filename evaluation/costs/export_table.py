"""What exported networks weigh, take and change, as tables, beside Table III of the Anam-Net paper."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.costs.cost import published as printed_costs
from evaluation.tables.paper_table import paper_names, published
from pipeline.core.atomic import replacing, write_csv, write_json
from pipeline.core.text_table import WIDTH, aligned, number

TABLE_III = "anam_net_table3.csv"
PAPER_NOTE = (
    "paper: Table III of Paluru et al. 2021 (Anam-Net, IEEE TNNLS 32), seconds for one slice; parameters and size from "
    "its Table II. Anam-Net ran there in TensorFlow Lite on the Raspberry Pi and in PyTorch Lite on the telephone: the "
    "seconds compare with those of this machine in order only."
)


@dataclass(frozen=True)
class Exported:
    """A row of the table: one format.

    Args:
        name: of the format; the first row is what the others are compared with.
        file: empty where none is written.
        size_mb: 10^6 bytes.
        seconds_1_thread, seconds_all_cores: for one slice, or window of a 3D network.
        difference: the largest absolute one of any probability.
        changed_share: of the labels in what either network finds, 0 to 1.
        dice: mean over cases by structure, nan where undefined; empty where there are no labels.
        refused: why the file was not kept; empty where it was.
    """

    name: str
    file: str
    size_mb: float
    seconds_1_thread: float
    seconds_all_cores: float
    difference: float
    changed_share: float
    dice: Mapping[str, float]
    refused: str = ""


def dice_changes(row: Exported, first: Exported) -> dict[str, float]:
    """The Dice of each structure less that of the first row."""
    return {structure: dice - first.dice[structure] for structure, dice in row.dice.items()}


def cells(rows: Sequence[Exported]) -> list[dict[str, Any]]:
    """A row a format for CSV and JSON, numbers with all their digits."""
    found = []
    for row in rows:
        changes = dice_changes(row, rows[0])
        found.append(
            {
                "format": row.name,
                "file": row.file,
                "size_mb": row.size_mb,
                "seconds_1_thread": row.seconds_1_thread,
                "seconds_all_cores": row.seconds_all_cores,
                "largest_difference": row.difference,
                "changed_share": row.changed_share,
                **{f"dice_{structure}": dice for structure, dice in row.dice.items()},
                **{f"dice_change_{structure}": change for structure, change in changes.items()},
                "refused": row.refused,
            }
        )
    return found


def format_table(rows: Sequence[Exported], cores: int) -> list[list[str]]:
    """Size, time and parity; the heading first."""
    lines = [["format", "file", "MB", "s, 1 thread", f"s, {cores} threads", "difference", "labels changed"]]
    for row in rows:
        times = (f"{seconds:.4f}" for seconds in (row.seconds_1_thread, row.seconds_all_cores))
        parity = (f"{row.difference:.1e}", f"{row.changed_share:.3%}")
        lines.append([row.name, row.file or "-", f"{row.size_mb:.2f}", *times, *parity])
    return lines


def dice_table(rows: Sequence[Exported]) -> list[list[str]]:
    """The Dice of each structure by format, with its change; the heading alone where there are no labels."""
    structures = list(rows[0].dice)
    lines = [["format", *(heading for structure in structures for heading in (structure, "change"))]]
    for row in rows if structures else ():
        changes = dice_changes(row, rows[0])
        shown = (text for name in structures for text in (number(row.dice[name]), signed(changes[name])))
        lines.append([row.name, *shown])
    return lines


def signed(value: float) -> str:
    """Four decimals and a sign; `-` for nan."""
    return "-" if math.isnan(value) else f"{value:+.4f}"


def paper_lines() -> list[list[str]]:
    """Table III of the Anam-Net paper with Table II's columns of the same networks; the heading first."""
    names, costs = paper_names(TABLE_III), printed_costs()
    lines = [["device", "network", "M parameters", "MB", "s a slice", "memory GB", "cost $"]]
    for (network, device), numbers in published(TABLE_III).items():
        both = (costs[network][column] for column in ("parameters_m", "size_mb"))
        own = (f"{numbers[column]:g}" for column in ("inference_s", "memory_gb", "cost_usd"))
        lines.append([device, names[network], *both, *own])
    return lines


def tables(rows: Sequence[Exported], cores: int) -> list[tuple[str, list[list[str]]]]:
    """All tables with their titles; that of Dice only where there are labels."""
    dice = [("Dice, mean over cases", dice_table(rows))] if rows[0].dice else []
    return [("Formats", format_table(rows, cores)), *dice, ("The Anam-Net paper's devices", paper_lines())]


def text(title: str, rows: Sequence[Exported], cores: int, notes: Sequence[str]) -> str:
    """As plain text."""
    shown = [f"{name}\n{aligned(lines)}" for name, lines in tables(rows, cores)]
    wrapped = [textwrap.fill(f"- {note}", WIDTH, subsequent_indent="  ") for note in (*notes, PAPER_NOTE)]
    return "\n\n".join((title, *shown, "\n".join(wrapped)))


def markdown(title: str, rows: Sequence[Exported], cores: int, notes: Sequence[str]) -> str:
    """As a Markdown page."""
    parts = [f"# {title}"]
    for name, (head, *lines) in tables(rows, cores):
        rule = ["---", *("---:" for _ in head[1:])]
        parts += [f"## {name}", "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))]
    return "\n\n".join((*parts, "\n".join(f"- {note}" for note in (*notes, PAPER_NOTE)))) + "\n"


def write_tables(
    folder: Path, title: str, rows: Sequence[Exported], cores: int, notes: Sequence[str], told: Mapping[str, Any]
) -> None:
    """Write export.csv, export.json, which has `told` too, and export.md."""
    found = cells(rows)
    write_csv(folder / "export.csv", list(found[0]), found)
    defined = [{key: None if _undefined(value) else value for key, value in row.items()} for row in found]
    write_json(folder / "export.json", {**told, "formats": defined, "notes": list(notes)})
    with replacing(folder / "export.md") as temporary:
        temporary.write_text(markdown(title, rows, cores, notes), encoding="utf-8")


def _undefined(value: object) -> bool:
    """JSON has no nan and no infinity."""
    return isinstance(value, float) and not math.isfinite(value)
