"""Data folders whose dataset.json, manifest.json or metadata.csv say what they should not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, float("inf"), "", "x", "²", "1", [], [1], ["a"], {}, {"a": 1}, {"²": "x"}, [[["deep"]]],
    {"image": 3}, "a\nb", "\x00", "../../etc/passwd", "x" * 300,
)  # fmt: skip
DESCRIPTION = {
    "channel_names": {"0": "CT"},
    "modality": {"0": "CT"},
    "labels": {"background": 0, "left lung": 1, "2": "right lung"},
    "label_codes": {"1": "left lung"},
    "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz", "patient_id": "p"}],
    "cases": [{"case": "a", "patient": "p"}],
}
TEXTS = ("[" * 100_000, "{", "\ufeff{}", "[]", "3", "nan", "")
TABLES = (
    b"ct_scan,lung_and_infection_mask\na.nii.gz,a.nii.gz\n", b"ct_scan\n\x00", b"\xff\xfe\x00", b"", b"a,b\n1\n",
    b"ct_scan,lung_and_infection_mask\n" + b"x" * 200_000 + b",b\n", b'ct_scan,lung_and_infection_mask\n"a',
)  # fmt: skip
LAYOUTS = {
    "manifest.json": ("images/a.nii.gz", "labels/a.nii.gz"),
    "dataset.json": ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"),
    "metadata.csv": ("ct_scans/a.nii.gz", "lung_and_infection_mask/a.nii.gz"),
}


def write_damaged_folder(folder: Path, generator: np.random.Generator) -> None:
    """Write a folder of a known layout, its description changed in one to three places, or another text."""
    name = str(generator.choice(list(LAYOUTS)))
    # A Decathlon folder has no numbers of channels in its names
    for file in LAYOUTS[name] if generator.random() < 0.7 else ("imagesTr/a.nii.gz",):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).touch()
    if name == "metadata.csv":
        (folder / name).write_bytes(TABLES[int(generator.integers(len(TABLES)))])
        return
    content: Any = DESCRIPTION
    for _ in range(int(generator.integers(1, 4))):
        content = changed(content, generator)
    text = TEXTS[int(generator.integers(len(TEXTS)))] if generator.random() < 0.1 else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")


def changed(content: Any, generator: np.random.Generator) -> Any:
    """A copy of a JSON value in which something has become something else."""
    if not isinstance(content, dict | list) or not content or generator.random() < 0.25:
        return VALUES[int(generator.integers(len(VALUES)))]
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    key, copy = keys[int(generator.integers(len(keys)))], content.copy()
    copy[key] = changed(content[key], generator)
    return copy
