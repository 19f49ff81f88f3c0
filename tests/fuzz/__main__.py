"""Damage files, read and prepare each in a process of its own, and count what becomes of them; status 1 for a bad end.

python -m tests.fuzz --count 2000 --seed 0
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from .attempts import KINDS, tried
from .outcomes import GOOD


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Read damaged files.")
    parser.add_argument("--count", type=int, default=2000, help="inputs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--keep", type=Path, help="folder for the inputs that end badly")
    given = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for kind in given.kinds:
            for outcome in tried(kind, Path(folder), given.count, given.seed, given.keep):
                counts[(outcome.name.partition(".")[2] or kind, outcome.kind)] += 1
                if not outcome.good:
                    print(f"{outcome.name}: {outcome.kind}: {outcome.said}", flush=True)
    print_table(counts)
    if any(kind not in GOOD for _, kind in counts):
        sys.exit(1)


def print_table(counts: Counter[tuple[str, str]]) -> None:
    ends = sorted({kind for _, kind in counts}, key=lambda kind: (kind not in GOOD, kind))
    names = sorted({name for name, _ in counts})
    print("  ".join([f"{'kind':12}", f"{'inputs':>8}", *(f"{end:>10}" for end in ends)]))
    for name in [*names, "all"]:
        row = [sum(n for (of, end), n in counts.items() if name in (of, "all") and end == wanted) for wanted in ends]
        print("  ".join([f"{name:12}", f"{sum(row):8}", *(f"{n:10}" for n in row)]))


if __name__ == "__main__":
    main()
