"""Segmenting scans: here, or by the tasks of a cluster."""

from __future__ import annotations

import logging
from types import SimpleNamespace

from pipeline.core import logs
from pipeline.folders.manifest import read_left_out
from pipeline.inference.chosen_model import open_model
from pipeline.inference.ensemble import parse_weights
from pipeline.inference.starter_model import starter_model, told
from pipeline.prediction.predict import predict as segment
from pipeline.prediction.predict import summarised
from pipeline.runs.arguments import LOCAL
from pipeline.runs.shards import submit_shards
from pneumobundle.run.defaults import PHANTOM, cluster_of, path, usual
from pneumobundle.run.process import end_on_sigterm

logger = logging.getLogger(__name__)
OUT = "predictions"


def model_of(given: SimpleNamespace) -> str:
    """What was given; else the run of the network that was given; else the model that comes with the program."""
    if given.model:
        return path(given.model)
    if given.network or given.cascade:
        return f"{usual(given, 'cv')}/fold0"
    model = starter_model()
    # Once, and not by each of many tasks
    if not getattr(given, "shard", False):
        logger.info("%s", told())
    return str(model)


def predict(given: SimpleNamespace) -> None:
    """Status 1 where a scan could not be segmented, or was left out."""
    model = model_of(given)
    source = path(given.input) if given.input else f"{PHANTOM}/images"
    output_dir = path(given.out) if given.out else OUT
    weights = parse_weights(given.weights)
    if given.launch != LOCAL:
        # Told now, not by every task hours later; of MODE=auto what it is here, so that no task takes another one
        with open_model(model, method=given.method, weights=weights, mode=given.mode, trusted=given.trust) as opened:
            given.mode = opened.facts["mode"]
        options = [
            f"--{name}={value}" for name in ("method", "weights", "mode", "series") if (value := given.__dict__[name])
        ]
        options += [f"--{name}" for name in ("trust", "anyway", "probabilities", "rtstruct") if given.__dict__[name]]
        options += [] if given.pages else ["--no-pages"]
        cluster = cluster_of(given)
        logs.result(submit_shards(model, source, output_dir, given.shards, options, cluster, series=given.series))
        return
    # What is asked to end gives its claim back
    end_on_sigterm()
    every = segment(
        model, source, output_dir, given.method, weights, given.mode, given.pages, given.series,
        trusted=given.trust, anyway=given.anyway, merged=not given.shard, probabilities=given.probabilities,
        rtstruct=given.rtstruct,
    )  # fmt: skip
    if not summarised(every, read_left_out(output_dir)):
        raise SystemExit(1)
