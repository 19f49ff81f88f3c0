"""What every network costs, measured in one run, beside Table II of the Anam-Net paper.

pneumobundle profile anam_net enet
"""

from __future__ import annotations

import csv
import logging
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from evaluation.costs.network_cost import BATCH_SIZE, Cost, Subject, measure, precision
from pipeline.core.atomic import replacing, write_csv
from pipeline.core.configuration import TRAIN, merged, networks, optional_networks
from pipeline.core.errors import InputError
from pipeline.core.machine import cores
from pipeline.core.provenance import processor
from pipeline.core.text_table import aligned
from pipeline.folders.output_folder import claim_output

logger = logging.getLogger(__name__)
TABLE_II = Path(__file__).parents[1] / "tables" / "published" / "anam_net_table2.csv"
CLASSES_2D = 3  # Table II's: background, abnormal, normal
WIDTH = 120
# Columns of Table II's file, as the paper prints them: millions, MB, minutes of 100 epochs, milliseconds
PUBLISHED = ("parameters_m", "size_mb", "training_min", "inference_ms")
COLUMNS = (
    "network",
    "input",
    "parameters",
    "size_mib",
    "gmac",
    "inference_float32_s",
    "inference_s",
    "training_s",
    *(f"paper_{column}" for column in PUBLISHED),
)

# The cells of one network by column, all text; empty where there is nothing
Row = dict[str, str]


def profile(names: Sequence[str], output: str | Path, repeats: int = 3, size: int = 512) -> str:
    """Measure the networks, all that there are where none is named; write profile.md and profile.csv; give the table.

    2D networks are measured on one slice of `size` x `size` pixels. Raises InputError for an unknown network, and for
    one that needs an extra.
    """
    if size < 1:
        raise InputError(f"--size is {size}, expected at least 1 pixel, such as 512.")
    claim_output(output)
    subjects = [configured(name, size) for name in to_measure(names)]
    costs = measure(subjects, repeats)
    rows, remarks = table_rows(costs, published()), notes(costs)
    write_csv(Path(output) / "profile.csv", COLUMNS, rows)
    with replacing(Path(output) / "profile.md") as temporary:
        temporary.write_text(markdown(rows, remarks), encoding="utf-8")
    return text(rows, remarks)


def to_measure(names: Sequence[str]) -> list[str]:
    """The names, each once, or where there is none all networks that need no extra; a message tells of the others."""
    optional = optional_networks()
    for name, extra in optional.items():
        if name in names:
            raise InputError(f"NETWORKS has {name}, which needs the extra {extra} and is not measured; leave it out.")
        if not names:
            logger.info("%s is left out: it needs the extra %s", name, extra)
    return list(dict.fromkeys(names or networks()))


def configured(name: str, size: int) -> Subject:
    """A network of its paper's size, from its configuration: a 2D one for three classes, a 3D one with its own.

    The input is a slice of `size` x `size` pixels, or the window of a 3D network.
    """
    parser = ConfigParser(merged(TRAIN, name, "paper", {}, {}))
    flat = parser.get_parsed_content("spatial_dims") == 2
    if flat:
        parser["network_def::out_channels"] = CLASSES_2D
    spatial = (size, size) if flat else tuple(parser.get_parsed_content("patch_size"))
    channels = parser.get_parsed_content("network_def::in_channels", default=1)
    return Subject(name, parser.get_parsed_content("network_def"), (channels, *spatial))


def published(file: Path = TABLE_II) -> dict[str, Row]:
    """The rows of Table II by our name of the network, numbers as text so that they stay as printed."""
    with file.open(newline="", encoding="utf-8") as stream:
        return {row["network"]: row for row in csv.DictReader(stream)}


def table_rows(costs: Sequence[Cost], paper: Mapping[str, Row]) -> list[Row]:
    """One row a network; the paper's cells are empty where it has no such network."""
    return [_row(cost, paper.get(cost.name, {})) for cost in costs]


def _row(cost: Cost, paper: Mapping[str, str]) -> Row:
    seconds = cost.seconds()
    own = (
        cost.name,
        "x".join(map(str, cost.input_shape)),
        str(cost.parameters),
        f"{cost.size_mib:.2f}",
        f"{cost.gmac:.2f}" if cost.gmac < 100 else f"{cost.gmac:.1f}",
        *(f"{time_s:.3f}" for time_s in (seconds.inference_float32, seconds.inference, seconds.training)),
    )
    return dict(zip(COLUMNS, (*own, *(paper.get(column, "") for column in PUBLISHED)), strict=True))


def headings() -> list[tuple[str, str]]:
    """Two lines over each column, in the order of COLUMNS."""
    return [
        ("", "network"),
        ("", "input"),
        ("", "parameters"),
        ("", "MiB"),
        ("", "GMAC"),
        ("inference", "float32"),
        ("inference", precision()),
        ("training", precision()),
        *(("paper", unit) for unit in ("M", "MB", "min", "ms")),
    ]


def shown(row: Row) -> list[str]:
    """The cells for people: thousands marked, `-` for an empty one."""
    return [f"{int(row[name]):,}" if name == "parameters" else row[name] or "-" for name in COLUMNS]


def text(rows: Sequence[Row], remarks: Sequence[str]) -> str:
    """The table and what there is to know about it as plain text, at most WIDTH characters wide."""
    over, under = zip(*headings(), strict=True)
    paragraphs = (textwrap.fill(remark, WIDTH, subsequent_indent="  ") for remark in remarks)
    return "\n".join((aligned([over, under, *map(shown, rows)]), "", *paragraphs))


def markdown(rows: Sequence[Row], remarks: Sequence[str]) -> str:
    """The same as a Markdown file."""
    lines = [[f"{over} {under}".strip() for over, under in headings()], ["---", *["---:"] * (len(COLUMNS) - 1)]]
    table = ["| " + " | ".join(cells) + " |" for cells in (*lines, *map(shown, rows))]
    return "\n".join(("# What the networks cost", "", *table, "", *(f"- {remark}" for remark in remarks), ""))


def notes(costs: Sequence[Cost]) -> list[str]:
    """Where and how the numbers were measured, and what they can be compared with."""
    repeats = len(costs[0].passes)
    noisiest = max(costs, key=Cost.spread)
    differ = f" Repeats differ by up to {noisiest.spread():.0%} of their median ({noisiest.name})."
    return [
        f"Measured {datetime.now().astimezone():%Y-%m-%d %H:%M %z} on the CPU ({processor()}; {cores()} cores, "
        f"{torch.get_num_threads()} torch threads), torch {torch.__version__}.",
        f"2D networks are built for {CLASSES_2D} classes, as in Table II, and measured on one slice (channels x height "
        "x width); 3D networks keep their own classes and are measured on one window of their patch.",
        "MiB: parameters in float32, 4 bytes each. GMAC: 10^9 multiply-accumulates of convolutions and matrix products "
        "for one input in inference, half of what torch's FLOP counter counts.",
        f"Times are seconds for one input; inference gets one at a time. Each is the median of its repeats ({repeats}) "
        "after a warm-up; a repeat goes over all networks before the next begins." + (differ if repeats > 1 else ""),
        f"Training is forward, backward and Adam's step on {BATCH_SIZE} inputs, divided by {BATCH_SIZE}; a mean of "
        "squares, summed over auxiliary heads, stands for the loss. A real one costs little beside a network: Dice "
        "with cross-entropy takes about 0.01 s a slice of 512x512.",
        f"{precision()} is what the pipeline computes in on this machine; weights stay float32.",
        "paper: Table II of Paluru et al. 2021 (IEEE TNNLS 32): parameters in millions, model size, training of 100 "
        "epochs of its experiment 1, inference. Its times are of a Quadro RTX 8000 GPU: they compare with ours in "
        "order only, not in seconds.",
    ]
