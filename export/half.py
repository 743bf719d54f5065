"""Half precision: the same graph, computed in float16 where that does no harm.

float16 has 11 significant bits and ends at 65504. Convolutions and matrix products stand it (devices add the products
up in float32), and so do the operators between them. These stay in float32: the pixels with their scaling at both ends,
and the statistics of normalisation, whose squares and sums would overflow.

The converter of ONNX Runtime (`onnxruntime.transformers.float16`) is not used: between two operators that it is told to
leave in float32 it still rounds to float16, which is just what overflows in a chain of square, mean and root.
"""

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx.shape_inference

from translate.errors import ModelError

FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16

PRODUCTS = {"Conv", "ConvTranspose", "MatMul"}
"""Operators that are computed in half precision wherever they are."""

BETWEEN = {
    "Add", "Clip", "Concat", "DepthToSpace", "Expand", "Identity", "LeakyRelu", "Mul", "PRelu", "Pad", "Relu",
    "Reshape", "Resize", "Sigmoid", "Slice", "SpaceToDepth", "Split", "Squeeze", "Sub", "Tanh", "Transpose",
    "Unsqueeze",
}  # fmt: skip
"""Operators that are computed in half precision if an input is, and a product follows."""

SUMS = {"ReduceMean", "ReduceSum"}
"""Squares that these add up are computed in float32."""


def to_half(model: onnx.ModelProto, *, emulated: bool = False) -> onnx.ModelProto:
    """A copy of a float32 graph that computes in half precision. Inputs and outputs stay the same; weights are float16
    and have `.half` after their names, as those that are only stored so.

    Args:
        model: all constants float32 (see `export.to_onnx.unpack_weights`), no inputs with defaults.
        emulated: make a float32 graph instead, which rounds every value that the other one holds as float16. A CPU has
            hardly any operators in float16: ONNX Runtime computes the other graph there in float32 and rounds little.
            This one returns what a GPU returns, also where values are too large for float16.

    Raises:
        ModelError: the graph has branches or loops.
    """
    model = onnx.shape_inference.infer_shapes(model)
    graph = model.graph
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        raise ModelError("a graph with branches or loops cannot be converted to fp16; omit --precision")
    converter = _Converter(graph, emulated)
    halves = _halves(graph)
    for number, node in enumerate(graph.node):
        converter.add(node, half=number in halves)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(converter.nodes)
    used = {name for node in graph.node for name in node.input}
    constants = [tensor for tensor in (*graph.initializer, *converter.constants.values()) if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    return model


def _halves(graph: onnx.GraphProto) -> set[int]:
    """Numbers of the nodes that are computed in half precision."""
    leading: set[str] = set()  # values that a product depends on
    for node in reversed(graph.node):
        if node.op_type in PRODUCTS or leading.intersection(node.output):
            leading.update(node.input)
    summed = {node.input[0] for node in graph.node if node.op_type in SUMS}
    found: set[int] = set()
    low: set[str] = set()
    for number, node in enumerate(graph.node):
        square = node.op_type == "Mul" and node.input[0] == node.input[1] and node.output[0] in summed
        smooth = node.op_type == "Resize" and _text(node, "mode") not in ("", "nearest")
        between = node.op_type in BETWEEN and not square and not smooth
        follows = leading.intersection(node.output) and low.intersection(node.input)
        if node.op_type in PRODUCTS or (between and follows):
            found.add(number)
            low.update(node.output)
    return found


def _text(node: onnx.NodeProto, name: str) -> str:
    return next((attribute.s.decode() for attribute in node.attribute if attribute.name == name), "")


class _Converter:
    """Copies nodes in order, with casts where a value is needed in the other type; each value is cast once."""

    def __init__(self, graph: onnx.GraphProto, emulated: bool) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        """The constants in half precision, by their name in the graph that is converted."""
        self._emulated = emulated
        self._given = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == FLOAT}
        values = (*graph.value_info, *graph.input)
        self._floats = {value.name for value in values if value.type.tensor_type.elem_type == FLOAT}
        self._results = {value.name for value in graph.output}
        self._low: set[str] = set()
        self._cast: dict[str, str] = {}

    def add(self, node: onnx.NodeProto, half: bool) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for place, name in enumerate(node.input):
            if name in self._floats or name in self._given or name in self._low:
                # Factors and regions of Resize are float32 in any case.
                copy.input[place] = self._as(name, half and not (node.op_type == "Resize" and place))
        self.nodes.append(copy)
        if not half:
            return
        for place, name in enumerate(node.output):
            if self._emulated:
                copy.output[place] = f"{name}.exact"
                self._round(copy.output[place], name)
            elif name in self._results:
                copy.output[place] = f"{name}.half"
                self._to(FLOAT, copy.output[place], name)
            else:
                self._low.add(name)

    def _as(self, name: str, half: bool) -> str:
        """The name of a value in the type that is needed."""
        if half == (name in self._low):
            return name
        if name in self._given:
            if name not in self.constants:
                with np.errstate(over="ignore"):  # infinite weights are noticed by what comes out
                    stored = onnx.numpy_helper.to_array(self._given[name]).astype(np.float16)
                if self._emulated:
                    stored = stored.astype(np.float32)
                self.constants[name] = onnx.numpy_helper.from_array(stored, f"{name}.half")
            return self.constants[name].name
        if name not in self._cast:
            self._cast[name] = f"{name}.{'half' if half else 'float'}"
            if half and self._emulated:
                self._round(name, self._cast[name])
            else:
                self._to(FLOAT16 if half else FLOAT, name, self._cast[name])
        return self._cast[name]

    def _round(self, name: str, result: str) -> None:
        self._to(FLOAT16, name, f"{result}.rounded")
        self._to(FLOAT, f"{result}.rounded", result)

    def _to(self, kind: int, name: str, result: str) -> None:
        self.nodes.append(onnx.helper.make_node("Cast", [name], [result], to=kind))
