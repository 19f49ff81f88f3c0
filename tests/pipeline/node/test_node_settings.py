"""The file of a node is read strictly: what does not fit is named."""

from __future__ import annotations

import pytest

from pipeline.core.errors import InputError
from pipeline.node.settings import Peer, read_settings

pytest.importorskip("yaml")
SMALL = "aet: NODE\npeers:\n  PACS: {host: 10.0.0.7, port: 104, may_send: true}\n"


def read(tmp_path, text: str):
    file = tmp_path / "node.yaml"
    file.write_text(text)
    return read_settings(file)


def test_a_small_file_listens_on_the_loopback_address_alone(tmp_path):
    found = read(tmp_path, SMALL)
    assert (found.host, found.port, found.web) == ("127.0.0.1", 11112, None)
    assert found.peers == {"PACS": Peer("PACS", "10.0.0.7", 104, may_send=True)}


def test_results_go_back_to_who_sent_the_series(tmp_path):
    assert read(tmp_path, SMALL).send_to("PACS") == ("PACS",)


def test_results_go_where_the_table_says(tmp_path):
    text = "aet: A\npeers:\n  CT1: {host: h, port: 1, may_send: true, send_to: [PACS]}\n  PACS: {host: p, port: 2}\n"
    found = read(tmp_path, text)
    assert (found.send_to("CT1"), found.send_to("PACS")) == (("PACS",), ("PACS",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no peers; expected at least one"),
        ("a: [", "is no YAML"),
        (SMALL + "prot: 104\n", "has the key 'prot' .did you mean port"),
        (SMALL + "port: high\n", "port is 'high'; expected a whole number"),
        (SMALL + "quiet_s: -1\n", "quiet_s is -1; expected no negative number"),
        (SMALL + "limits: {queue: true}\n", "queue is True; expected a whole number"),
        (SMALL.replace("aet: NODE\n", ""), "lacks aet"),
        (SMALL.replace("NODE", "A_NAME_THAT_IS_TOO_LONG"), "is no AE title"),
        (SMALL.replace("port: 104", "port: 0"), "peer PACS: port is 0; expected 1 to 65535"),
        (SMALL.replace("may_send: true", "send_to: [PASC]"), "send_to names 'PASC' .did you mean PACS"),
        (SMALL.replace("may_send: true", "url: 'http://a/b'"), "expected host and port, or a url"),
        (SMALL.replace("may_send: true", "tls: true"), "tls is true, but there are no files"),
        (SMALL.replace("may_send: true", "calls_from: [pacs]"), "expected addresses such as 10.0.0.7"),
        (SMALL + "web: {port: 8080}\n", "name in send_to who gets the results"),
        (SMALL + "tls: {certificate: no.pem, key: no.pem}\n", "names no.pem, which is no file"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"SETTINGS is .*none.yaml, which cannot be read"):
        read_settings(tmp_path / "none.yaml")
