"""The reference of goal 1: inference as stock MONAI parts do it, with the same network, weights and windows.

LoadImage, Orientation, Spacing, sliding_window_inference, Invert, AsDiscrete and SaveImage, as the Model Zoo's bundles
put them together.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from monai.inferers import sliding_window_inference
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    SaveImaged,
    ScaleIntensityRanged,
    Spacingd,
)

from benchmarks.own_inference import settings_of
from pipeline.inference.ensemble import network_of


def prepare(scan: str, run: str, output: str) -> Callable[[], dict[str, float]]:
    """What segments a scan with a trained fold's network, at the fold's spacing, window and patch size."""
    model = Path(run) / "model.pt"
    network = network_of(model).eval()
    wanted = settings_of(run)
    low, high = wanted["window_hu"]
    before = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="LPS", labels=None),
            ScaleIntensityRanged("image", low, high, 0, 255, clip=True),
            Spacingd("image", pixdim=wanted["spacing_mm"], mode="bilinear"),
            NormalizeIntensityd("image"),
        ]
    )
    after = Compose(
        [
            Activationsd("pred", softmax=True),
            Invertd("pred", before, orig_keys="image", nearest_interp=False, to_tensor=True),
            AsDiscreted("pred", argmax=True),
            SaveImaged(
                "pred",
                output_dir=output,
                output_postfix="",
                separate_folder=False,
                output_dtype="uint8",
                print_log=False,
            ),
        ]
    )

    def segment() -> dict[str, float]:
        item = before({"image": scan})
        with torch.inference_mode():
            item["pred"] = sliding_window_inference(
                item["image"][None], wanted["patch_size"], 1, network, overlap=wanted["overlap"]
            )[0]
        after(item)
        return {}

    return segment
