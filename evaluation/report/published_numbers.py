"""What papers printed for the networks of a comparison, with what it is of; never part of our own statistics."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from evaluation.report.run import Run
from evaluation.tables.paper_table import PUBLISHED, published
from pipeline.core.configuration import cascades
from pipeline.core.stages import stages_of

SOURCES = PUBLISHED / "sources.csv"
METRICS = ("dice", "sensitivity", "specificity", "precision", "accuracy")


class Source(NamedTuple):
    """Where a published table, or a column of one, comes from.

    Args:
        column: of the table, a data set whose Dice it holds; empty where the columns are metrics.
        averaging: of the printed numbers.
        public_20: whether it is of the whole public set of 20 CTs.
    """

    table: str
    column: str
    source: str
    data: str
    split: str
    averaging: str
    public_20: bool


class Printed(NamedTuple):
    """A paper's numbers of a network's structure, by metric."""

    network: str
    structure: str
    numbers: Mapping[str, float]
    source: Source


def sources() -> list[Source]:
    """All published tables that a comparison may quote."""
    with SOURCES.open(newline="", encoding="utf-8") as stream:
        rows = [*csv.DictReader(stream)]
    return [
        Source(
            row["table"],
            row["column"],
            row["source"],
            row["data"],
            row["split"],
            row["averaging"],
            row["public_20"] == "yes",
        )
        for row in rows
    ]


def bundle_of(run: Run) -> str:
    """The bundle of a run's network; that of a cascade where one is defined of the same two networks."""
    if len(run.stages) == 1:
        return str(run.settings.get("name"))
    pairs = {">".join(stage.network for stage in stages_of(name)): name for name in cascades()}
    return pairs.get(run.network, run.network)


def printed_of(networks: Iterable[str]) -> list[Printed]:
    """What is published of some bundles, by network in the order given, then by table."""
    found = []
    for network in dict.fromkeys(networks):
        for source in sources():
            for (name, structure), numbers in published(source.table).items():
                if name != network:
                    continue
                kept = {"dice": numbers[source.column]} if source.column else numbers
                found.append(Printed(network, structure, {key: kept[key] for key in METRICS if key in kept}, source))
    return found
