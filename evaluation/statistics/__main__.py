"""Intervals of cross-validations of the same cases, and paired comparisons between them.

    python -m evaluation.statistics runs/unet_3d/cv runs/anam_net/cv

Each argument is a folder with `metrics.csv`, or such a file. One alone gives its intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from evaluation.measures.metrics import METRICS
from evaluation.statistics.comparison import compare, read_runs, shared_structures
from evaluation.statistics.verdicts import SCOPE, comparison_table, estimate_table, interval_note
from pipeline.core.errors import report_plainly
from pipeline.core.run_files import METRICS_FILE
from pipeline.core.text_table import listed


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    about = "Intervals of cross-validations, and paired comparisons between them."
    parser = argparse.ArgumentParser(prog="python -m evaluation.statistics", description=about)
    parser.add_argument("runs", nargs="+", metavar="RUN", help=f"folder with {METRICS_FILE}, or such a file")
    parser.add_argument("--metric", default="dice", choices=METRICS)
    parser.add_argument("--structure", action="append", default=[], help="compare this one alone; may be repeated")
    chosen = parser.parse_args(arguments)
    runs = read_runs(chosen.runs)
    structures = shared_structures(runs, chosen.structure)
    tables = [estimate_table(runs, chosen.metric, structures)]
    if len(runs) > 1:
        tables.append(comparison_table(compare(runs, chosen.metric, structures)))
    print("\n\n".join((*tables, "\n".join(listed([interval_note(), SCOPE])))))


if __name__ == "__main__":
    main()
