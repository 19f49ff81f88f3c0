"""One DICOM object to one peer: by C-STORE, or by STOW-RS."""

from __future__ import annotations

import base64
import ssl
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, _config

from pipeline.node.settings import Peer, Settings, Tls

SECONDS = 30.0
# C-STORE: done, though with a remark
WARNINGS = (0xB000, 0xB006, 0xB007)
MULTIPART = 'multipart/related; type="application/dicom"; boundary={}'


class NotDeliveredError(Exception):
    """A peer has not taken an object; the message says why. `for_good` where it would not take it later either."""

    def __init__(self, why: str, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good = for_good


def deliver(settings: Settings, peer: Peer, file: Path) -> None:
    """Send a file; NotDeliveredError unless the peer says that it has it."""
    if peer.url:
        _by_stow(peer, file)
    else:
        _by_c_store(settings, peer, file)


def _by_c_store(settings: Settings, peer: Peer, file: Path) -> None:
    _config.STORE_SEND_CHUNKED_DATASET = True
    meta = read_file_meta_info(file)
    application = AE(settings.aet)
    application.acse_timeout = application.dimse_timeout = application.connection_timeout = SECONDS
    application.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    tls = (client_context(settings.tls), peer.host) if peer.tls and settings.tls else None
    association = application.associate(peer.host, peer.port, ae_title=peer.name, tls_args=tls)
    if association.is_rejected:
        raise NotDeliveredError("it refuses associations of this node")
    if not association.is_established:
        refused = any(context.result for context in association.rejected_contexts)
        raise NotDeliveredError(
            "it does not take objects of this kind" if refused else "it does not answer", for_good=refused
        )
    try:
        answer = association.send_c_store(file)
    finally:
        association.release()
    status = answer.get("Status")
    if status is None:
        raise NotDeliveredError("it broke off the association")
    if status != 0 and status not in WARNINGS:
        raise NotDeliveredError(f"it answers with status {status:04X}", for_good=status >> 8 != 0xA7)


def client_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.authorities or None)
    context.load_cert_chain(tls.certificate, tls.key)
    return context


def _by_stow(peer: Peer, file: Path) -> None:
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    request = urllib.request.Request(
        peer.url,
        head + file.read_bytes() + f"\r\n--{boundary}--\r\n".encode(),
        {"Content-Type": MULTIPART.format(boundary), "Accept": "application/dicom+json"},
    )
    if peer.credentials:
        word = Path(peer.credentials).read_text(encoding="utf-8").strip().encode()
        request.add_header("Authorization", f"Basic {base64.b64encode(word).decode()}")
    # To the peer, and to nobody in between
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        with error:
            for_good = error.code in (400, 409, 413, 415)
            raise NotDeliveredError(f"it answers with status {error.code}", for_good) from error
    except OSError as error:
        raise NotDeliveredError("it does not answer") from error
    # 202: some of it was not taken, and this is all of it
    if status != 200:
        raise NotDeliveredError(f"it answers with status {status}", for_good=status == 202)
