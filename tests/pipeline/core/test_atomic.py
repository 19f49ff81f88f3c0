"""A file is either whole or as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.atomic import read_json, replacing, write_json


def write_half(file: Path) -> None:
    with replacing(file) as temporary:
        temporary.write_text("half")
        raise OSError("no space left on device")


def test_a_file_appears_whole(tmp_path):
    with replacing(tmp_path / "deep" / "a.txt") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "deep" / "a.txt").read_text() == "whole"


def test_a_file_is_not_seen_before_it_is_whole(tmp_path):
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        assert not (tmp_path / "a.txt").exists()


def test_the_temporary_file_is_hidden_and_keeps_the_suffixes(tmp_path):
    with replacing(tmp_path / "a.nii.gz") as temporary:
        temporary.touch()
    assert (temporary.name[0], "".join(temporary.suffixes[-2:])) == (".", ".nii.gz")


def test_an_error_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(OSError, match="no space left"):
        write_half(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "before"


def test_an_error_leaves_no_other_file(tmp_path):
    with pytest.raises(OSError, match="no space left"):
        write_half(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_json_is_read_as_it_was_written(tmp_path):
    content = {"Müller": [1, 0.5, None, "肺"]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


def test_json_is_written_for_readers(tmp_path):
    write_json(tmp_path / "a.json", {"lung": "肺"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "lung": "肺"\n}\n'


def test_nan_is_not_written(tmp_path):
    write_json(tmp_path / "a.json", {"dice": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"dice": float("nan")})
    assert read_json(tmp_path / "a.json") == {"dice": 0.5}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_is_read_as_editors_write_it(tmp_path, encoding):
    (tmp_path / "a.json").write_text('{"patient": "Ä"}', encoding=encoding)
    assert read_json(tmp_path / "a.json") == {"patient": "Ä"}
