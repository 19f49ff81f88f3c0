"""Write the synthetic demo data.

python -m pipeline.phantom data/phantom
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from pipeline.core.errors import report_plainly
from pipeline.phantom.dataset import (
    generator_settings,
    is_complete,
    unlabelled_settings,
    write_phantom,
    write_unlabelled,
)


def main() -> None:
    """The command line."""
    report_plainly()
    parser = argparse.ArgumentParser(prog="python -m pipeline.phantom", description="Write the synthetic demo data.")
    parser.add_argument("folder", type=Path, help="for example data/phantom")
    parser.add_argument("--patients", type=int, default=10, help="number of cases (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other patients (default 0)")
    parser.add_argument("--first", type=int, default=1, help="number of the first labelled case (default 1)")
    parser.add_argument("--unlabelled", action="store_true", help="images alone, under other names; give another seed")
    wanted = parser.parse_args()
    settings = partial(generator_settings, first=wanted.first)
    write = partial(write_phantom, first=wanted.first)
    if wanted.unlabelled:
        settings, write = partial(unlabelled_settings), partial(write_unlabelled)
    if is_complete(wanted.folder, settings(wanted.patients, wanted.seed)):
        print(f"{wanted.folder} already holds these {wanted.patients} cases; nothing to do.")
        return
    write(wanted.folder, wanted.patients, wanted.seed)
    print(f"Wrote {wanted.patients} synthetic cases to {wanted.folder}.")


if __name__ == "__main__":
    main()
