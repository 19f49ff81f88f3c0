"""The processes in which 8 bits are made and measured, and how their failures are told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import tiny_overrides
from exported import small_run

from pipeline.core.errors import InputError
from pipeline.inference import first_use
from pipeline.inference.chosen_model import open_model
from pipeline.inference.first_use import CALIBRATION, make_ready, run
from pipeline.inference.members import find_members


@pytest.fixture
def fold(tmp_path) -> Path:
    """A member without the study that it was trained in."""
    return small_run("unet_3d", tmp_path / "cv", {**tiny_overrides(), "mixed_precision": False}) / "fold0"


def test_what_a_process_fails_of_is_told(fold):
    with pytest.raises(InputError, match=r"^8 bits are calibrated .*: is in no fold of a cross-validation"):
        run(CALIBRATION, fold / "model.pt")


def test_a_process_that_ends_without_a_word_is_named(fold):
    with pytest.raises(InputError, match=r"^nothing ended with status 2"):
        run("nothing", fold / "model.pt")


def test_without_the_package_nothing_is_begun(fold, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(first_use, "run", lambda *_: pytest.fail("a process was begun"))
    with pytest.raises(InputError, match=r"MODE: 8 bits need the package openvino"):
        make_ready(find_members(fold))


def test_on_a_gpu_nothing_is_begun(fold, monkeypatch, tmp_path):
    configuration = find_members(fold)[0].configuration
    text = configuration.read_text().replace("$torch.device('cpu')", "$torch.device('cuda')")
    configuration.write_text(text)
    monkeypatch.setattr(first_use, "run", lambda *_: pytest.fail("a process was begun"))
    with (
        pytest.raises(InputError, match="8 bits are for CPUs, but this runs on cuda"),
        open_model(fold, mode="int8"),
    ):
        pass


def test_what_cannot_be_measured_is_used_all_the_same(fold, monkeypatch, caplog):
    def fails(module: str, model_file: Path) -> None:
        if module == first_use.FIDELITY:
            raise InputError("none of the scans is there.")

    monkeypatch.setattr(first_use, "package", lambda name: None)
    monkeypatch.setattr(first_use, "run", fails)
    make_ready(find_members(fold))
    assert "none of the scans is there." in caplog.messages
