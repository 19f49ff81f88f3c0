"""What an export tells of `run_onnx.py` beside `make predict`; that both agree is tested in test_run_onnx.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import InputError
from pipeline.inference.features import Model, untrained
from pipeline.inference.fold_scans import Scans
from pipeline.small_devices import runner_agreement
from pipeline.small_devices.runner_agreement import beside_predict, run_alone

CHOSEN = Scans([], [{"case": "chest", "image": "chest.nii.gz"}], "", "")


def test_initial_weights_are_not_compared():
    assert list(beside_predict(untrained("anam_net", "demo"), CHOSEN, "onnx", Path("network.onnx"))) == []


def test_what_the_runner_refuses_is_told(monkeypatch):
    def refuse(*_):
        raise InputError("network.onnx: needs lungs")

    monkeypatch.setattr(runner_agreement, "run_alone", refuse)
    model = Model(untrained("anam_net", "demo").parser, Path("fold0/model.pt"))
    (told,) = beside_predict(model, CHOSEN, "onnx", Path("network.onnx"))
    assert told == "run_onnx.py, onnx: not compared with make predict: network.onnx: needs lungs"


def test_a_runner_that_ends_in_an_error_says_its_last_line():
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match=r"none\.onnx: ONNX Runtime cannot open it"):
        run_alone(Path("none.onnx"), Path("chest.nii.gz"))
