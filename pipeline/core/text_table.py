"""Plain-text tables and sentences, at most 100 characters wide, and tables of Markdown."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 100
CASE_WIDTH = 44


def sentence(rule: str) -> str:
    """A rule, which may stand behind a colon, as a sentence of its own."""
    return f"{rule[0].upper()}{rule[1:]}."


def number(value: float | None) -> str:
    """Three decimals; `-` for None and nan."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def decimal(value: float | None) -> str:
    """One decimal; `-` for None and nan."""
    return "-" if value is None or math.isnan(value) else f"{value:.1f}"


def shortened(name: str) -> str:
    """A name of at most CASE_WIDTH characters; the middle goes, since names of series differ at their ends."""
    if len(name) <= CASE_WIDTH:
        return name
    half = (CASE_WIDTH - 2) // 2
    return f"{name[:half]}..{name[-half:]}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Cells under one another, two spaces apart: the first column to the left, the others to the right."""
    first, *others = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join((line[0].ljust(first), *map(str.rjust, line[1:], others))).rstrip() for line in lines)


def wrapped(sentence: str) -> list[str]:
    """The lines of a sentence."""
    return textwrap.wrap(sentence, WIDTH)


def listed(sentences: Iterable[str]) -> list[str]:
    """The lines of sentences that stand below one another, each after a dash."""
    return [line for one in sentences for line in textwrap.wrap(f"- {one}", WIDTH, subsequent_indent="  ")]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, its first row the head."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])
