"""The curves of a training for MLflow too, in a database file such as sqlite:///runs/mlflow.db, or on a server."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pipeline.core.errors import InputError


class MLflowCurves:
    """A run of an experiment, which is gone on with where it is there already.

    Args:
        uri: of MLflow's store; folders are none that it still writes to.
        experiment: name, made when missing.
        run: name within the experiment.

    Raises InputError where MLflow is not installed.
    """

    def __init__(self, uri: str, experiment: str, run: str) -> None:
        try:
            # By name: an exported bundle needs what its code imports, and this only where it is asked for
            mlflow = import_module("mlflow")
        except ImportError as error:
            raise InputError(
                f"mlflow_uri is {uri}, but MLflow is not installed: pip install -e '.[mlflow]', or leave it out."
            ) from error
        self.client = mlflow.MlflowClient(tracking_uri=uri)
        known = self.client.get_experiment_by_name(experiment)
        number = self.client.create_experiment(experiment) if known is None else known.experiment_id
        found = self.client.search_runs([number], filter_string=f"attributes.run_name = {run!r}")
        self.run_id = (found[0] if found else self.client.create_run(number, run_name=run)).info.run_id

    def log(self, row: Mapping[str, Any]) -> None:
        """The values of an epoch, `epoch` among them; None is left out."""
        for name, value in row.items():
            if name != "epoch" and value is not None:
                self.client.log_metric(self.run_id, name, value, step=row["epoch"])
