"""Results go out once to every peer, whatever becomes of peers and processes meanwhile."""

from __future__ import annotations

import pytest

pytest.importorskip("pynetdicom", reason="the extra `node` is not installed")

from conftest import chest
from dicom_makers import classic, write
from node_makers import ARCHIVE, SCANNER, Archive, settings_of

from pipeline.node.delivery import NotDeliveredError, deliver
from pipeline.node.sender import Pause, Sender
from pipeline.node.series import Series
from pipeline.node.settings import Peer
from pipeline.node.spool import DONE, FACTS, FAILED, IMAGES, SENDING, SENT, Spool

CASE = "series_0"


def sending(folder, names=("a.dcm", "b.dcm"), targets=(ARCHIVE,), settled: float = 1e12) -> None:
    """A series on the disk whose results are to be sent."""
    place = folder / "spool" / SENDING / CASE
    for name in (IMAGES, SENT):
        (place / name).mkdir(parents=True)
    series = Series(CASE, "0", 1, "1.2", "1.2.3", SCANNER, 0.0, settled, files=names, targets=targets)
    (place / FACTS).write_text(series.as_json())
    (folder / "results").mkdir(exist_ok=True)
    for name in names:
        (folder / "results" / name).write_bytes(b"")


class Peers:
    """Stands in for a network: what was delivered, and what goes wrong before."""

    def __init__(self, *errors: NotDeliveredError) -> None:
        self.errors, self.got = [*errors], []

    def __call__(self, settings, peer, file) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.got.append((peer.name, file.name))


def sender(folder, peers, **changes) -> Sender:
    settings = settings_of(**changes)
    return Sender(settings, Spool(folder / "spool", settings), folder / "results", peers, lambda: 1.0)


def state(made: Sender) -> str:
    return made.spool.series[CASE][0]


def test_each_file_goes_to_each_peer_once(tmp_path):
    sending(tmp_path, targets=(ARCHIVE, SCANNER))
    peers = Peers()
    made = sender(tmp_path, peers)
    made.step()
    made.step()
    assert peers.got == [(ARCHIVE, "a.dcm"), (ARCHIVE, "b.dcm"), (SCANNER, "a.dcm"), (SCANNER, "b.dcm")]
    assert state(made) == DONE


def test_what_was_sent_before_a_process_ended_is_not_sent_again(tmp_path):
    sending(tmp_path)
    before = sender(tmp_path, Peers())
    before.spool.sent(before.spool.to_send()[0], ARCHIVE, "a.dcm")
    peers = Peers()
    sender(tmp_path, peers).step()
    assert peers.got == [(ARCHIVE, "b.dcm")]


def test_a_peer_that_is_away_is_asked_again_after_a_pause_that_grows(tmp_path):
    sending(tmp_path, names=("a.dcm",))
    made = sender(tmp_path, Peers(*[NotDeliveredError("away")] * 3), retry_s=5.0, longest_retry_s=12.0)
    pauses = []
    for _ in range(3):
        made.step()
        pauses.append(made.pauses[ARCHIVE].seconds)
        made.pauses[ARCHIVE].until = 0.0
    made.step()
    assert (pauses, state(made)) == ([5.0, 10.0, 12.0], DONE)


def test_a_peer_in_its_pause_is_not_asked(tmp_path):
    sending(tmp_path)
    peers = Peers(NotDeliveredError("away"))
    made = sender(tmp_path, peers, retry_s=5.0)
    made.step()
    made.step()
    assert (peers.got, state(made)) == ([], SENDING)


def test_what_a_peer_does_not_take_is_told_after_three_times(tmp_path):
    sending(tmp_path)
    made = sender(tmp_path, Peers(*[NotDeliveredError("it answers with status C000", for_good=True)] * 3), retry_s=5.0)
    for _ in range(3):
        made.step()
        made.pauses[ARCHIVE] = Pause(5.0, 0.0)
    assert state(made) == FAILED
    assert made.spool.series[CASE][1].message == f"{ARCHIVE} does not take its results: it answers with status C000."


def test_what_could_not_be_sent_for_days_is_told(tmp_path):
    sending(tmp_path, settled=1.0)
    made = sender(tmp_path, Peers(NotDeliveredError("away")), retry_s=5.0)
    made.step()
    made.step()
    assert made.spool.series[CASE][1].message == "its results could not be sent in 72 h."


def test_results_that_were_removed_by_hand_are_told(tmp_path):
    sending(tmp_path)
    (tmp_path / "results" / "a.dcm").unlink()
    made = sender(tmp_path, Peers())
    made.step()
    assert made.spool.series[CASE][1].message == "its results were removed before they were sent; send it again."


def test_a_peer_that_the_settings_no_longer_name_is_told(tmp_path):
    sending(tmp_path, targets=("GONE",))
    made = sender(tmp_path, Peers())
    made.step()
    assert made.spool.series[CASE][1].message == "GONE, which was to get its results, is no peer any more."


@pytest.fixture
def archive():
    made = []

    def with_statuses(*statuses: int) -> Archive:
        made.append(Archive(statuses))
        return made[-1]

    yield with_statuses
    for each in made:
        each.stop()


@pytest.fixture
def report(tmp_path):
    from node_makers import fake_segment

    from pipeline.folders.inputs import DICOM, Input

    write(classic(chest()[0]), tmp_path / "in")
    fake_segment(tmp_path)(Input("case", DICOM, (tmp_path / "in",)))
    return tmp_path / "case.sr.dcm"


def send(archive_port: int, file) -> None:
    settings = settings_of(archive_port)
    deliver(settings, settings.peers[ARCHIVE], file)


def test_an_object_reaches_its_peer(archive, report):
    made = archive()
    send(made.port, report)
    assert len(made.got) == 1


@pytest.mark.parametrize(
    ("status", "for_good"), [(0xA700, False), (0xA701, False), (0xA900, True), (0xC000, True), (0x0122, True)]
)
def test_a_peer_that_is_full_may_take_it_later_and_no_other(archive, report, status, for_good):
    with pytest.raises(NotDeliveredError, match=f"it answers with status {status:04X}") as error:
        send(archive(status).port, report)
    assert error.value.for_good == for_good


def test_a_warning_is_as_good_as_success(archive, report):
    send(archive(0xB007).port, report)


def test_a_peer_that_does_not_take_such_objects_is_told(archive, tmp_path):
    (file,) = write(classic(chest()[0])[:1], tmp_path)
    with pytest.raises(NotDeliveredError, match="it does not take objects of this kind") as error:
        send(archive().port, file)
    assert error.value.for_good


def test_a_peer_that_is_away_may_take_it_later(report):
    with pytest.raises(NotDeliveredError, match="it does not answer") as error:
        send(1, report)
    assert not error.value.for_good


def test_a_peer_with_a_url_that_is_away_may_take_it_later(report):
    peer = Peer("WEB", url="http://127.0.0.1:1/dicom-web/studies")
    with pytest.raises(NotDeliveredError, match="it does not answer"):
        deliver(settings_of(), peer, report)
