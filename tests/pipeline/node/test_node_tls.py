"""With certificates a node is spoken to by TLS alone, and by those alone who show one that is signed."""

from __future__ import annotations

import shutil
import ssl
import subprocess

import pytest

pytest.importorskip("pynetdicom", reason="the extra `node` is not installed")

from dataclasses import replace

from conftest import chest
from dicom_makers import classic, write
from node_makers import SCANNER, associate, settings_of
from pydicom.uid import CTImageStorage

from pipeline.node.arrival import look_at
from pipeline.node.delivery import client_context, deliver
from pipeline.node.gatherer import Gatherer
from pipeline.node.receiver import Receiver
from pipeline.node.settings import Limits, Tls
from pipeline.node.spool import GATHERING, Spool

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Tls:
    """A certificate for the loopback address, which is signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=node"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([*words, *names], check=True, capture_output=True)
    return Tls(certificate, key, certificate)


@pytest.fixture
def receiver(tmp_path, files, monkeypatch):
    spool = Spool(tmp_path / "spool", settings_of(tls=files, quiet_s=60.0, limits=Limits(free_disk_mb=0)))
    monkeypatch.setattr("tempfile.tempdir", str(spool.incoming))
    made = Receiver(spool.settings, Gatherer(spool.settings, spool))
    yield made
    made.stop()


def test_who_shows_a_certificate_is_taken(receiver, files):
    association = associate(receiver.port, tls_args=(client_context(files), "127.0.0.1"))
    assert association.send_c_echo().Status == 0
    association.release()


def test_who_speaks_without_tls_is_not(receiver):
    assert not associate(receiver.port).is_established


def test_who_shows_no_certificate_is_not(receiver, files):
    context = ssl.create_default_context(cafile=files.certificate)
    assert not associate(receiver.port, tls_args=(context, "127.0.0.1")).is_established


def test_a_node_sends_by_tls_to_a_peer_that_has_it(receiver, files, tmp_path):
    (file,) = write(classic(chest()[0])[:1], tmp_path)
    assert look_at(file, CTImageStorage).size == file.stat().st_size
    settings = settings_of(receiver.port, aet=SCANNER, tls=files)
    deliver(settings, replace(settings.peers[SCANNER], name="NODE", tls=True), file)
    assert receiver.gatherer.spool.state()[GATHERING] == 1
