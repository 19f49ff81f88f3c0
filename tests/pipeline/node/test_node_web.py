"""STOW-RS, the page and /health, asked over a real socket: what is wrong gets its status and no traceback."""

from __future__ import annotations

import http.client
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("pynetdicom", reason="the extra `node` is not installed")
pytest.importorskip("starlette", reason="the extra `node` is not installed")
pytest.importorskip("uvicorn", reason="the extra `node` is not installed")

from dicom_makers import BIRTH_DATE, PATIENT_ID, PATIENT_NAME
from node_makers import ARCHIVE, fake_segment, series, settings_of, until, with_web
from pydicom.dataset import Dataset

from pipeline.node.delivery import NotDeliveredError, deliver
from pipeline.node.node import Node
from pipeline.node.settings import Limits, Peer
from pipeline.node.spool import GATHERING

STUDIES = "/dicom-web/studies"
RELATED = 'multipart/related; type="application/dicom"; boundary=line'
USE = "For research only. Not a medical device"


@pytest.fixture
def serve(tmp_path):
    """Makes a node with a page, which segments nothing by itself."""
    opened = []

    def with_changes(web=None, **changes) -> Node:
        settings = with_web(settings_of(limits=Limits(free_disk_mb=0), **changes), **(web or {}))
        node = Node(settings, tmp_path / "node", fake_segment(tmp_path / "node" / "results"), "unet_3d", "PneumoBundle")
        context = node.open()
        context.__enter__()
        opened.append(context)
        until(lambda: node.web.started)
        return node

    yield with_changes
    for context in opened:
        context.__exit__(None, None, None)


def ask(node: Node, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", node.settings.web.port, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.getheader("Content-Type", "")
    connection.close()
    return found


def written(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def multipart(*objects: bytes, kind: str = "application/dicom") -> bytes:
    parts = [f"--line\r\nContent-Type: {kind}\r\n\r\n".encode() + each + b"\r\n" for each in objects]
    return b"".join(parts) + b"--line--\r\n"


def stow(node: Node, body: bytes, path: str = STUDIES, content_type: str = RELATED, **headers: str):
    return ask(node, "POST", path, body, Content_Type=content_type, **headers)


def test_a_series_that_is_stored_is_segmented(serve):
    node = serve()
    status, body, kind = stow(node, multipart(*map(written, series())))
    assert (status, kind) == (200, "application/dicom+json")
    (told,) = json.loads(body)
    assert len(told["00081199"]["Value"]) == 12
    node.gatherer.close()
    assert node.step()


def test_bytes_that_look_like_an_end_of_line_are_kept(serve):
    node = serve()
    made = series()[0]
    made.PixelData = (b"\r\n--lin\r\n\r\n" * 100)[: len(made.PixelData)]
    assert stow(node, multipart(written(made)))[0] == 200
    (file,) = node.spool.folder.rglob("*.dcm")
    assert file.read_bytes() == written(made)


def test_the_answer_may_be_xml(serve):
    sent = series()[0]
    status, body, kind = stow(serve(), multipart(written(sent)), Accept="application/dicom+xml")
    values = [node.text for node in ElementTree.fromstring(body).iter() if node.tag.endswith("}Value")]
    assert (status, kind) == (200, "application/dicom+xml")
    assert values == [sent.SOPClassUID, sent.SOPInstanceUID]


def test_of_a_good_and_a_bad_object_the_answer_tells_both(serve):
    good, bad = series()[:2]
    bad.SeriesInstanceUID = ""
    status, body, _ = stow(serve(), multipart(written(good), written(bad)))
    (told,) = json.loads(body)
    (failed,) = told["00081198"]["Value"]
    assert status == 202
    assert failed["00081155"]["Value"] == [bad.SOPInstanceUID]
    assert failed["00081197"]["Value"] == [0xC000]


def test_what_is_no_dicom_at_all_is_told(serve):
    status, body, _ = stow(serve(), multipart(b"not DICOM"))
    assert (status, json.loads(body)[0]["00081198"]["Value"][0]["00081197"]["Value"]) == (409, [0xC000])


def test_an_object_of_another_study_than_the_address_says_is_not_stored(serve):
    node = serve()
    assert stow(node, multipart(written(series()[0])), f"{STUDIES}/1.2.3")[0] == 409
    assert node.spool.state()[GATHERING] == 0


def test_an_object_of_the_study_of_the_address_is_stored(serve):
    sent = series()[0]
    assert stow(serve(), multipart(written(sent)), f"{STUDIES}/{sent.StudyInstanceUID}")[0] == 200


def test_a_full_queue_is_out_of_service(serve):
    node = serve()
    object.__setattr__(node.settings.limits, "queue", 0)
    assert stow(node, multipart(written(series()[0])))[0] == 503


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", RELATED, 400),
        (b"no boundary", RELATED, 400),
        (b"--line--\r\n", RELATED, 400),
        (b"--line\r\nContent-Type: application/dicom\r\n\r\nends early", RELATED, 400),
        (b"--line\r\nno headers\r\n--line--", RELATED, 400),
        (multipart(b"a", kind="text/plain"), RELATED, 415),
        (b"", 'multipart/related; type="application/dicom"', 400),
        (b"", 'multipart/related; type="application/dicom"; boundary="\t"', 400),
        (b"", 'multipart/related; type="application/dicom+json"; boundary=line', 415),
        (b"{}", "application/json", 415),
        (b"", "", 415),
    ],
)
def test_a_request_that_is_none_has_its_status(serve, body, content_type, status):
    node = serve()
    found, text, _ = stow(node, body, content_type=content_type)
    assert found == status
    assert b"Traceback" not in text
    assert [*node.spool.incoming.iterdir()] == []


def test_an_answer_of_another_kind_cannot_be_had(serve):
    assert stow(serve(), multipart(written(series()[0])), Accept="text/html")[0] == 406


def test_a_request_that_is_too_long_is_refused(serve):
    node = serve()
    object.__setattr__(node.settings.limits, "object_mb", 0)
    assert stow(node, multipart(b"a"))[0] == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", STUDIES, 405), ("DELETE", "/", 405), ("GET", "/none", 404), ("GET", "/../etc/passwd", 404)],
)
def test_another_address_or_method_has_its_status(serve, method, path, status):
    assert ask(serve(), method, path)[0] == status


def test_an_unknown_address_is_not_answered(serve):
    assert ask(serve({"may_call": ("10.0.0.7",)}), "GET", "/")[0] == 403


def test_another_name_of_the_node_is_not_answered(serve):
    assert ask(serve(), "GET", "/", Host="evil.example")[0] == 400


def test_without_storing_there_is_no_such_address(serve):
    assert stow(serve({"may_store": False}), b"")[0] == 404


def test_health_tells_a_supervisor(serve):
    status, body, _ = ask(serve(), "GET", "/health")
    assert (status, json.loads(body)["status"], json.loads(body)["problems"]) == (200, "ok", [])


def test_a_full_disk_is_not_healthy(serve):
    node = serve()
    object.__setattr__(node.settings.limits, "free_disk_mb", 10**9)
    status, body, _ = ask(node, "GET", "/health")
    assert (status, json.loads(body)["status"]) == (503, "failing")
    assert json.loads(body)["problems"][0].startswith("The disk is full: ")


def test_the_page_has_the_last_results_and_says_what_they_are_for(serve):
    node = serve()
    stow(node, multipart(*map(written, series())))
    node.gatherer.close()
    node.step()
    status, body, kind = ask(node, "GET", "/")
    page = body.decode()
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert USE in page
    assert '<td class="number">12.5<td>CT-1' in page
    assert [word for word in (*PATIENT_NAME.split("^"), PATIENT_ID, BIRTH_DATE) if word in page] == []
    assert "http:" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_an_object_is_sent_by_stow_to_a_peer_with_a_url(serve, tmp_path):
    node = serve()
    file = tmp_path / "image.dcm"
    file.write_bytes(written(series()[0]))
    peer = Peer("WEB", url=f"http://127.0.0.1:{node.settings.web.port}{STUDIES}")
    deliver(node.settings, peer, file)
    assert node.spool.state()[GATHERING] == 1


def test_a_peer_with_a_url_that_refuses_an_object_is_told(serve, tmp_path):
    node = serve()
    file = Path(tmp_path / "image.dcm")
    file.write_bytes(b"no DICOM")
    with pytest.raises(NotDeliveredError, match="it answers with status 409") as error:
        deliver(node.settings, Peer("WEB", url=f"http://127.0.0.1:{node.settings.web.port}{STUDIES}"), file)
    assert error.value.for_good
    assert ARCHIVE in node.settings.peers
