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
    """Weights (in, out, k, ...) become (k * ... * out, in, 1, ...), of which the places in a block change last."""
    opset = package("openvino.opset13")
    weights = node.input_value(1).get_node().get_data()
    inwards, _, *kernel = weights.shape
    ones, none = [1] * len(kernel), [0] * len(kernel)
    places = [weights[(slice(None), slice(None), *place)].T for place in product(*map(range, kernel))]
    filters = np.concatenate(places).reshape(-1, inwards, *ones)
    made, last = opset.convolution(node.input_value(0), opset.constant(filters), ones, none, none, ones), node
    if (bias := _bias(node)) is not None:
        last, numbers = bias
        made = opset.add(made, opset.constant(np.tile(numbers.ravel(), len(places)).reshape(1, -1, *ones)))
    made = opset.depth_to_space(made, "blocks_first", kernel[0])
    made.set_friendly_name(last.get_friendly_name())
    last.output(0).replace(made.output(0))


def _bias(node: Any) -> tuple[Any, np.ndarray] | None:
    """The addition of a number a channel where that is all that follows, and the numbers."""
    addition, *others = [target.get_node() for target in node.output(0).get_target_inputs()]
    if others or addition.get_type_name() != ADD:
        return None
    constants = [value.get_node() for value in addition.input_values() if value.get_node().get_type_name() == CONSTANT]
    shape = node.output(0).get_partial_shape()
    channels, ones = shape[1].get_length(), [1] * (len(shape) - 2)
    if len(constants) != 1 or list(constants[0].get_output_shape(0)) != [1, channels, *ones]:
        return None
    return addition, constants[0].get_data()
