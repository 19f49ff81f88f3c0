"""Lay a bundle and a generated unit test into a clone of the Model Zoo, ready for a pull request.

pneumobundle zoo-pr build/bundles/lung_ct_covid_unet_3d_segmentation --zoo ../model-zoo
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from pipeline.bundle_files.archive import copy_files, read_large_files
from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.core.labels import CONSOLIDATION, GROUND_GLASS, INFECTION, label_map

TEMPLATE = Path(__file__).parent / "templates" / "unit_test.txt"
# Voxels (D, H, W) of the unit test's scans
SCAN_SHAPE = (24, 64, 64)
# Of a voxel: lungs of this shape are those of a large man
LARGEST_MM = (3.0, 3.0, 6.0)
# Both sides of a patch or slice of the unit test at most, of which networks with five halvings make 2
SMALL_SIDE, SMALL_DEPTH = 64, 32


def lay_into(bundle: Path, zoo: Path) -> list[Path]:
    """Copy a bundle to `models/`, without what its list of large files has elsewhere, and write its unit test.

    Gives what was written. Raises InputError for a folder that is no clone of the Model Zoo, a version that it has
    already, and a large file that cannot be had from anywhere.
    """
    meta = read_json(bundle / "configs" / "metadata.json")
    _refuse(bundle, zoo, meta)
    elsewhere = {entry["path"] for entry in read_large_files(bundle)}
    target = zoo / "models" / bundle.name
    shutil.rmtree(target, ignore_errors=True)
    copy_files(bundle, target, without=elsewhere)
    test = zoo / "ci" / "unit_tests" / f"test_{bundle.name}.py"
    test.parent.mkdir(parents=True, exist_ok=True)
    test.write_text(
        unit_test(bundle.name, read_json(bundle / "configs" / "train.json")), encoding="utf-8", newline="\n"
    )
    return [target, test]


def _refuse(bundle: Path, zoo: Path, meta: Mapping[str, Any]) -> None:
    if not ((zoo / "models").is_dir() and (zoo / "ci").is_dir()):
        raise InputError(f"ZOO is {zoo}, which has no folders models and ci; give a clone of Project-MONAI/model-zoo.")
    index = zoo / "models" / "model_info.json"
    published = f"{bundle.name}_v{meta['version']}"
    if index.is_file() and published in read_json(index):
        raise InputError(f"ZOO has {published} already; export with another version: VERSION=... CHANGES='...'.")
    homeless = [entry["path"] for entry in read_large_files(bundle) if not entry.get("url")]
    if homeless:
        raise InputError(
            f"{bundle}: {', '.join(homeless)} are over the Model Zoo's 25 MB and large_files.yml has no URL for them; "
            "put them where they can be downloaded, and export with URL=..."
        )


def unit_test(name: str, train: Mapping[str, Any]) -> str:
    """A test that trains, evaluates and segments on tiny random scans, in the form that the Model Zoo's tests have."""
    sides = [min(SMALL_SIDE, side) for side in train["slice_size"]]
    kinds = label_map(train["label_map"]).tells_kinds
    spacing_mm = [
        2.0 if length == 0 else float(min(length, most))
        for length, most in zip(train["spacing_mm"], LARGEST_MM, strict=True)
    ]
    small = {
        "max_epochs": 1,
        "iterations_per_epoch": 1,
        "val_patches": 1,
        "batch_size": 2,
        "patch_size": [*(min(SMALL_SIDE, side) for side in train["patch_size"][:2]), SMALL_DEPTH],
        "slice_size": [math.ceil(side / 32) * 32 for side in sides],
        "augment_size": [-1, -1, -1],
    }
    values = {
        "name": name,
        "class_name": "Test" + "".join(part.capitalize() for part in name.split("_")),
        # In the form that the Model Zoo's formatters leave it in
        "small": "".join(["{\n", *(f'    "{key}": {value},\n' for key, value in small.items() if key in train), "}"]),
        # An ensemble is trained member by member
        "trained": "member_files=[model]" if "member_def" in train else "model_file=model",
        "shape": SCAN_SHAPE,
        "spacing": tuple(spacing_mm),
        "infection": (GROUND_GLASS, CONSOLIDATION) if kinds else (INFECTION, INFECTION),
    }
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(values)
