"""The queue on the disk: it is there again after a process, what is old goes, and what is gone on with stays."""

from __future__ import annotations

import pytest

pytest.importorskip("pynetdicom", reason="the extra `node` is not installed")

from node_makers import SCANNER, settings_of

from pipeline.node.series import Series
from pipeline.node.settings import Limits
from pipeline.node.spool import DONE, FACTS, FAILED, GATHERING, IMAGES, QUEUED, Spool

NAMES = ("0.dcm", "1.dcm")
OF_BEFORE = (
    '{"case": "series_0", "key": "0", "number": 1, "study_uid": "1.2", "series_uid": "1.2.3", "sender": "SCANNER", '
    '"began": 1.5, "settled": 2.5, "told": 2, "files": ["a.dcm"], "targets": ["ARCHIVE"], "message": ""}'
)


def spool_of(tmp_path, **changes) -> Spool:
    return Spool(tmp_path / "spool", settings_of(limits=Limits(free_disk_mb=0), **changes))


def begun(spool: Spool, case: str = "series_0", key: str = "0", number: int = 1, began: float = 0.0) -> str:
    """A series that has two images."""
    spool.begin(Series(case, key, number, "1.2", "1.2.3", SCANNER, began), [IMAGES])
    for name in NAMES:
        (spool.place(case) / IMAGES / name).write_bytes(b"image")
    return case


def done(spool: Spool) -> str:
    case = begun(spool)
    spool.queue(case)
    spool.send(case, [])
    return case


def test_a_series_of_a_process_before_is_read_and_kept_as_it_is(tmp_path):
    place = tmp_path / "spool" / DONE / "series_0"
    place.mkdir(parents=True)
    (place / FACTS).write_text(OF_BEFORE)
    state, series = spool_of(tmp_path).series["series_0"]
    assert state == DONE
    assert series == Series("series_0", "0", 1, "1.2", "1.2.3", SCANNER, 1.5, 2.5, 2, ("a.dcm",), ("ARCHIVE",))
    assert series.as_json() == OF_BEFORE


def test_a_folder_of_which_nothing_was_stored_is_forgotten(tmp_path):
    (tmp_path / "spool" / GATHERING / "series_0" / IMAGES).mkdir(parents=True)
    assert spool_of(tmp_path).state()[GATHERING] == 0


def test_what_was_arriving_when_the_process_ended_is_removed(tmp_path):
    spool = spool_of(tmp_path)
    (spool.incoming / "half.dcm").write_bytes(b"half")
    assert [*spool_of(tmp_path).incoming.iterdir()] == []


def test_images_of_what_is_settled_are_removed_after_their_time_and_still_known(tmp_path):
    spool = spool_of(tmp_path, kept_h=0.0)
    case = done(spool)
    assert (spool.images(case), spool.removed_images(case)) == ({*NAMES}, set())
    spool.prune()
    assert (spool.images(case), spool.removed_images(case)) == (set(), {*NAMES})
    assert not (spool.place(case) / IMAGES).exists()


def test_a_series_that_is_gone_on_with_keeps_its_images_and_is_remembered(tmp_path):
    spool = spool_of(tmp_path, kept_h=0.0, kept_series=0)
    case = begun(spool)
    spool.fail(case, "it ended.")
    again = begun(spool, "series_0_2", number=2)
    spool.prune()
    spool.queue(again)
    spool.prune()
    assert (spool.images(case), spool.forgotten) == ({*NAMES}, [])
    spool.send(again, [])
    spool.prune()
    assert spool.forgotten == [case, again]


def test_no_more_series_are_remembered_than_said(tmp_path):
    spool = spool_of(tmp_path, kept_series=0)
    case = done(spool)
    spool.prune()
    assert spool.forgotten == [case]
    assert (spool.series, [*(spool.folder / DONE).iterdir()]) == ({}, [])


def test_the_oldest_series_is_next(tmp_path):
    spool = spool_of(tmp_path)
    spool.queue(begun(spool, "series_0", "0", began=2.0))
    spool.queue(begun(spool, "series_1", "1", began=1.0))
    assert (spool.next().case, spool.state()[QUEUED]) == ("series_1", 2)


def test_what_is_settled_is_counted_and_told_the_newest_first(tmp_path):
    spool = spool_of(tmp_path)
    done(spool)
    spool.fail(begun(spool, "series_1", "1"), "it ended.")
    assert spool.counts == {DONE: 1, FAILED: 1}
    assert [(state, series.case) for state, series in spool.last(2)] == [(FAILED, "series_1"), (DONE, "series_0")]
