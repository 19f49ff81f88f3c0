"""Transposed convolutions in another form for OpenVINO: as convolutions whose channels are then laid out in space.

Where the kernel is the stride nothing overlaps, so that each voxel becomes a block of voxels, a channel of a 1x1x1
convolution each. OpenVINO computes a convolution to 8 bits, but a transposed one to float32, four times the memory of
what is the largest tensor of a U-Net.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from pipeline.inferers.openvino_network import package

TRANSPOSED, ADD, CONSTANT = "ConvolutionBackpropData", "Add", "Constant"


def as_convolutions(model: Any) -> int:
    """Rewrite an OpenVINO model in place: all transposed convolutions that allow it; how many."""
    rewritten = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() == TRANSPOSED and is_without_overlap(node):
            _rewrite(node)
            rewritten += 1
    model.validate_nodes_and_infer_types()
    return rewritten


def is_without_overlap(node: Any) -> bool:
    """Whether its kernel is its stride, the same along all axes, of known weights, and nothing is cut off or padded."""
    attributes = node.get_attributes()
    weights = node.input_value(1)
    if weights.get_node().get_type_name() != CONSTANT or len(node.inputs()) > 2:
        return False
    kernel, strides = list(weights.get_shape())[2:], list(attributes["strides"])
    cut = [*attributes["pads_begin"], *attributes["pads_end"], *attributes["output_padding"]]
    return kernel == strides and len({*kernel}) == 1 and not any(cut)


def _rewrite(node: Any) -> None:
    """Weights (in, out, k, ...) become (k * ... * out, in, 1, ...): the places of a block first, as blocks are told."""
    openvino = package("openvino")
    opset = package("openvino.opset13")
    weights = node.input_value(1).get_node().get_data()
    inwards, outwards, *kernel = weights.shape
    axes = len(kernel)
    places = [weights[(slice(None), slice(None), *place)].T for place in product(*map(range, kernel))]
    filters = np.concatenate(places).reshape(-1, inwards, *[1] * axes)
    ones, none = [1] * axes, [0] * axes
    made = opset.convolution(node.input_value(0), opset.constant(filters), ones, none, none, ones)
    last = node
    bias = _bias(node)
    if bias is not None:
        last, values = bias
        shape = (1, -1, *[1] * axes)
        made = opset.add(made, opset.constant(np.tile(values.ravel(), len(places)).reshape(shape)))
    made = opset.depth_to_space(made, "blocks_first", kernel[0])
    made.set_friendly_name(last.get_friendly_name())
    openvino.utils.replace_node(last, made) if hasattr(openvino.utils, "replace_node") else None
    assert outwards


def _bias(node: Any) -> tuple[Any, np.ndarray] | None:
    """The addition of a number a channel that is all that follows, and the numbers."""
    targets = [target.get_node() for target in node.output(0).get_target_inputs()]
    if len(targets) != 1 or targets[0].get_type_name() != ADD:
        return None
    (addition,) = targets
    others = [value.get_node() for value in addition.input_values() if value.get_node() != node]
    if len(others) != 1 or others[0].get_type_name() != CONSTANT:
        return None
    values = others[0].get_data()
    channels = node.output(0).get_partial_shape()[1].get_length()
    return (addition, values) if values.size == channels == max(values.shape[1:2], default=0) else None
