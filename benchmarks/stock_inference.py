"""The reference of goal 1: inference as stock MONAI parts do it, with the same network, weights and windows.

LoadImage, Orientation, Spacing, sliding_window_inference, Invert, AsDiscrete and SaveImage, as the Model Zoo's bundles
put them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

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
from pipeline.inferers.openvino_network import OpenVinoNetwork, package


def prepare(scan: str, run: str, output: str, by_openvino: bool = False) -> Callable[[], dict[str, float]]:
    """What segments a scan with a trained fold's network, at the fold's spacing, window and patch size.

    `by_openvino` computes the network, in float32, as somebody does who has exported it; that is not measured.
    """
    wanted = settings_of(run)
    network = network_of(Path(run) / "model.pt").eval()
    network = in_openvino(network, wanted["patch_size"]) if by_openvino else network
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


def in_openvino(network: torch.nn.Module, patch_size: Sequence[int]) -> torch.nn.Module:
    """The network in OpenVINO's form, of one channel."""
    openvino = package("openvino")
    size = [1, 1, *patch_size]
    with TemporaryDirectory() as folder, torch.inference_mode():
        file = Path(folder) / "network.xml"
        converted = openvino.convert_model(network, example_input=torch.zeros(1, 1, 32, 32, 32), input=[size])
        openvino.save_model(converted, file, compress_to_fp16=False)
        made = OpenVinoNetwork(file.read_bytes(), file.with_suffix(".bin").read_bytes())
    made.request(tuple(size))
    return made
