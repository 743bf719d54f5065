"""Graphs in half precision and in 8 bits: what is computed in which type, and what cannot be converted."""

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx.shape_inference
import onnxruntime
import pytest

from export.half import FLOAT, FLOAT16, to_half
from export.instance_norm import normalise_by_rows
from export.quantise import to_int8
from translate.errors import ModelError


def too_large() -> onnx.ModelProto:
    """Returns the picture; in between, values are 2,000 times as large."""
    make = onnx.helper.make_node
    many, few = np.zeros((8, 3, 1, 1), np.float32), np.zeros((3, 8, 1, 1), np.float32)
    for channel in range(3):
        many[channel, channel], few[channel, channel] = 2e3, 0.5e-3
    nodes = [
        make("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        make("Cast", ["planes"], ["floats"], to=FLOAT),
        make("Conv", ["floats", "many"], ["large"]),
        make("Conv", ["large", "few"], ["small"]),
        make("Clip", ["small", "least", "most"], ["clipped"]),
        make("Round", ["clipped"], ["rounded"]),
        make("Cast", ["rounded"], ["levels"], to=onnx.TensorProto.UINT8),
        make("Transpose", ["levels"], ["translated"], perm=[0, 2, 3, 1]),
    ]
    constants = {"many": many, "few": few, "least": np.float32(0), "most": np.float32(255)}
    graph = onnx.helper.make_graph(
        nodes,
        "too large",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["N", "H", "W", 3])],
        [onnx.helper.make_tensor_value_info("translated", onnx.TensorProto.UINT8, ["N", "H", "W", 3])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)


def test_statistics_stay_in_float32() -> None:
    """Of values around 400, the squares are larger than float16 can be."""
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    shape = ["N", 8, "H", "W"]
    eye = np.eye(8, dtype=np.float32)[:, :, None, None]
    graph = onnx.helper.make_graph(
        [
            make("Conv", ["x", "eye"], ["a"]),
            make("InstanceNormalization", ["a", "ones", "zeros"], ["b"]),
            make("Conv", ["b", "eye"], ["y"]),
        ],
        "normalised",
        [value("x", FLOAT, shape)],
        [value("y", FLOAT, shape)],
        [
            onnx.numpy_helper.from_array(one, name)
            for name, one in (("eye", eye), ("ones", np.ones(8, np.float32)), ("zeros", np.zeros(8, np.float32)))
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    normalise_by_rows(model)
    x_NCHW = np.random.default_rng(0).normal(0, 400, (1, 8, 9, 7)).astype(np.float32)
    expected, *found = (
        onnxruntime.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, {"x": x_NCHW}
        )
        for one in (model, to_half(model), to_half(model, emulated=True))
    )
    assert np.abs(expected[0]).max() > 2
    for result in found:
        assert result[0].dtype == np.float32
        assert np.abs(result[0] - expected[0]).max() < 0.01
    half = onnx.shape_inference.infer_shapes(to_half(model), strict_mode=True)
    kinds = {one.name: one.type.tensor_type.elem_type for one in half.graph.value_info}
    assert {kinds[node.output[0]] for node in half.graph.node if node.op_type in ("ReduceMean", "Sqrt")} == {FLOAT}
    assert kinds["a"] == kinds["b"] == FLOAT16


def test_transposed_convolutions_are_quantised_by_channel() -> None:
    """Weights are (in, out, H, W) there; the channels of this one differ by a factor of 1,000."""
    random = np.random.default_rng(0)
    weights = random.normal(0, 1, (6, 8, 2, 2)).astype(np.float32)
    weights *= np.logspace(0, -3, 8, dtype=np.float32)[:, None, None]
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [make("ConvTranspose", ["image", "weights"], ["large"], strides=[2, 2]), make("Mul", ["large", "even"], ["y"])],
        "transposed",
        [value("image", FLOAT, ["N", 6, "H", "W"])],
        [value("y", FLOAT, ["N", 8, "H2", "W2"])],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(np.logspace(0, 3, 8, dtype=np.float32)[:, None, None], "even"),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    pictures = [{"image": random.normal(0, 1, (1, 6, 9, 7)).astype(np.float32)} for _ in range(3)]
    made = to_int8(model, pictures)
    assert [opset.domain for opset in made.opset_import] == [""]
    (scales,) = [
        tensor for tensor in made.graph.initializer if tensor.name.startswith("weights") and "scale" in tensor.name
    ]
    assert list(scales.dims) == [8]
    assert np.ptp(np.log10(onnx.numpy_helper.to_array(scales))) > 2


def test_graphs_that_cannot_be_converted() -> None:
    value = onnx.helper.make_tensor_value_info("y", FLOAT, [None])
    branch = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "branch", [], [value])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("If", ["yes"], ["z"], then_branch=branch, else_branch=branch)],
        "whole",
        [
            onnx.helper.make_tensor_value_info("yes", onnx.TensorProto.BOOL, []),
            onnx.helper.make_tensor_value_info("x", FLOAT, [None]),
        ],
        [onnx.helper.make_tensor_value_info("z", FLOAT, [None])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(ModelError, match="branches or loops cannot be converted to fp16"):
        to_half(model)
    with pytest.raises(ModelError, match="no convolution that is worth quantising"):
        to_int8(model, [])
