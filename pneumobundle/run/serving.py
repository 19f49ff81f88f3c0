"""A node in a hospital's network, until it is told to end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from pipeline.inference.chosen_model import open_model
from pipeline.inference.ensemble import parse_weights
from pipeline.node.extra import check_packages
from pipeline.node.settings import read_settings
from pneumobundle.run.defaults import path
from pneumobundle.run.process import end_on_sigterm
from pneumobundle.run.segmenting import model_of


def serve(given: SimpleNamespace) -> None:
    check_packages()
    # Not only when the model is loaded
    settings = read_settings(path(given.settings))
    from pipeline.node.serve import serve as be_a_node

    # What is asked to end gives its claim back
    end_on_sigterm()
    out = Path(path(given.out)) if given.out else Path("runs/node")
    weights = parse_weights(given.weights)
    chosen = open_model(model_of(given), method=given.method, weights=weights, mode=given.mode, trusted=given.trust)
    with chosen as model:
        be_a_node(settings, model, out, given.pages)
