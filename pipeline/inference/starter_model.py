"""The model that comes with this program, for whoever has scans and no labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.bundle_files.archive import check_checksums, checksum_file
from pipeline.core.atomic import read_json
from pipeline.core.configuration import COMMON, load
from pipeline.core.errors import InputError
from pipeline.core.project import ROOT
from pipeline.core.run_files import DATALIST
from pipeline.training.checkpoint import MODEL

STARTER = COMMON / "starter.yaml"
MODELS = ROOT / "models"
CARD = "README.md"


def starter_folder() -> Path:
    """Where it lies in this installation, or would."""
    return MODELS / str(load([STARTER])["name"])


def starter_model() -> Path:
    """The folder of its weights, as MODEL takes it.

    Raises InputError where this installation has none, or one with other files than the program was given with.
    """
    weights = _weights()
    if not weights:
        raise InputError(
            f"MODEL is not given, and the starter model is not in {starter_folder()}; give MODEL a trained fold, such "
            "as runs/unet_3d/cv/fold0, or a bundle, or install the program again."
        )
    folder = starter_folder()
    if not check_checksums(folder):
        raise InputError(
            f"{checksum_file(folder)}: is missing, and says whether the starter model is whole; install the program "
            "again, or give MODEL."
        )
    return weights[0].parent


def told() -> str:
    """One line on what the starter model is, for whoever did not ask for it by name."""
    folder, described = starter_folder(), load([STARTER])
    return (
        f"MODEL is not given: the starter model {described['name']} is used, trained on "
        f"{in_words(read_json(folder / DATALIST)['training'])}; what it is worth is in {folder / CARD}. Research only, "
        f"no medical device; its weights are {described['weights_licence']}."
    )


def in_words(cases: Sequence[Mapping[str, Any]]) -> str:
    """How many scans and patients entries of a datalist are; of single slices nobody tells whose they are."""
    volumes = [case for case in cases if case["size"][2] > 1]
    patients = len({case["patient_id"] for case in volumes})
    slices = len(cases) - len(volumes)
    parts = [f"{len(volumes)} scans of {patients} patients"] * bool(volumes) + [f"{slices} single slices"] * bool(
        slices
    )
    return " and ".join(parts)


def _weights() -> list[Path]:
    return sorted(starter_folder().glob(f"fold*/{MODEL}"))
