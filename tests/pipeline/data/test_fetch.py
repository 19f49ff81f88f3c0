"""The download against a file server on this machine: resumed, verified, unpacked into its folder only."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.core.errors import InputError
from pipeline.core.progress_bar import Form
from pipeline.data import fetch

IMAGES, MASKS = fetch.ARCHIVES


def zipped(**files: bytes) -> bytes:
    """A zip with `a__b` as the path a/b.nii.gz."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name.replace('__', '/')}.nii.gz", content)
    return memory.getvalue()


class FileServer(ThreadingHTTPServer):
    """Serves `files` by name and the record at /record; stops an answer after `stop_after` bytes, once."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {IMAGES: zipped(case=bytes(range(256)) * 20), MASKS: zipped(inner__case=b"mask")}
        self.md5, self.knows_ranges, self.stop_after, self.asked = {}, True, None, []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def record(self) -> bytes:
        described = []
        for name, content in self.files.items():
            md5 = self.md5.get(name, hashlib.md5(content).hexdigest())
            described.append({"key": name, "size": len(content), "checksum": f"md5:{md5}"})
        return json.dumps({"files": described}).encode()

    def fetch(self, target) -> None:
        fetch.fetch(target, f"{self.address}/files", f"{self.address}/record")


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self):
        name, asked_range = self.path.rsplit("/", 1)[-1], self.headers.get("Range")
        self.server.asked.append((name, asked_range))
        content = self.server.record() if name == "record" else self.server.files.get(name)
        if content is None:
            self.send_error(404)
            return
        start = int(asked_range[len("bytes=") : -1]) if asked_range and self.server.knows_ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = len(content)
        if name != "record" and self.server.stop_after:
            stop, self.server.stop_after = start + self.server.stop_after, None
        self.wfile.write(content[start:stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FileServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_both_archives_come_into_folders_of_their_names(server, tmp_path):
    server.fetch(tmp_path)
    assert (tmp_path / "COVID-19-CT-Seg_20cases/case.nii.gz").read_bytes() == bytes(range(256)) * 20
    assert (tmp_path / "Lung_and_Infection_Mask/case.nii.gz").read_bytes() == b"mask"


def test_nothing_but_the_two_folders_is_left(server, tmp_path):
    server.fetch(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["COVID-19-CT-Seg_20cases", "Lung_and_Infection_Mask"]


def test_a_complete_set_is_left_alone_without_asking_the_server(server, tmp_path, capsys):
    server.fetch(tmp_path)
    server.asked.clear()
    server.fetch(tmp_path)
    assert server.asked == []
    assert "already complete" in capsys.readouterr().out


def test_an_interrupted_download_says_how_far_it_came(server, tmp_path):
    server.stop_after = 1000
    with pytest.raises(InputError, match="run again to go on"):
        server.fetch(tmp_path)
    assert (tmp_path / f"{IMAGES}.part").stat().st_size == 1000


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    (tmp_path / f"{IMAGES}.part").write_bytes(server.files[IMAGES][:1000])
    server.fetch(tmp_path)
    assert (IMAGES, "bytes=1000-") in server.asked
    assert (tmp_path / "COVID-19-CT-Seg_20cases/case.nii.gz").is_file()


def test_a_server_without_ranges_is_begun_anew(server, tmp_path):
    server.knows_ranges = False
    (tmp_path / f"{IMAGES}.part").write_bytes(server.files[IMAGES][:1000])
    server.fetch(tmp_path)
    assert (tmp_path / "COVID-19-CT-Seg_20cases/case.nii.gz").is_file()


def test_an_answer_of_another_length_leaves_what_came_before(server, tmp_path):
    record = server.record()
    server.record = lambda: record
    (tmp_path / f"{IMAGES}.part").write_bytes(server.files[IMAGES][:1000])
    server.files[IMAGES], server.knows_ranges = b"<html>log in</html>", False
    with pytest.raises(InputError, match="offers 19 bytes, expected"):
        server.fetch(tmp_path)
    assert (tmp_path / f"{IMAGES}.part").stat().st_size == 1000


def test_a_wrong_checksum_removes_the_file(server, tmp_path):
    server.md5[IMAGES] = "0" * 32
    with pytest.raises(InputError, match=f"expected {'0' * 32}; it was removed"):
        server.fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_verified_archive_that_was_not_unpacked_is_not_downloaded_again(server, tmp_path):
    (tmp_path / IMAGES).write_bytes(server.files[IMAGES])
    server.fetch(tmp_path)
    assert [name for name, _ in server.asked] == ["record", MASKS]


def test_an_archive_of_ones_own_with_a_wrong_checksum_is_kept(server, tmp_path):
    (tmp_path / IMAGES).write_bytes(b"mine")
    with pytest.raises(InputError, match="remove it and run again"):
        server.fetch(tmp_path)
    assert (tmp_path / IMAGES).read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["..__outside", "__tmp__outside", "a__..__..__outside", "c:\\outside"])
def test_a_path_outside_the_target_is_refused(server, tmp_path, name):
    server.files[IMAGES] = zipped(**{"case": b"x", name: b"y"})
    with pytest.raises(InputError, match="a path outside the target"):
        server.fetch(tmp_path / "target")
    assert not list(tmp_path.rglob("*outside*"))
    assert not (tmp_path / "target/COVID-19-CT-Seg_20cases").exists()


def test_a_file_that_is_no_zip_is_an_error(server, tmp_path):
    server.files[IMAGES] = b"no zip"
    with pytest.raises(InputError, match=r"zip: damaged"):
        server.fetch(tmp_path)


def test_a_missing_file_is_an_error(server, tmp_path):
    with pytest.raises(InputError, match="the server answered 404"):
        fetch.fetch(tmp_path, f"{server.address}/files", f"{server.address}/absent")


def test_a_record_without_checksums_is_an_error(server, tmp_path):
    server.record = lambda: b'{"files": [{"key": "other.zip"}]}'
    with pytest.raises(InputError, match="does not describe"):
        server.fetch(tmp_path)


def test_no_network_is_one_sentence(server, tmp_path):
    with pytest.raises(InputError, match="no connection"):
        fetch.fetch(tmp_path, "http://127.0.0.1:1/files", "http://127.0.0.1:1/record")


def test_what_is_no_address_is_an_error(tmp_path):
    with pytest.raises(InputError, match="is no address"):
        fetch.fetch(tmp_path, "files", "record")


def test_the_bytes_that_came_are_told(server, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("pipeline.core.progress_bar.form", lambda: Form.LINES)
    for limit in ("SHOWN_AFTER_S", "LOG_EVERY_S"):
        monkeypatch.setattr(f"pipeline.core.progress_bar.{limit}", -1.0)
    with caplog.at_level(logging.INFO):
        server.fetch(tmp_path)
    assert f"{IMAGES}: 0 of 0 MB, about 0 s left" in caplog.messages
