"""What an exported file says of the way from a scan to its label, for programs that know nothing else of this project.

`run_onnx.py` is such a program: it follows these numbers and names step by step, and gives the labels of `make predict
MODE=exact`. Whoever changes what one of them means raises SCHEME, here and there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap
from pipeline.inference.features import Model
from pipeline.scans.front import CUBIC, DEVIATION_PLUS, LINEAR, NORMALISATIONS, ORIENTATION, SIZE_TOLERANCE, Front
from pipeline.scans.landmarks import ENCLOSED_SHARE, FREQUENT, SMALLEST_CONTRAST, SMOOTHING
from transforms.infection_threshold import threshold_factors

SCHEME = 2
LANDMARKS = "landmarks"
SLICES, TILES, WINDOWS = "slices", "tiles", "windows"
AXES = ("left", "back", "head")


def scheme(model: Model, input_size: Sequence[int]) -> dict[str, Any]:
    """All steps, by key; `input_size` is (H, W) pixels of a slice or tile, or (H, W, D) voxels of a window.

    Raises InputError for a network that sees scans in a way that the program beside it does not know.
    """
    front: Front = model.setting("front")
    if model.parser.get("air_beyond_lungs_mm") is not None:
        raise InputError(
            "air_beyond_lungs_mm is given, which the program beside an exported network does not do; export one that "
            "was trained and is used without."
        )
    return {
        "scheme": SCHEME,
        "needs": needed(front),
        **to_grid(front),
        **to_grey_levels(front),
        **through_network(model, input_size),
        **to_label(model.setting("classes"), model.setting("infection_threshold"), smallest_part(model)),
    }


def needed(front: Front) -> list[str]:
    """What another network has to find before, without which the file is of no use: of a cascade's second network."""
    return ["lungs"] * front.within_lungs + ["infection"] * front.guided


def to_grid(front: Front) -> dict[str, Any]:
    return {
        "orientation": ORIENTATION,
        "grid": (
            "edges of the oriented scan; size = max(1, floor(scan's size * scan's spacing / spacing_mm + "
            "size_tolerance)); spacing = extent / size; the first voxel's centre lies half a spacing within the edge"
        ),
        "spacing_mm": front.spacing_mm,
        "slice_pixels": front.slice_pixels,
        "size_tolerance": SIZE_TOLERANCE,
        "interpolation_order": front.order,
        "interpolation_edges": "mirrored at the outermost centres" if front.order == CUBIC else "nearest",
    }


def to_grey_levels(front: Front) -> dict[str, Any]:
    """Before the grid: clipping and rounding; after it: normalisation."""
    return {
        "hounsfield_below": 0,
        "window_hu": front.window_hu,
        "grey_levels": 256,
        "grey_rounding": "nearest, halves up",
        "normalisation": front.normalisation,
        **shift_and_scale(front.normalisation),
        "landmarks": how_landmarks_are_found() if front.normalisation == LANDMARKS else None,
        "within_lungs": front.within_lungs,
        "guided": front.guided,
        "channels": front.channels,
    }


def shift_and_scale(normalisation: str) -> dict[str, Any]:
    """What is subtracted from grey levels on the grid and what they are then divided by, as number or name."""
    if normalisation == "zscore":
        return {"subtract": "mean", "divide_by": "standard deviation", "deviation_plus": DEVIATION_PLUS}
    # Landmarks are each scan's own; these are for one that has none
    fixed = "window" if normalisation == LANDMARKS else normalisation
    shift, scale = NORMALISATIONS[fixed](np.empty(0, np.float32))
    return {"subtract": shift, "divide_by": scale, "deviation_plus": 0.0}


def how_landmarks_are_found() -> dict[str, float]:
    """Numbers of `pipeline.scans.landmarks`."""
    return {
        "enclosed_share": ENCLOSED_SHARE,
        "frequent": FREQUENT,
        "smoothing": SMOOTHING,
        "smallest_contrast": SMALLEST_CONTRAST,
    }


def through_network(model: Model, input_size: Sequence[int]) -> dict[str, Any]:
    """What the network gets of a prepared scan, and how its answers become one; as `pipeline.inferers` does it."""
    kind = kind_of(model)
    if kind == SLICES:
        overlap, at_once = 0.0, model.setting("slice_inferer").slices_at_once
    else:
        inferer = model.setting("tile_inferer" if kind == TILES else "window_inferer")
        overlap, at_once = inferer.overlap, inferer.sw_batch_size
    return {
        "inputs": kind,
        "input_size": list(input_size),
        "input_axes": [WINDOWS if kind == WINDOWS else SLICES, "channel", *AXES[: len(input_size)]],
        "overlap": overlap,
        # As MONAI's windows
        "steps": [max(1, int(side * (1 - overlap))) for side in input_size],
        "at_once": at_once,
        "padding": "mirrored" if kind == WINDOWS else "minimum",
        "padding_sides": "both as much; what is odd goes to the far one",
        "joining": "mean",
        "joining_of": "logits",
        "joining_weights": "constant",
        "softmax": "inside",
    }


def kind_of(model: Model) -> str:
    if model.setting("spatial_dims") == 3:
        return WINDOWS
    # Not in configurations of before there were tiles
    return TILES if model.parser.get("in_tiles", False) else SLICES


def smallest_part(model: Model) -> float:
    """Of what is found; 0 in configurations of before there was such a step."""
    share: float = model.parser.get_parsed_content("to_scanner::smallest_part", default=0.0)
    return share


def to_label(classes: LabelMap, infection_threshold: float, smallest: float) -> dict[str, Any]:
    """On the scan's own grid, from probabilities on the prepared one."""
    return {
        "infection_threshold": infection_threshold,
        "class_factors": threshold_factors(classes, infection_threshold),
        "smallest_part": smallest,
        "way_back_of": "probabilities times class_factors",
        "way_back_order": LINEAR,
        "way_back_edges": "nearest",
        "decision": "largest, of equal ones the first channel",
        "label_names": list(classes.classes),
        "label_values": list(range(len(classes.classes))),
        "project_codes": {name: list(codes) for name, codes in classes.classes.items()},
        "structures": {name: list(numbers) for name, numbers in classes.structures.items()},
    }
