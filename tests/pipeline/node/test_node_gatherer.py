"""Images are gathered, over the end of a process too, and no half series is ever complete."""

from __future__ import annotations

import pytest

pytest.importorskip("pynetdicom", reason="the extra `node` is not installed")

from conftest import chest
from dicom_makers import classic, write
from node_makers import SCANNER, settings_of

from pipeline.node.arrival import RefusedError, look_at
from pipeline.node.gatherer import Gatherer
from pipeline.node.settings import Limits
from pipeline.node.spool import FAILED, GATHERING, QUEUED, Spool


@pytest.fixture
def slices(tmp_path):
    """Files of one series; a test moves each once."""
    return write(classic(chest()[0]), tmp_path / "sent")


def gatherer_of(tmp_path, **changes) -> Gatherer:
    settings = settings_of(limits=Limits(free_disk_mb=0), **changes)
    return Gatherer(settings, Spool(tmp_path / "spool", settings))


def add(gatherer: Gatherer, file, association: str = "") -> bool:
    copy = gatherer.spool.incoming / file.name
    copy.write_bytes(file.read_bytes())
    return gatherer.add(look_at(copy), copy, SCANNER, association)


def only_state(gatherer: Gatherer) -> str:
    """Of the one series that there is."""
    ((state, _),) = gatherer.spool.series.values()
    return state


def do(gatherer: Gatherer, slices) -> None:
    """Gather a series, which is then segmented, and whose images are removed where they are kept for no time."""
    for file in slices:
        add(gatherer, file)
    gatherer.close()
    gatherer.spool.send(gatherer.spool.next().case, [])
    gatherer.spool.prune()


def test_a_series_goes_on_where_the_process_before_left_it(tmp_path, slices):
    before = gatherer_of(tmp_path)
    add(before, slices[0])
    add(before, slices[1])
    gatherer = gatherer_of(tmp_path)
    assert add(gatherer, slices[1]) is False
    assert add(gatherer, slices[2]) is True
    assert only_state(gatherer) == GATHERING


def test_a_series_whose_sender_was_there_when_the_process_ended_is_broken_off(tmp_path, slices):
    before = gatherer_of(tmp_path)
    add(before, slices[0], "association")
    gatherer = gatherer_of(tmp_path)
    gatherer.close()
    assert only_state(gatherer) == FAILED


def test_an_image_is_known_when_those_of_its_series_are_removed(tmp_path, slices):
    gatherer = gatherer_of(tmp_path, kept_h=0.0)
    do(gatherer, slices)
    assert add(gatherer, slices[0]) is False


def test_a_late_image_of_a_series_whose_images_are_removed_is_refused(tmp_path, slices):
    gatherer = gatherer_of(tmp_path, kept_h=0.0)
    do(gatherer, slices[:-1])
    with pytest.raises(RefusedError, match="its series was segmented and its images removed since") as error:
        add(gatherer, slices[-1])
    assert error.value.status == 0xC000


def test_a_failed_series_whose_images_are_removed_needs_all_of_them_again(tmp_path, slices):
    gatherer = gatherer_of(tmp_path, kept_h=0.0)
    for file in slices[:6]:
        add(gatherer, file, "association")
    gatherer.association_ended("association", SCANNER, False)
    gatherer.close()
    gatherer.spool.prune()
    for file in slices[6:]:
        add(gatherer, file)
    gatherer.close()
    assert sorted(series.message for _, series in gatherer.spool.series.values()) == [
        "6 of its images came long ago and did not come again; send all of it again.",
        "it ended after 6 images and was not gone on with; send it again.",
    ]


def test_an_image_whose_refusal_was_made_up_for_is_no_obstacle(tmp_path, slices):
    gatherer = gatherer_of(tmp_path)
    add(gatherer, slices[0])
    late = look_at(slices[1])
    gatherer.refused(late.series, late.instance)
    add(gatherer, slices[1])
    gatherer.close()
    assert only_state(gatherer) == QUEUED
