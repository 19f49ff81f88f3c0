"""Damaged checkpoints: what torch.save writes, with a pickle that says something else."""

from __future__ import annotations

import io
import zipfile
from functools import cache

import numpy as np
import torch

from .images import damaged_bytes


@cache
def sound_weights() -> bytes:
    stream = io.BytesIO()
    torch.save(torch.nn.Linear(4, 3).state_dict(), stream)
    return stream.getvalue()


def damaged_weights(generator: np.random.Generator) -> bytes:
    """Damaged as a whole, or with one damaged part whose checksum fits."""
    content = sound_weights()
    if generator.random() < 0.3:
        return damaged_bytes(content, 600, generator)
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(stream, "w") as written:
        names = given.namelist()
        chosen = names[0] if generator.random() < 0.8 else names[int(generator.integers(len(names)))]
        for name in names:
            part = given.read(name)
            damaged = damaged_bytes(part, len(part), generator) if name == chosen and part else part
            written.writestr(zipfile.ZipInfo(name), damaged)
    return stream.getvalue()
