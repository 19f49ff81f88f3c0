"""Bundles made small for tests, and processes that see nothing of this project."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from network_table import BY_BUNDLE

from pipeline.core.atomic import write_json
from pipeline.core.configuration import INFERENCE, TRAIN
from pipeline.core.stages import stages_of
from pipeline.export.build import export
from pipeline.export.source import Source, initial
from pipeline.export.verify import STANDALONE
from pipeline.training.checkpoint import FINISHED, MODEL

GUARD = """\
import importlib.util, json
spec = importlib.util.spec_from_file_location("standalone", {standalone!r})
standalone = importlib.util.module_from_spec(spec)
spec.loader.exec_module(standalone)
standalone.hide_packages(json.load(open({metadata!r})))
"""


def small(network: str, overrides: Mapping[str, Any]) -> Source:
    """A network or cascade with initial weights and few of them; a network of no use alone has all of its own."""
    stages = stages_of(network)
    arguments = {
        f"{stage.name}::network_def::{name}" if stage.name else f"network_def::{name}": value
        for stage in stages
        if stage.network in BY_BUNDLE
        for name, value in BY_BUNDLE[stage.network].tiny.items()
    }
    return initial(network, "demo", {**overrides, **arguments})


def small_run(network: str, folder: Path, overrides: Mapping[str, Any], folds: int = 2) -> Path:
    """What a cross-validation of a small network or cascade leaves of its members, with random weights."""
    for stage in small(network, overrides).members:
        for name, content in ((TRAIN, stage.train), (INFERENCE, stage.inference)):
            write_json(folder / stage.stage.name / f"{name}.json", content)
        for fold in range(folds):
            place = folder / stage.stage.name / f"fold{fold}"
            place.mkdir()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(fold)
                built = ConfigParser(stage.inference).get_parsed_content("network_def")
                learn_grey_levels(built, stage.inference["spatial_dims"], len(stage.classes.classes))
            torch.save(built.state_dict(), place / MODEL)
            write_json(place / FINISHED, {"seconds": 1, "epochs": 1, "steps": 1, "peak_memory_mib": 1, "device": "cpu"})
    return folder


def learn_grey_levels(network: torch.nn.Module, dims: int, classes: int) -> None:
    """A few steps, after which the classes found depend on the image, and on the seed: members disagree in places."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    levels = torch.linspace(-1, 1, classes + 1)[1:-1]
    for _ in range(20):
        coarse = torch.randn(2, 1, *[8] * dims)
        image = torch.nn.functional.interpolate(coarse, scale_factor=8.0 if dims == 2 else 4.0)
        answer = network(image)
        loss = torch.nn.functional.cross_entropy(answer, torch.bucketize(image[:, 0], levels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def exported(network: str, folder: Path, overrides: Mapping[str, Any]) -> Path:
    return export(small(network, overrides), folder)


def run_alone(words: Sequence[str], bundle: Path, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Python with these words in a folder, with nothing importable but the packages that a bundle names.

    `more` are further variables of the environment.
    """
    guard = folder / "guard"
    guard.mkdir(parents=True, exist_ok=True)
    metadata = str(bundle / "configs" / "metadata.json")
    (guard / "sitecustomize.py").write_text(GUARD.format(standalone=str(STANDALONE), metadata=metadata))
    environment = {**os.environ, "PYTHONPATH": str(guard), **more}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def monai_alone(command: str, bundle: Path, folder: Path, **arguments: Any) -> str:
    """A sub-command of `python -m monai.bundle` on a bundle, run alone; gives what it printed, and expects status 0."""
    words = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    done = run_alone(["-m", "monai.bundle", command, *words], bundle, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
