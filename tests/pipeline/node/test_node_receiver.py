"""What comes by C-STORE over a real association of the loopback address is kept, refused or cut off, and never lost."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import pytest

pytest.importorskip("pynetdicom", reason="the extra `node` is not installed")

from dicom_makers import BIRTH_DATE, PATIENT_ID, PATIENT_NAME, compress, write
from node_makers import SCANNER, associate, series, settings_of, store, until
from pydicom.uid import CTImageStorage, JPEG2000Lossless, JPEGLosslessSV1, MRImageStorage, RLELossless, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find

from pipeline.node.arrival import RefusedError, look_at
from pipeline.node.gatherer import OPEN, Gatherer
from pipeline.node.inquiry import images_of
from pipeline.node.receiver import Receiver
from pipeline.node.series import Series
from pipeline.node.settings import Limits, Peer
from pipeline.node.spool import DONE, FAILED, GATHERING, IMAGES, QUEUED, Spool


@pytest.fixture
def receive(tmp_path, monkeypatch):
    """Makes a receiver on a free port, with its gatherer."""
    made = []

    def with_settings(**changes):
        spool = Spool(tmp_path / "spool", settings_of(**changes))
        monkeypatch.setattr("tempfile.tempdir", str(spool.incoming))
        gatherer = Gatherer(spool.settings, spool)
        receiver = Receiver(spool.settings, gatherer)
        made.append(receiver)
        return receiver.port, gatherer

    yield with_settings
    for receiver in made:
        receiver.stop()


def queued(gatherer: Gatherer, count: int = 1) -> list[str]:
    """Cases that are complete, once there are so many."""

    def found():
        gatherer.close()
        cases = [case for case, (state, _) in gatherer.spool.series.items() if state == QUEUED]
        return cases if len(cases) == count else None

    return until(found)


def settled(gatherer: Gatherer, state: str):
    def found():
        gatherer.close()
        return [each for where, each in gatherer.spool.series.values() if where == state]

    return until(found)[0]


def images(gatherer: Gatherer, case: str) -> int:
    return len(gatherer.spool.images(case))


def limits(**changes) -> Limits:
    return replace(Limits(free_disk_mb=0), **changes)


def test_an_echo_is_answered(receive):
    port, _ = receive()
    association = associate(port)
    assert association.send_c_echo().Status == 0
    association.release()


def test_that_a_sender_is_done_is_noted_before_it_is_told_so(receive, monkeypatch):
    port, gatherer = receive()
    note = gatherer.association_ended

    def slowly(*given):
        time.sleep(0.2)
        note(*given)

    monkeypatch.setattr(gatherer, "association_ended", slowly)
    store(port, series()[:1])
    assert [*gatherer.spool.folder.rglob(f"{OPEN}/*")] == []
    assert len([*gatherer.spool.folder.rglob("*.dcm")]) == 1


def test_a_series_is_complete_when_its_sender_is_done(receive):
    port, gatherer = receive()
    assert store(port, series()) == [0] * 12
    (case,) = queued(gatherer)
    assert images(gatherer, case) == 12


def test_an_image_is_kept_byte_for_byte(receive):
    port, gatherer = receive()
    sent = series()[:1]
    store(port, sent)
    (case,) = queued(gatherer)
    (file,) = (gatherer.spool.place(case) / IMAGES).iterdir()
    assert sent[0].PixelData in file.read_bytes()


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless, RLELossless])
def test_compressed_images_are_kept_as_they_are(receive, syntax):
    port, gatherer = receive()
    (sent,) = series()[:1]
    compress(sent, syntax)
    application = AE(SCANNER)
    application.add_requested_context(CTImageStorage, syntax)
    association = application.associate("127.0.0.1", port, ae_title="NODE")
    assert association.send_c_store(sent).Status == 0
    association.release()
    (case,) = queued(gatherer)
    (file,) = (gatherer.spool.place(case) / IMAGES).iterdir()
    assert sent.PixelData.rstrip(b"\0") in file.read_bytes()


@pytest.mark.parametrize(("title", "called"), [("STRANGER", "NODE"), (SCANNER, "OTHER"), ("ARCHIVE", "NODE")])
def test_who_is_not_known_or_asks_for_another_is_rejected(receive, title, called):
    port, _ = receive()
    assert associate(port, title, called).is_rejected


def test_a_known_title_from_an_unknown_address_is_rejected(receive):
    port, _ = receive(peers={SCANNER: Peer(SCANNER, "10.9.8.7", 104, may_send=True)})
    assert associate(port).is_rejected


def test_a_network_of_addresses_may_be_named(receive):
    port, _ = receive(peers={SCANNER: Peer(SCANNER, "10.9.8.7", 104, ("127.0.0.0/8",), may_send=True)})
    association = associate(port)
    assert association.is_established
    association.release()


def test_more_associations_than_allowed_are_rejected(receive):
    port, _ = receive(limits=limits(associations=1))
    first = associate(port)
    assert associate(port).is_rejected
    first.release()


def test_another_kind_of_object_is_not_negotiated(receive):
    port, _ = receive()
    application = AE(SCANNER)
    application.add_requested_context(MRImageStorage)
    application.add_requested_context(CTImageStorage)
    association = application.associate("127.0.0.1", port, ae_title="NODE")
    assert [context.abstract_syntax for context in association.accepted_contexts] == [CTImageStorage]
    association.release()


def test_a_full_disk_refuses_with_its_status(receive):
    port, gatherer = receive(limits=limits(free_disk_mb=10**9))
    assert store(port, series()[:1]) == [0xA700]
    assert gatherer.spool.state()[GATHERING] == 0


def test_a_full_queue_refuses_a_new_series_and_takes_the_rest_of_the_old(receive):
    port, _ = receive(limits=limits(queue=1), quiet_s=60.0)
    first, second = series(), series()
    assert store(port, [first[0], second[0], first[1]]) == [0, 0xA700, 0]


def test_a_series_with_too_many_images_is_not_segmented_in_part(receive):
    port, gatherer = receive(limits=limits(series_images=10))
    assert store(port, series()) == [0] * 10 + [0xA700] * 2
    assert settled(gatherer, FAILED).message == "2 of its images were refused, see the log; send it again."


def test_an_association_that_brings_too_much_is_cut_off(receive):
    port, gatherer = receive(limits=limits(association_mb=0))
    association = associate(port)
    answer = association.send_c_store(series()[0])
    assert "Status" not in answer
    assert gatherer.spool.state()[GATHERING] == 0


def test_the_same_series_twice_is_one(receive):
    port, gatherer = receive()
    sent = series()
    store(port, sent)
    (case,) = queued(gatherer)
    assert store(port, sent) == [0] * 12
    assert queued(gatherer) == [case]
    assert gatherer.counts["duplicates"] == 12


def test_a_series_that_was_sent_back_is_not_begun_again(receive):
    port, gatherer = receive()
    sent = series()
    store(port, sent)
    (case,) = queued(gatherer)
    gatherer.spool.send(case, [])
    store(port, sent)
    gatherer.close()
    assert gatherer.spool.state() == {GATHERING: 0, QUEUED: 0, "sending": 0, DONE: 1, FAILED: 0}


def test_an_image_that_comes_late_has_the_whole_series_segmented_again(receive):
    port, gatherer = receive()
    sent = series()
    store(port, sent[:-1])
    (case,) = queued(gatherer)
    gatherer.spool.send(case, [])
    store(port, sent[-1:])
    (again,) = queued(gatherer)
    assert (again, images(gatherer, again)) == (f"{case}_2", 12)


def test_two_patients_with_one_number_are_two_even_with_the_same_uids(receive):
    port, gatherer = receive()
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    store(port, [*series(PatientName="First^A", **uids), *series(PatientName="Second^B", **uids)])
    cases = queued(gatherer, 2)
    assert [images(gatherer, case) for case in cases] == [12, 12]


def test_a_sender_that_breaks_off_gets_nothing_segmented(receive):
    port, gatherer = receive()
    association = associate(port)
    association.send_c_store(series()[0])
    association.abort()
    assert settled(gatherer, FAILED).message == ("it ended after 1 images and was not gone on with; send it again.")


def test_a_sender_that_broke_off_when_all_was_sent_has_no_more_images(receive):
    port, gatherer = receive()
    gatherer.ask = lambda series: 12
    association = associate(port)
    for each in series():
        association.send_c_store(each)
    association.abort()
    (case,) = queued(gatherer)
    assert images(gatherer, case) == 12


def test_a_sender_that_has_more_images_than_it_sent_gets_nothing_segmented(receive):
    port, gatherer = receive()
    gatherer.ask = lambda series: 12
    association = associate(port)
    association.send_c_store(series()[0])
    association.abort()
    failed = settled(gatherer, FAILED)
    assert failed.message == "it ended after 1 of 12 images and was not gone on with; send it again."


def test_a_series_of_which_its_sender_has_more_waits_for_the_rest(receive):
    port, gatherer = receive(broken_off_s=1e6)
    gatherer.ask = lambda series: 12
    sent = series()
    store(port, sent[:5])
    until(lambda: gatherer.close() or [each for _, each in gatherer.spool.series.values() if each.told])
    assert gatherer.spool.state()[GATHERING] == 1
    store(port, sent[5:])
    (case,) = queued(gatherer)
    assert images(gatherer, case) == 12


def test_an_archive_says_how_many_images_a_series_has():
    def found(event):
        answer = event.identifier
        answer.NumberOfSeriesRelatedInstances = 7 if answer.SeriesInstanceUID == "1.2.3" else 0
        yield 0xFF00, answer

    application = AE(SCANNER)
    application.add_supported_context(Find)
    server = application.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, found)])
    made = Series("series_0", "0", 1, "1.2", "1.2.3", SCANNER, 0.0)
    assert images_of(settings_of(server.server_address[1]), made) == 7
    server.shutdown()


def test_a_sender_that_is_away_does_not_say_how_many_images_a_series_has():
    assert images_of(settings_of(1), Series("series_0", "0", 1, "1.2", "1.2.3", SCANNER, 0.0)) == 0


def test_a_sender_that_broke_off_and_sends_all_of_it_later_is_forgiven(receive):
    port, gatherer = receive()
    sent = series()
    association = associate(port)
    association.send_c_store(sent[0])
    association.abort()
    settled(gatherer, FAILED)
    store(port, sent[1:])
    (case,) = queued(gatherer)
    assert images(gatherer, case) == 12


def test_a_series_that_tells_how_many_images_it_has_waits_for_nothing(receive):
    port, gatherer = receive(quiet_s=1e6)
    store(port, series(NumberOfSeriesRelatedInstances="12"))
    (case,) = queued(gatherer)
    assert images(gatherer, case) == 12


def test_a_series_that_tells_more_images_than_came_is_not_segmented(receive):
    port, gatherer = receive()
    store(port, series(NumberOfSeriesRelatedInstances="13"))
    failed = settled(gatherer, FAILED)
    assert failed.message == "it ended after 12 of 13 images and was not gone on with; send it again."


def damaged(name: str):
    """An object that is wrong in one way."""
    made = series()[0]
    if name == "no rows":
        del made.Rows
    elif name == "no study":
        made.StudyInstanceUID = ""
    elif name == "no series":
        del made.SeriesInstanceUID
    elif name == "short pixels":
        made.PixelData = made.PixelData[:100]
    elif name == "no pixels":
        del made.PixelData
    elif name == "oblique":
        made.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]
    elif name == "a word for a number":
        made.add_new("PixelSpacing", "LO", "wide\\wider")
    return made


WRONG = ("no rows", "no study", "no series", "short pixels", "no pixels", "oblique", "a word for a number")


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_understood_is_refused_by_its_status(receive, name):
    port, gatherer = receive()
    assert store(port, [damaged(name)]) == [0xC000]
    assert gatherer.spool.state()[GATHERING] == 0
    assert [*gatherer.spool.incoming.iterdir()] == []


def test_an_object_that_is_another_than_its_sender_says_is_refused(tmp_path):
    (file,) = write(series()[:1], tmp_path)
    with pytest.raises(RefusedError, match="another object than its sender says") as error:
        look_at(file, CTImageStorage, "1.2.3")
    assert error.value.status == 0xA900


def test_nothing_of_a_patient_is_logged_or_named(receive, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    port, gatherer = receive()
    store(port, [*series(), damaged("short pixels"), damaged("no study")])
    associate(port, "STRANGER")
    queued(gatherer)
    text = caplog.text + "\n".join(str(file) for file in tmp_path.rglob("*"))
    assert [word for word in (*PATIENT_NAME.split("^"), PATIENT_ID, BIRTH_DATE) if word in text] == []
