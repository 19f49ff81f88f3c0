"""A node that is killed at any moment loses nothing that it said it has, and sends no result as two objects."""

from __future__ import annotations

import random
import threading
import time

import pytest

pytest.importorskip("pynetdicom", reason="the extra `node` is not installed")

from node_makers import Archive, associate, free_port, series, until
from node_process import started

from pipeline.node.spool import DONE, IMAGES, SETTLED, SPOOL_FOLDER, STATES


@pytest.fixture
def archive():
    made = Archive()
    yield made
    made.stop()


def send_all(port: int, datasets) -> None:
    """As a modality does: again and again until each image was taken in an association that ended in order."""
    while True:
        association = associate(port)
        if not association.is_established:
            time.sleep(0.05)
            continue
        try:
            statuses = [association.send_c_store(dataset).get("Status") for dataset in datasets]
        except RuntimeError:
            # The connection is gone
            continue
        association.release()
        if statuses == [0] * len(datasets):
            return


def cases(folder, *states: str) -> list[str]:
    return sorted(place.name for state in states for place in (folder / SPOOL_FOLDER / state).glob("series_*"))


def test_a_node_that_is_killed_again_and_again_does_everything_once(tmp_path, archive):
    port, draw = free_port(), random.Random(0)
    every = [series() for _ in range(6)]
    node = started(tmp_path, port, archive.port)
    senders = [threading.Thread(target=send_all, args=(port, each), daemon=True) for each in every]
    for sender in senders:
        sender.start()
    for _ in range(5):
        time.sleep(draw.uniform(0.1, 0.8))
        node.kill()
        node.join()
        node = started(tmp_path, port, archive.port)
    for sender in senders:
        sender.join()
    until(lambda: len({case.partition("_")[2][:12] for case in cases(tmp_path, DONE)}) == 6)
    until(lambda: not set(cases(tmp_path, *STATES)) - set(cases(tmp_path, *SETTLED)))
    node.kill()
    # A series and its report each, of each time that it was segmented
    assert len(set(archive.got)) == 2 * len(cases(tmp_path, DONE))
    places = [tmp_path / SPOOL_FOLDER / DONE / case for case in cases(tmp_path, DONE)]
    assert {len([*(place / IMAGES).iterdir()]) for place in places} == {12}


def test_what_was_answered_with_success_is_there_after_a_kill(tmp_path, archive):
    port = free_port()
    node = started(tmp_path, port, archive.port)
    association = associate(port)
    assert [association.send_c_store(dataset).Status for dataset in series()[:5]] == [0] * 5
    node.kill()
    node.join()
    assert len([*(tmp_path / SPOOL_FOLDER).rglob("*.dcm")]) == 5
