"""The report of a cross-validation, as one HTML file.

    python -m evaluation.report runs/unet_3d/cv

writes `report.html` into that folder. It holds pictures of patients: share it as you would share the scans.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from evaluation.report.cross_validation import REPORT, SHOWN, write_report
from pipeline.core.errors import report_plainly


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    parser = argparse.ArgumentParser(prog="python -m evaluation.report", description="Report of a cross-validation.")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that make cv wrote")
    parser.add_argument("--data", type=Path, help="where the scans lie now, if they were moved")
    parser.add_argument("--cases", type=int, default=SHOWN, help="how many can be looked at, 0 for none (%(default)s)")
    parser.add_argument("--out", type=Path, help=f"file to write (RUN/{REPORT})")
    given = parser.parse_args(arguments)
    print(write_report(given.run, given.data, given.cases, given.out))


if __name__ == "__main__":
    main()
