"""Tables as data, which `parts.html` turns into HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.core.text_table import number

ABSENT = "-"


@dataclass(frozen=True)
class Cell:
    """What stands in a cell.

    Args:
        order: what a sortable table sorts the cell by, where that is not the text; undefined numbers sort last.
        rows: how many rows the cell covers.
        shown: number of the case, among those shown, that the cell leads to.
        detail: a second line, such as an interval.
        kind: class of the style sheet, such as `best`.
    """

    text: str
    order: float | str | None = None
    rows: int = 1
    shown: int | None = None
    detail: str = ""
    kind: str = ""

    @property
    def key(self) -> str:
        """For sorting; empty where the value is undefined."""
        if self.order is None:
            return "" if self.text == ABSENT else self.text
        return "" if isinstance(self.order, float) and math.isnan(self.order) else str(self.order)


@dataclass(frozen=True)
class Table:
    """A table with its caption; the first cell of a row is its heading.

    Args:
        columns: headings.
        body: rows of cells; a row is shorter where a cell above covers its first places.
        foot: rows that are set apart and never sorted.
        texts: the columns, beside the first, that hold words and stand to the left.
        sortable: by the reader, by any column.
    """

    caption: str
    columns: Sequence[str]
    body: Sequence[Sequence[Cell]]
    foot: Sequence[Sequence[Cell]] = ()
    texts: Sequence[str] = ()
    sortable: bool = False

    def is_text(self, column: int) -> bool:
        return column == 0 or self.columns[column] in self.texts


def text_cells(texts: Iterable[object]) -> list[Cell]:
    return [Cell(str(text)) for text in texts]


def share_cell(value: float | None) -> Cell:
    """Three decimals, sorted by the exact value; a dash where it is undefined."""
    if value is None or math.isnan(value):
        return Cell(ABSENT, math.nan)
    return Cell(number(value), value)


def volume_cell(volume_ml: float) -> Cell:
    """Millilitres: whole ones, one decimal below ten."""
    return Cell(f"{volume_ml:.1f}" if volume_ml < 10 else f"{volume_ml:.0f}", volume_ml)


def name_of(structure: str) -> str:
    """`left_lung` as words."""
    return structure.replace("_", " ")


def key_value_table(caption: str, facts: Mapping[str, str]) -> Table:
    return Table(caption, ("", ""), [text_cells(fact) for fact in facts.items()], texts=("",))
