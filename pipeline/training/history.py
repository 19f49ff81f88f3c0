"""The curves of a training: one row an epoch in history.csv, and the same for TensorBoard."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from pipeline.core.atomic import replacing
from pipeline.training.mlflow_curves import MLflowCurves


class History:
    """Handler for a trainer: epoch, training loss, validation loss (None where not measured), learning rate.

    Its rows are part of the training's checkpoint, so a resumed training keeps them.

    Args:
        folder: for `history.csv` and the folder `tensorboard`.
        evaluator: its metric `val_loss` is the validation loss.
        mlflow_uri, experiment, name: where MLflow gets the same, see `pipeline.training.mlflow_curves`, or None.
    """

    def __init__(
        self,
        folder: str | Path,
        optimizer: Optimizer,
        evaluator: Engine | None = None,
        mlflow_uri: str | None = None,
        experiment: str = "",
        name: str = "",
    ) -> None:
        self.folder = Path(folder)
        self.optimizer = optimizer
        self.evaluator = evaluator
        self.rows: list[dict[str, Any]] = []
        first = idist.get_rank() == 0
        self.curves = MLflowCurves(mlflow_uri, experiment, name) if mlflow_uri and first else None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.record)

    def record(self, engine: Engine) -> None:
        # Popped, so that an epoch without validation does not repeat the last value.
        val_loss = None if self.evaluator is None else self.evaluator.state.metrics.pop("val_loss", None)
        row = {
            "epoch": engine.state.epoch,
            "train_loss": float(engine.state.metrics["train_loss"]),
            "val_loss": val_loss,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        self.rows.append(row)
        if idist.get_rank() > 0:
            return
        self._write_table()
        with SummaryWriter(str(self.folder / "tensorboard"), purge_step=row["epoch"]) as board:
            for name in ("train_loss", "val_loss", "learning_rate"):
                if row[name] is not None:
                    board.add_scalar(name, row[name], row["epoch"])
        if self.curves is not None:
            self.curves.log(row)

    def _write_table(self) -> None:
        with replacing(self.folder / "history.csv") as temporary, temporary.open("w", newline="") as table:
            writer = csv.DictWriter(table, fieldnames=self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = list(state["rows"])
