"""What a result was made with."""

from __future__ import annotations

import platform
import shutil
import subprocess

import pytest
import torch

from pipeline.core.commit import commit
from pipeline.core.provenance import processor, provenance

CPU = torch.device("cpu")


@pytest.fixture
def checkout(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    (tmp_path / "file").write_text("one")
    identity = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]
    for words in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "--message", "First"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    return tmp_path


def test_a_checkout_has_the_first_digits_of_its_commit(checkout):
    asked = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    assert commit(checkout) == subprocess.run(asked, capture_output=True, text=True, check=True).stdout[:12]


def test_changed_files_are_told(checkout):
    (checkout / "file").write_text("two")
    assert commit(checkout).endswith(" with changes")


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path) is None


def test_the_processor_is_read_from_linux_list(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU 42\n\nprocessor\t: 1\nmodel name\t: B\n")
    assert processor(tmp_path / "cpuinfo") == "Some CPU 42"


def test_processors_of_one_name_are_told_apart(tmp_path):
    (tmp_path / "cpuinfo").write_text("cpu family\t: 25\nmodel\t\t: 1\nmodel name\t: Some CPU: 42\n")
    assert processor(tmp_path / "cpuinfo") == "Some CPU: 42 (family 25, model 1)"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\n")
    assert processor(tmp_path / "cpuinfo") == platform.machine()


def test_what_cannot_be_found_out_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "commit" not in provenance(CPU, tmp_path)
    assert "graphics processor" not in provenance(CPU, tmp_path)


def test_versions_are_told():
    assert provenance(CPU)["monai"].startswith("1.")
