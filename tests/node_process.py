"""A node whose network is a stand-in, as a process of its own, which a test may kill: FOLDER DICOM_PORT ARCHIVE_PORT."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from node_makers import fake_segment, settings_of

from pipeline.node.node import RESULTS, Node
from pipeline.node.settings import Limits

if __name__ == "__main__":
    folder, port, archive_port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    segment = fake_segment(folder / RESULTS)

    def slowly(item):
        time.sleep(0.2)
        return segment(item)

    settings = settings_of(archive_port, port=port, quiet_s=0.2, broken_off_s=5.0, retry_s=0.2, limits=Limits(free_disk_mb=0))
    node = Node(settings, folder, slowly)
    with node.open():
        print("listens", flush=True)
        node.run()
