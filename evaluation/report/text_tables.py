"""Tables as plain text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evaluation.report.tables import Cell, Table
from pipeline.core import text_table
from pipeline.core.text_table import WIDTH, aligned

# Of a line with its two spaces before each cell
BETWEEN = 2


def table_text(table: Table, width: int = WIDTH) -> str:
    """The table with its caption; columns that do not fit go below, each block with the rows' headings again."""
    lines = [list(table.columns), *([_text(cell) for cell in cells] for cells in (*table.body, *table.foot))]
    widths = [max(map(len, column)) + BETWEEN for column in zip(*lines, strict=True)]
    blocks: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        if blocks[-1] and widths[0] + sum(widths[kept] for kept in blocks[-1]) + widths[column] > width:
            blocks.append([])
        blocks[-1].append(column)
    texts = [aligned([[line[0], *(line[column] for column in block)] for line in lines]) for block in blocks]
    return "\n".join((table.caption, "\n\n".join(texts)))


def _text(cell: Cell) -> str:
    return f"{cell.text} ({cell.detail})" if cell.detail else cell.text


def listed(sentences: Iterable[str]) -> str:
    """Sentences as a list."""
    return "\n".join(text_table.listed(sentences))


def titled(title: str, parts: Sequence[str]) -> str:
    """A section: its title underlined, then its parts with an empty line between them."""
    return "\n\n".join((f"{title}\n{'-' * len(title)}", *(part for part in parts if part)))
