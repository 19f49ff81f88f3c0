"""MLflow gets the curves where it is asked to, each training as one run."""

from __future__ import annotations

import sys

import pytest
import torch
from ignite.engine import Engine

from pipeline.core.errors import InputError
from pipeline.training.history import History


def train(folder, epochs):
    """The history of so many epochs, whose losses are their numbers."""
    weights = [torch.nn.Parameter(torch.zeros(1))]
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    history = History(
        folder, torch.optim.SGD(weights, lr=0.1), mlflow_uri=uri, experiment="unet_3d", name="cv's fold 0"
    )
    engine = Engine(lambda engine, batch: None)
    for epoch in epochs:
        engine.state.epoch, engine.state.metrics = epoch, {"train_loss": float(epoch)}
        history.record(engine)
    return uri


def test_a_training_that_goes_on_is_one_run_with_all_its_epochs(tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    train(tmp_path, [1, 2])
    client = mlflow.MlflowClient(tracking_uri=train(tmp_path, [3]))
    (run,) = client.search_runs([client.get_experiment_by_name("unet_3d").experiment_id])
    curve = client.get_metric_history(run.info.run_id, "train_loss")
    assert sorted((point.step, point.value) for point in curve) == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_without_the_package_the_extra_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match=r"MLflow is not installed: pip install -e '\.\[mlflow\]'"):
        train(tmp_path, [1])
