"""The queue on the disk: what is old goes, what a process left is gone on with, and no half series is ever complete."""

from __future__ import annotations

import pytest

pytest.importorskip("pynetdicom", reason="the extra `node` is not installed")

from conftest import chest
from dicom_makers import classic, write
from node_makers import SCANNER, settings_of

from pipeline.node.arrival import RefusedError, look_at
from pipeline.node.settings import Limits
from pipeline.node.spool import DONE, FAILED, GATHERING, IMAGES, QUEUED, Spool


@pytest.fixture
def slices(tmp_path):
    """Files of one series; a test moves each once."""
    return write(classic(chest()[0]), tmp_path / "sent")


def spool_of(tmp_path, **changes) -> Spool:
    return Spool(tmp_path / "spool", settings_of(limits=Limits(free_disk_mb=0), **changes))


def add(spool: Spool, file, association: str = "") -> bool:
    copy = spool.incoming / file.name
    copy.write_bytes(file.read_bytes())
    return spool.add(look_at(copy), copy, SCANNER, association)


def only(spool: Spool) -> tuple[str, str]:
    """State and case of the one series that there is."""
    ((case, (state, _)),) = spool.series.items()
    return state, case


def done(spool: Spool, slices) -> str:
    """A series that is done."""
    for file in slices:
        add(spool, file)
    spool.close()
    spool.send(only(spool)[1], [])
    return only(spool)[1]


def test_a_series_goes_on_where_the_process_before_left_it(tmp_path, slices):
    before = spool_of(tmp_path)
    add(before, slices[0])
    add(before, slices[1])
    spool = spool_of(tmp_path)
    assert add(spool, slices[1]) is False
    assert add(spool, slices[2]) is True
    assert only(spool)[0] == GATHERING


def test_a_series_whose_sender_was_there_when_the_process_ended_is_broken_off(tmp_path, slices):
    before = spool_of(tmp_path)
    add(before, slices[0], "association")
    spool = spool_of(tmp_path)
    spool.close()
    assert only(spool)[0] == FAILED


def test_a_folder_of_which_nothing_was_stored_is_forgotten(tmp_path):
    (tmp_path / "spool" / GATHERING / "series_0" / IMAGES).mkdir(parents=True)
    assert spool_of(tmp_path).state()[GATHERING] == 0


def test_what_was_arriving_when_the_process_ended_is_removed(tmp_path):
    spool = spool_of(tmp_path)
    (spool.incoming / "half.dcm").write_bytes(b"half")
    assert [*spool_of(tmp_path).incoming.iterdir()] == []


def test_images_of_what_is_settled_are_removed_after_their_time_and_still_known(tmp_path, slices):
    spool = spool_of(tmp_path, kept_h=0.0)
    case = done(spool, slices)
    spool.prune()
    assert not (spool.place(case) / IMAGES).exists()
    assert add(spool, slices[0]) is False


def test_a_late_image_of_a_series_whose_images_are_removed_is_refused(tmp_path, slices):
    spool = spool_of(tmp_path, kept_h=0.0)
    done(spool, slices[:-1])
    spool.prune()
    with pytest.raises(RefusedError, match="its series was segmented and its images removed since") as error:
        add(spool, slices[-1])
    assert error.value.status == 0xC000


def test_a_failed_series_whose_images_are_removed_needs_all_of_them_again(tmp_path, slices):
    spool = spool_of(tmp_path, kept_h=0.0)
    for file in slices[:6]:
        add(spool, file, "association")
    spool.association_ended("association", SCANNER, False)
    spool.close()
    spool.prune()
    for file in slices[6:]:
        add(spool, file)
    spool.close()
    assert sorted(series.message for _, series in spool.series.values()) == [
        "6 of its images came long ago and did not come again; send all of it again.",
        "it ended after 6 images and was not gone on with; send it again.",
    ]


def test_no_more_series_are_remembered_than_said(tmp_path, slices):
    spool = spool_of(tmp_path, kept_series=0)
    case = done(spool, slices)
    assert [series.case for series in spool.prune()] == [case]
    assert (spool.series, [*(spool.folder / DONE).iterdir()]) == ({}, [])


def test_the_oldest_series_is_next(tmp_path, slices):
    spool = spool_of(tmp_path)
    other = classic(chest()[0])
    for file in (*slices, *write(other, tmp_path / "other")):
        add(spool, file)
    first = next(iter(spool.series))
    spool.close()
    assert (spool.next().case, spool.state()[QUEUED]) == (first, 2)


def test_an_image_whose_refusal_was_made_up_for_is_no_obstacle(tmp_path, slices):
    spool = spool_of(tmp_path)
    add(spool, slices[0])
    late = look_at(slices[1])
    spool.refused(late.series, late.instance)
    add(spool, slices[1])
    spool.close()
    assert only(spool)[0] == QUEUED
