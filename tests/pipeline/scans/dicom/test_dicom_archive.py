"""A zip file is unpacked into its temporary folder, or not at all."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from pipeline.core.errors import InputError
from pipeline.scans.dicom import archive
from pipeline.scans.dicom.archive import extracted


def zipped(file: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return file


def unpack(file: Path) -> dict[str, bytes]:
    with extracted(file) as folder:
        return {str(found.relative_to(folder)): found.read_bytes() for found in folder.rglob("*") if found.is_file()}


def test_files_come_out_as_they_went_in(tmp_path):
    entries = {"a b/c\n1": b"one", "Müller/胸.dcm": b"two"}
    assert unpack(zipped(tmp_path / "scans.zip", entries)) == entries


def test_the_folder_is_gone_afterwards(tmp_path):
    with extracted(zipped(tmp_path / "scans.zip", {"a": b"one"})) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/a", "C:\\a", "a\\..\\..\\b", "\\\\host\\share\\a"])
def test_paths_outside_the_folder_are_refused(tmp_path, name):
    file = zipped(tmp_path / "scans.zip", {"fine": b"", name: b"one"})
    with pytest.raises(InputError, match="path"):
        unpack(file)


def test_a_symbolic_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as made:
        made.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="a link or device"):
        unpack(tmp_path / "scans.zip")


def test_the_same_name_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as made:
        made.writestr("a", "one")
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("a", "two")
    with pytest.raises(InputError, match="the same name twice"):
        unpack(tmp_path / "scans.zip")


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SMALL_BYTES", 1 << 20)
    with pytest.raises(InputError, match="which no scans do"):
        unpack(zipped(tmp_path / "scans.zip", {"a": bytes(4 << 20)}))


def test_more_than_the_disk_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(InputError, match="set TMPDIR"):
        unpack(zipped(tmp_path / "scans.zip", {"a": bytes(100)}))


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_ENTRIES", 2)
    with pytest.raises(InputError, match="holds 3 files"):
        unpack(zipped(tmp_path / "scans.zip", {"a": b"", "b": b"", "c": b""}))


def test_a_password_is_asked_for_in_vain(tmp_path):
    file = zipped(tmp_path / "scans.zip", {"a": b"one"})
    content = bytearray(file.read_bytes())
    # The flags of the entry in the archive's directory
    content[content.index(b"PK\x01\x02") + 8] |= archive.ENCRYPTED
    file.write_bytes(content)
    with pytest.raises(InputError, match="need a password"):
        unpack(file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no more", b"something else"])
def test_what_is_no_zip_file_is_refused(tmp_path, content):
    (tmp_path / "scans.zip").write_bytes(content)
    with pytest.raises(InputError, match="not a readable zip file"):
        unpack(tmp_path / "scans.zip")


def test_a_damaged_file_in_it_is_refused(tmp_path):
    file = zipped(tmp_path / "scans.zip", {"a": bytes(range(256)) * 8})
    content = bytearray(file.read_bytes())
    content[60] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        unpack(file)


def test_a_file_where_a_folder_should_be_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack(zipped(tmp_path / "scans.zip", {"a": b"one", "a/b": b"two"}))


def test_a_zip_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        unpack(tmp_path / "scans.zip")
