"""The tables of benchmarks/README.md: one for each kind of processor, in place of the one before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

README = Path(__file__).with_name("README.md")
# No text of a table; a table's own begins with the kind
BEGIN, END = "<!-- measured on: {} -->", "<!-- until here by make benchmark KEEP=1 -->"


def with_table(readme: str, kind: str, machine: Mapping[str, object], duration: str, table: str) -> str:
    """The page with what was measured on a kind of processor; ValueError for a page whose marks are not in pairs."""
    begin = BEGIN.format(kind)
    told = ", ".join(f"{name} {value}" for name, value in machine.items())
    part = f"{begin}\n### {kind}\n\n`make benchmark` took {duration}: {told}.\n\n{table}{END}"
    before, found, rest = readme.partition(begin)
    if not found:
        return f"{readme.rstrip()}\n\n{part}\n"
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{begin} has no {END} after it")
    return before + part + after
