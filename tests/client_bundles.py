"""Small bundles for the programs of others, what `make predict` finds with them, and where those programs are."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from exported import small_run

from pipeline.core.project import ROOT
from pipeline.export.build import export
from pipeline.export.source import ensemble_from_run, from_run
from pipeline.phantom.dataset import write_phantom
from pipeline.prediction.predict import predict

CLIENTS = ROOT / "build" / "clients"
# Of several windows, several slices, two stages, several networks
NETWORKS, ENSEMBLE = ("unet_3d", "anam_net", "chs_net"), "small_covid_net"
BUNDLES = (*NETWORKS, ENSEMBLE)


@dataclass(frozen=True)
class Sample:
    """A bundle, and the label, (W, H, D), that `make predict` finds with it in a scan."""

    bundle: Path
    scan: Path
    label: np.ndarray


def bundle_maker(folder: Path, overrides: dict[str, Any]) -> Callable[[str], Sample]:
    """Gives the sample of a network, made once; its weights are such that all classes are found."""
    (folder / "phantom").exists() or write_phantom(folder / "phantom", patients=3, coarsening=4.0)
    scan = sorted((folder / "phantom" / "images").glob("*.nii.gz"))[0]

    @cache
    def made(network: str) -> Sample:
        run = small_run(network, folder / f"run_{network}", {**overrides, "mixed_precision": False})
        source = (ensemble_from_run if network == ENSEMBLE else from_run)(network, run)
        bundle = export(source, folder / "bundles")
        return Sample(bundle, scan, found_by_predict(bundle, scan, folder / f"labels_{network}"))

    return made


def found_by_predict(bundle: Path, scan: Path, folder: Path) -> np.ndarray:
    predict(bundle, scan, folder)
    return voxels(folder / scan.name)


def voxels(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file))).transpose(2, 1, 0)


def programs_of(client: str) -> Path:
    """The folder of the programs of a client's environment; skips the test where it was not made."""
    environment = CLIENTS / client
    if not (environment / "complete").exists():
        pytest.skip(f"there is no {environment.relative_to(ROOT)}: tools/clients_for_tests.sh makes it")
    return environment / "bin"


def without_project(programs: Path | None = None) -> dict[str, str]:
    """Variables for a process that knows nothing of this project but what a bundle has of it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "PATH": f"{programs}{os.pathsep}{kept['PATH']}"} if programs else kept


def told_by(words: Sequence[str | Path], folder: Path, programs: Path | None = None) -> Any:
    """What a program said in its last line, as JSON; it is run in a folder, and expected to succeed."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env=without_project(programs), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
