"""Slices of a scan, and their labels, as one compressed picture each, for the page's viewer."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from evaluation.report.stack import Stack

# 8 bits hold what the windows need: half the levels for soft tissue, which is looked at in a narrow window
KNOTS = ((-1350, 0), (-160, 128), (250, 255))
# Tried in turn until a scan takes no more than its share of the page
QUALITIES = (70, 50, 30, 15)
# Class numbers of reference and prediction share a byte
REFERENCE_FACTOR = 16


def encoded_hu(hu: np.ndarray) -> np.ndarray:
    """Hounsfield units as 8-bit levels by the knots."""
    values, levels = zip(*KNOTS, strict=True)
    return np.interp(hu, values, levels).round().astype(np.uint8)


def tiled(slices: np.ndarray, columns: int) -> np.ndarray:
    """Slices (D, H, W) as one picture, in rows of `columns`, from the top left; missing ones are 0."""
    depth, height, width = slices.shape
    rows = -(-depth // columns)
    full = np.zeros((rows * columns, height, width), slices.dtype)
    full[:depth] = slices
    return full.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)


def atlas(stack: Stack, most_bytes: int) -> dict[str, Any]:
    """Two pictures in base64 with what the viewer must know of them; the labels are exact, the scan is not.

    `most_bytes` is for the scan's picture; the last quality is taken even if it needs more.
    """
    depth, height, width = stack.hu.shape
    columns = max(round((depth * height / width) ** 0.5), 1)
    pair = stack.reference * np.uint8(REFERENCE_FACTOR) + stack.prediction
    return {
        "width": width,
        "height": height,
        "columns": columns,
        "numbers": stack.numbers,
        "of": stack.of,
        "pixelMm": stack.spacing_mm[2],
        "scan": data_uri("webp", webp(tiled(encoded_hu(stack.hu), columns), most_bytes)),
        "labels": data_uri("png", _saved(tiled(pair, columns), "PNG", optimize=True)),
    }


def webp(picture: np.ndarray, most_bytes: int) -> bytes:
    """A picture, uint8, grey (H, W) or coloured (H, W, 3), at the best of the qualities that fits."""
    for quality in QUALITIES:
        saved = _saved(picture, "WEBP", quality=quality, method=2)
        if len(saved) <= most_bytes:
            break
    return saved


def _saved(picture: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind, **options)
    return stream.getvalue()


def data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
