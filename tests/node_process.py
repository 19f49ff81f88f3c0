"""A node whose network is a stand-in, as a process of its own, which a test may kill."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from node_makers import associate, fake_segment, settings_of, until

from pipeline.node.node import RESULTS, Node
from pipeline.node.settings import Limits

# Forked from a process that has imported all, and has no threads
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pipeline.node.node", "node_makers"])


def work(folder: Path, port: int, archive_port: int) -> None:
    segment = fake_segment(folder / RESULTS)

    def slowly(item):
        time.sleep(0.1)
        return segment(item)

    times = {"quiet_s": 0.2, "broken_off_s": 1.0, "retry_s": 0.2}
    settings = settings_of(archive_port, port=port, limits=Limits(free_disk_mb=0), **times)
    node = Node(settings, folder, slowly)
    with node.open():
        node.run()


def started(folder: Path, port: int, archive_port: int) -> ForkServerProcess:
    """A process that listens."""
    process = CONTEXT.Process(target=work, args=(folder, port, archive_port), daemon=True)
    process.start()
    until(lambda: answers(port))
    return process


def answers(port: int) -> bool:
    association = associate(port)
    if association.is_established:
        association.release()
        return True
    return False
