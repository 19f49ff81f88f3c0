"""Send series to a real Orthanc from several senders, kill it and the node meanwhile, and count what comes back.

    python -m tests.load --series 200 --slices 60 --senders 4 --kills 10

Slices are small, 128 x 128, so that wire and queue are measured and not the network. Beside them come malformed
objects, a sender that breaks off, a series twice and two patients with one number. Status 1 where a series is
lost, or comes back twice. Needs what the tests of marker `orthanc` need.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from tests.load.run import Load  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description="A node and an Orthanc under load.")
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--slices", type=int, default=60, help="of a series")
    parser.add_argument("--senders", type=int, default=4, help="at a time")
    parser.add_argument("--kills", type=int, default=10, help="by SIGKILL, of the node and of Orthanc each")
    parser.add_argument("--malformed", type=int, default=100, help="objects")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for all files; a temporary one where it is not given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        load = Load(folder, given.series, given.slices, given.senders, given.kills, given.malformed, given.seed)
        if not load.run():
            sys.exit(1)


if __name__ == "__main__":
    main()
