"""A network in the formats that small devices run: ONNX, ONNX in 8 bits, TorchScript."""

from __future__ import annotations

import importlib
import json
import logging
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.core.errors import InputError
from pipeline.small_devices.deployed import INPUT, OUTPUT, many

ONNX, ONNX_INT8, TORCHSCRIPT = "onnx", "onnx-int8", "torchscript"
FILE_NAMES = {ONNX: "{}.onnx", ONNX_INT8: "{}_int8.onnx", TORCHSCRIPT: "{}.ts"}
# The oldest that torch's exporter writes, and the file version that came with it: ONNX Runtime 1.14 of 2023 reads both
OPSET, FILE_VERSION = 18, 8
TORCHSCRIPT_METADATA = "metadata.json"
# Computed in float also in 8 bits: the last step, cheap, and what is compared
IN_FLOAT = ("Softmax",)
# How torch's exporter names an operation that it has no translation of, or that it stumbled over
_OPERATIONS = (r"OpOverload\(op='([\w.]+)'", r"While executing .*?target=torch\.ops\.([\w.]+)")


def package(name: str) -> ModuleType:
    """A package of the extra `export`; InputError that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"FORMAT: ONNX needs the package {name.partition('.')[0]}, which cannot be loaded here ({error}); install "
            "it with: pip install '.[export]'"
        ) from error


def write_onnx(
    module: nn.Module, name: str, size: Sequence[int], told: Mapping[str, str], file: Path, channels: int = 1
) -> None:
    """A module of one image (B, C, H, W[, D]) to ONNX, any number of images at once; `told` becomes metadata_props.

    Raises InputError that names the operation where there is one that ONNX does not have.
    """
    package("onnxscript")
    # Two: torch takes a size of one for a constant
    example = torch.zeros(2, channels, *size)
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={INPUT: {0: torch.export.Dim(many(size), min=1)}},
            )
    except torch.onnx.OnnxExporterError as error:
        raise InputError(_cannot(name, error)) from error
    _save(program.model_proto, told, file)


def write_int8(source: Path, inputs: Iterable[np.ndarray], told: Mapping[str, str], file: Path) -> None:
    """An ONNX file in 8 bits: weights per output channel, activations by their range over `inputs`, (1, 1, H, W[, D]).

    Static quantisation with QuantizeLinear and DequantizeLinear pairs (QDQ); the softmax stays in float.
    """
    onnx, quantization = package("onnx"), package("onnxruntime.quantization")
    prepare = package("onnxruntime.quantization.shape_inference").quant_pre_process
    folded = file.with_name(f"folded_{source.name}")
    with _quiet():
        # Batch norms go into the convolutions before them
        prepare(str(source), str(folded), skip_symbolic_shape=True)
        softmax = [node.name for node in onnx.load(folded).graph.node if node.op_type in IN_FLOAT]
        quantization.quantize_static(
            str(folded),
            str(file),
            calibration_reader(quantization, inputs),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=softmax,
        )
    folded.unlink()
    _save(onnx.load(file), {**told, "quantisation": "static, 8 bits, QDQ, per channel"}, file)


def calibration_reader(quantization: ModuleType, inputs: Iterable[np.ndarray]) -> Any:
    """What ONNX Runtime asks for one input after another."""

    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.inputs: Iterator[np.ndarray] = iter(inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            following = next(self.inputs, None)
            return None if following is None else {INPUT: following}

    return Reader()


def write_torchscript(module: nn.Module, told: Mapping[str, str], file: Path) -> None:
    """A scripted module; `told` becomes the extra file `metadata.json`."""
    whole = file.with_name(f"whole_{file.name}")
    with _quiet():
        scripted = torch.jit.script(module)
        torch.jit.save(scripted, str(whole), _extra_files={TORCHSCRIPT_METADATA: json.dumps(dict(told), indent=1)})
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(file, "w") as target:
        for entry in source.infolist():
            # Which line of which of this machine's files an operation comes from; torch loads without
            if not entry.filename.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    whole.unlink()


def _save(model: Any, told: Mapping[str, str], file: Path) -> None:
    """Write a checked model that says `told` and nothing else about itself."""
    onnx = package("onnx")
    _forget_sources(model)
    model.ir_version = FILE_VERSION
    onnx.helper.set_model_props(model, dict(told))
    onnx.checker.check_model(model)
    onnx.save(model, file)


def _forget_sources(model: Any) -> None:
    """Take out where in this machine's files each operation comes from."""
    graph = model.graph
    model.ClearField("metadata_props")
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer, graph):
        part.ClearField("metadata_props")
    for function in model.functions:
        for part in (*function.node, *function.value_info, function):
            part.ClearField("metadata_props")


def _cannot(name: str, error: BaseException) -> str:
    named = operation_in(error)
    which = f"its operation {named}" if named else f"a part of it ({_first_line(error)})"
    return (
        f"NETWORK {name} cannot be exported: {which} has no form in ONNX; use FORMAT=torchscript, or another network."
    )


def operation_in(error: BaseException) -> str | None:
    """The operation that an exporter's error, or one of its causes, names."""
    for told in _chain(error):
        for pattern in _OPERATIONS:
            if found := re.search(pattern, str(told), re.DOTALL):
                return found[1]
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, its cause, that one's cause and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def _first_line(error: BaseException) -> str:
    """Of the error that all began with."""
    *_, first = _chain(error)
    return str(first).strip().partition("\n")[0].rstrip(".") or type(first).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks: on their own deprecations, on missing pre-processing, on what they fold."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
