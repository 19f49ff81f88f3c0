"""Make the 8 bits of a trained network: calibrated on the training scans of its fold, and on nothing else.

pneumobundle calibrate runs/unet_3d/cv/fold0/model.pt
"""

from __future__ import annotations

import logging
import logging.config
import os
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError, last_line
from pipeline.core.progress_bar import working
from pipeline.core.quiet import quiet
from pipeline.inference.eight_bits import eight_bits_file, write_eight_bits
from pipeline.inference.ensemble import configuration_of
from pipeline.inference.features import Model, parsed
from pipeline.inference.fold_scans import CALIBRATION, Case, calibration_inputs, chosen_scans, present
from pipeline.inference.transposed_convolutions import as_convolutions
from pipeline.inferers.openvino_network import package

logger = logging.getLogger(__name__)
# Of a large data set as many, evenly spaced: each takes seconds to prepare
MOST_SCANS = 16


def calibrate(model_file: Path) -> Path:
    """Write the 8-bit file beside a fold's model, and give its path.

    Raises InputError where the scans that it was trained on are not to be had, OpenVINO cannot express the network, or
    the folder of the model cannot be written to.
    """
    check_folder(model_file)
    model = opened(model_file)
    cases = training_scans(model)
    inputs = list(calibration_inputs(model, cases, CALIBRATION[model.setting("spatial_dims")]))
    description, weights = quantised(model.network(), inputs, model.setting("name"))
    made_of = {
        "made_with": {name: version(name) for name in ("openvino", "nncf")},
        "inputs": len(inputs),
        # Hashes by name: nobody else needs to know where the scans lie
        "calibrated_on": {case["case"]: case["image_sha256"] for case in cases},
    }
    try:
        return write_eight_bits(model_file, description, weights, made_of)
    except OSError as error:
        raise InputError(_unwritable(model_file, error)) from error


def check_folder(model_file: Path) -> None:
    """InputError where nothing can be written beside a model, before minutes are spent on it."""
    if not os.access(model_file.parent, os.W_OK):
        raise InputError(_unwritable(model_file, None))


def _unwritable(model_file: Path, error: OSError | None) -> str:
    reason = (error.strerror or str(error)) if error else "read only"
    return (
        f"{model_file.parent}: cannot be written to ({reason}), and 8 bits are kept there, in "
        f"{eight_bits_file(model_file).name}; copy the run to where you may write, or use another MODE."
    )


def opened(model_file: Path) -> Model:
    """A fold's model on the CPU, as its own configuration says."""
    own = {"model_file": str(model_file), "device": "$torch.device('cpu')"}
    return Model(parsed({**read_json(configuration_of(model_file)), **own}), model_file)


def training_scans(model: Model) -> Sequence[Case]:
    """What a fold was trained on, of much some of it; InputError where it is not known, or not there any more."""
    try:
        every = chosen_scans(model, None).calibration
        chosen = [every[place * len(every) // MOST_SCANS] for place in range(MOST_SCANS)]
        return present(every if len(every) <= MOST_SCANS else chosen)
    except InputError as error:
        raise InputError(
            f"8 bits are calibrated on the scans that a model was trained on: {str(error).rstrip('.')}; or run "
            "MODE=int8 once where these scans are, and copy the model's folder from there, or use another MODE."
        ) from error


@working("calibrating 8 bits")
def quantised(network: torch.nn.Module, inputs: Sequence[np.ndarray], name: str) -> tuple[bytes, bytes]:
    """A network in 8 bits, as the content of OpenVINO's .xml and .bin files, for images of any number and size.

    Weights have a range a channel; activations the range that they have over `inputs`, float32 (1, C, H, W[, D]).
    """
    openvino, frontend, nncf = package("openvino"), package("openvino.frontend"), package("nncf")
    first = torch.from_numpy(inputs[0])
    any_size = openvino.PartialShape([-1, first.shape[1], *[-1] * (first.ndim - 2)])
    try:
        # It sets the level of the root logger, and leaves it so
        with quiet("root"), torch.inference_mode(), warnings.catch_warnings():
            # That what is traced depends on the size of its input: it does not, or a test says so
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            converted = openvino.convert_model(network.eval(), example_input=first, input=[any_size])
    except (RuntimeError, TypeError, ValueError, frontend.OpConversionFailure) as error:
        raise InputError(
            f"NETWORK {name}: OpenVINO cannot express it ({last_line(error)}), so there are no 8 bits of it; use "
            "another MODE."
        ) from error
    as_convolutions(converted)
    with quiet("nncf"), TemporaryDirectory() as folder:
        whole = nncf.quantize(converted, nncf.Dataset(list(inputs)), subset_size=len(inputs), **choices(nncf))
        file = Path(folder) / "network.xml"
        openvino.save_model(whole, file, compress_to_fp16=False)
        return file.read_bytes(), file.with_suffix(".bin").read_bytes()


def choices(nncf: Any) -> dict[str, Any]:
    """How numbers become 8 bits.

    Ranges of activations need not begin at 0, which costs no time and fits what batch norms leave. Weights use half
    their range: without VNNI instructions two products are added in 16 bits, which could overflow otherwise, so that
    labels would depend on the processor.
    """
    return {
        "preset": nncf.QuantizationPreset.MIXED,
        "target_device": nncf.TargetDevice.CPU,
        "advanced_parameters": nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
    }
