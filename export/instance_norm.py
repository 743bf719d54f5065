"""Instance normalisation that stays right for large pictures."""

from collections.abc import Iterator

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

_WIDTH, _HEIGHT, _PLANE = "axis_of_width", "axis_of_height", "axes_of_plane"


def normalise_by_rows(model: onnx.ModelProto) -> None:
    """Replace every InstanceNormalization by means of the rows of each plane, and the mean of these, in place.

    ONNX Runtime adds a plane up in float32 in a few long sums. At 1000 x 1000 pixels and 23 such layers, the rounding
    has grown to 16 of 255 levels compared with float64, with which PyTorch agrees. The mean of the means of the rows is
    the same number, and no sum is longer than a side. It takes no more time.

    Group normalisation is an InstanceNormalization of planes (N, groups, length) between two Reshape: these get their
    rows back. Other values without rows are left to the operator.

    Args:
        model: opset 18.
    """
    graph = model.graph
    _give_rows(graph)
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, np.ndarray] = {}
    ranks = _ranks(graph)
    for node in graph.node:
        if node.op_type != "InstanceNormalization" or ranks.get(node.input[0], 4) != 4:
            nodes.append(node)
            continue
        nodes += _normalisation(node)
        epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
        constants[f"{node.output[0]}_epsilon"] = np.array(epsilon, np.float32)
    if constants:
        axes = {_WIDTH: [3], _HEIGHT: [2], _PLANE: [1, 2]}
        constants |= {name: np.array(numbers, np.int64) for name, numbers in axes.items()}
        graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
        del graph.node[:]
        graph.node.extend(nodes)


def _ranks(graph: onnx.GraphProto) -> dict[str, int]:
    """Number of axes of each value, as far as it is known."""
    return {one.name: len(one.type.tensor_type.shape.dim) for one in (*graph.input, *graph.value_info)}


def _give_rows(graph: onnx.GraphProto) -> None:
    """Reshape what is normalised in groups to (N, groups, rows, W) instead of (N, groups, length), in place."""
    ranks = _ranks(graph)
    grouped = {node.input[0] for node in graph.node if node.op_type == "InstanceNormalization"}
    nodes: list[onnx.NodeProto] = []
    changed: set[str] = set()
    for node in graph.node:
        if node.op_type == "Reshape" and node.output[0] in grouped and ranks.get(node.output[0]) == 3:
            source, shape = node.input
            if ranks.get(source) == 4:
                width, with_width = f"{node.output[0]}_width", f"{node.output[0]}_shape"
                nodes.append(onnx.helper.make_node("Shape", [source], [width], start=3, end=4))
                nodes.append(onnx.helper.make_node("Concat", [shape, width], [with_width], axis=0))
                node.input[1] = with_width
                changed.add(node.output[0])
        if node.op_type == "InstanceNormalization" and node.input[0] in changed:
            changed.add(node.output[0])
        nodes.append(node)
    if changed:
        left = [one for one in graph.value_info if one.name not in changed]
        del graph.node[:], graph.value_info[:]
        graph.node.extend(nodes)
        graph.value_info.extend(left)


def _normalisation(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias; weight and bias (C,) get the shape (C, 1, 1)."""
    make = onnx.helper.make_node
    (source, weight, bias), (result,) = node.input, node.output

    def name(part: str) -> str:
        return f"{result}_{part}"

    def mean(of: str, made: str) -> Iterator[onnx.NodeProto]:
        yield make("ReduceMean", [of, _WIDTH], [f"{made}_of_rows"], keepdims=1)
        yield make("ReduceMean", [f"{made}_of_rows", _HEIGHT], [made], keepdims=1)

    yield from mean(source, name("mean"))
    yield make("Sub", [source, name("mean")], [name("centred")])
    yield make("Mul", [name("centred"), name("centred")], [name("squares")])
    yield from mean(name("squares"), name("variance"))
    yield make("Add", [name("variance"), name("epsilon")], [name("raised")])
    yield make("Sqrt", [name("raised")], [name("deviation")])
    yield make("Unsqueeze", [weight, _PLANE], [name("weight")])
    yield make("Unsqueeze", [bias, _PLANE], [name("bias")])
    # One factor for each plane, so that the pictures are passed through once less.
    yield make("Div", [name("weight"), name("deviation")], [name("factor")])
    yield make("Mul", [name("centred"), name("factor")], [name("scaled")])
    yield make("Add", [name("scaled"), name("bias")], [result])
