"""Support for 16 bits per channel in a graph whose pixels are uint8, without a second file.

The remainder that 8 bits cannot hold is passed separately: a 16-bit level is 257 * 8-bit level + remainder, for input
and output. Callers that do not use it omit the input and get the same 8 bits as before.
"""

from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from translate.spec import IMAGE_REST, RESULT_REST

_STEPS = 257.0
"""16-bit levels per 8-bit level: 65535 / 255."""


def carry_sixteen_bits(model: onnx.ModelProto) -> None:
    """Add the optional input `image_rest` and the output `translated_rest`, in place.

    Both are int16 in -128..128, with the shapes of `image` (N, H, W, C) and `translated`; the input may also have the
    shape (1, 1, 1, 1) of its default, zero.

    Args:
        model: built by `build_graph`, with 8 bits in and out.

    Raises:
        AssertionError: the graph has another structure.
    """
    graph = model.graph
    image, result = graph.input[0], graph.output[0]
    arrived = _only(graph, "Cast", _only(graph, "Transpose", image.name).output[0])
    stored = next(node for node in graph.node if result.name in node.output)
    levels = next(node for node in graph.node if stored.input[0] in node.output)
    rounded = next(node for node in graph.node if levels.input[0] in node.output)
    assert (stored.op_type, levels.op_type, rounded.op_type) == ("Transpose", "Cast", "Round")

    make = onnx.helper.make_node
    exact = f"{arrived.output[0]}_8"
    after = [
        make("Transpose", [IMAGE_REST], ["rest_NCHW"], perm=[0, 3, 1, 2]),
        make("Cast", ["rest_NCHW"], ["rest_float"], to=onnx.TensorProto.FLOAT),
        make("Div", ["rest_float", "rest_steps"], ["rest_share"]),
        make("Add", [exact, "rest_share"], [arrived.output[0]]),
    ]
    arrived.output[0] = exact
    last = [
        make("Sub", [rounded.input[0], rounded.output[0]], ["result_rest_share"]),
        make("Mul", ["result_rest_share", "rest_steps"], ["result_rest_levels"]),
        make("Round", ["result_rest_levels"], ["result_rest_rounded"]),
        make("Cast", ["result_rest_rounded"], ["result_rest_NCHW"], to=onnx.TensorProto.INT16),
        make("Transpose", ["result_rest_NCHW"], [RESULT_REST], perm=[0, 2, 3, 1]),
    ]
    place = list(graph.node).index(arrived) + 1
    nodes = [*graph.node][:place] + after + [*graph.node][place:] + last
    del graph.node[:]
    graph.node.extend(nodes)
    free = [f"rest_{axis}" for axis in "NHWC"]
    graph.input.append(onnx.helper.make_tensor_value_info(IMAGE_REST, onnx.TensorProto.INT16, free))
    graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((1, 1, 1, 1), np.int16), IMAGE_REST))
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(_STEPS, np.float32), "rest_steps"))
    shape = [axis.dim_param or axis.dim_value for axis in result.type.tensor_type.shape.dim]
    graph.output.append(onnx.helper.make_tensor_value_info(RESULT_REST, onnx.TensorProto.INT16, shape))


def drop_sixteen_bits(model: onnx.ModelProto) -> None:
    """Undo `carry_sixteen_bits`, in place; a graph without it stays as it is. The default of the input may be gone."""
    graph = model.graph
    if all(one.name != IMAGE_REST for one in graph.input):
        return
    (add,) = [node for node in graph.node if node.op_type == "Add" and node.input[1] == "rest_share"]
    arrived = next(node for node in graph.node if node.output[0] == add.input[0])
    arrived.output[0] = add.output[0]
    made = {"rest_NCHW", "rest_float", "rest_share", RESULT_REST}
    made |= {f"result_rest_{name}" for name in ("share", "levels", "rounded", "NCHW")}
    nodes = [node for node in graph.node if node is not add and node.output[0] not in made]
    gone = {IMAGE_REST, RESULT_REST, "rest_steps"}
    parts: Any
    for parts in (graph.input, graph.output, graph.initializer):
        kept = [one for one in parts if one.name not in gone]
        del parts[:]
        parts.extend(kept)
    del graph.node[:]
    graph.node.extend(nodes)


def _only(graph: onnx.GraphProto, kind: str, source: str) -> onnx.NodeProto:
    """The only node of this type that reads a value."""
    (found,) = [node for node in graph.node if node.op_type == kind and source in node.input]
    return found
