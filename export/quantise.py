"""int8: convolutions in whole numbers, by the static quantisation of ONNX Runtime.

Nodes QuantizeLinear and DequantizeLinear (QDQ) surround each convolution; runtimes replace the group by one operator in
8 bits. Weights have a scale for every output channel, activations one each, from the smallest and largest value that
occurs in pictures to calibrate on.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
from numpy.typing import NDArray
from onnxruntime import quantization  # pyright: ignore[reportMissingTypeStubs]

from export.quiet import quiet
from translate.errors import ModelError

QUANTISED = ("Conv", "ConvTranspose")
"""The rest is cheap, or suffers: sums of a residual network lose 3 dB and gain no time."""

THIN = 4
"""Convolutions with at most this many channels of output write the picture, where errors are seen directly, and stay in
float32; so do those that see one channel each (blurs). The first one must not: ONNX Runtime would lay out the values
after it for float32, and a network of convolutions alone would take twice the time."""

_quantization: Any = quantization  # it ships no type hints


def to_int8(model: onnx.ModelProto, inputs: Sequence[Mapping[str, NDArray[Any]]]) -> onnx.ModelProto:
    """A copy of a float32 graph with its convolutions in 8 bits; inputs and outputs stay the same.

    Activations are uint8 and weights int8 of 7 bits: CPUs without VNNI multiply these fast, and without the overflow
    that 8 bits would have there, so that a file returns the same everywhere.

    Args:
        model: all constants float32 (see `export.to_onnx.unpack_weights`), no inputs with defaults.
        inputs: all inputs of the graph by name, for every run to calibrate on.

    Raises:
        ModelError: the graph has no convolution that can be quantised.
    """
    model = _named(model)
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    chosen = [
        node.name
        for node in model.graph.node
        if node.op_type in QUANTISED and _worthwhile(node, shapes.get(node.input[1], [0, 0]))
    ]
    if not chosen:
        raise ModelError("the network has no convolution that is worth quantising; use --precision fp16 or omit it")
    with tempfile.TemporaryDirectory() as folder, quiet():  # it logs advice
        _quantization.quantize_static(
            model,
            str(Path(folder) / "int8.onnx"),
            _reader(inputs),
            quant_format=_quantization.QuantFormat.QDQ,
            nodes_to_quantize=chosen,
            per_channel=True,
            reduce_range=True,
            activation_type=_quantization.QuantType.QUInt8,
            weight_type=_quantization.QuantType.QInt8,
            calibrate_method=_quantization.CalibrationMethod.MinMax,
        )
        made = onnx.load(Path(folder) / "int8.onnx")
    for tensor in made.graph.initializer:  # as raw bytes, over which the digest is
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    domains = {node.domain for node in made.graph.node}
    opsets = [opset for opset in made.opset_import if opset.domain in domains]
    del made.opset_import[:], made.graph.value_info[:]
    made.opset_import.extend(opsets)
    return made


def _worthwhile(node: onnx.NodeProto, shape: Sequence[int]) -> bool:
    """Whether a convolution with weights of this shape is quantised, see `THIN`."""
    made, seen = shape[:2] if node.op_type == "Conv" else (shape[1], shape[0])
    return made > THIN and seen > 1


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every node has a name of its own."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for number, node in enumerate(copy.graph.node):
        node.name = f"node_{number}"
    return copy


def _reader(inputs: Sequence[Mapping[str, NDArray[Any]]]) -> Any:
    class Reader(_quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(inputs)

        def get_next(self) -> Mapping[str, NDArray[np.generic]] | None:
            return next(self._left, None)

    return Reader()
