"""Instance normalisation in the exported graph: as exact for a million pixels as for a few."""

import numpy as np
import onnx
import onnx.checker
import onnx.numpy_helper
import onnx.shape_inference
import onnxruntime
import pytest
from onnx import TensorProto, helper

from export.instance_norm import normalise_by_rows

EPSILON = 0.25


def graph(kind: str = "InstanceNormalization") -> onnx.ModelProto:
    """x (N, 2, H, W) -> y, and a second layer, with an epsilon that shows."""
    weights = {"weight": np.array([2.0, -0.5], np.float32), "bias": np.array([1.0, 0.25], np.float32)}
    nodes = [
        helper.make_node("InstanceNormalization", ["x", "weight", "bias"], ["once"], epsilon=EPSILON),
        helper.make_node("InstanceNormalization", ["once", "bias", "weight"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2, "H", "W"]) for name in "xy"]
    if kind == "Relu":
        nodes = [helper.make_node("Relu", ["x"], ["y"])]
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    made = helper.make_graph(nodes, "g", values[:1], values[1:], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def expected(x_NCHW: np.ndarray) -> np.ndarray:
    """The formula in float64."""
    y_NCHW = x_NCHW.astype(np.float64)
    for weight_C, bias_C, epsilon in (([2.0, -0.5], [1.0, 0.25], EPSILON), ([1.0, 0.25], [2.0, -0.5], 1e-5)):
        mean, variance = y_NCHW.mean((2, 3), keepdims=True), y_NCHW.var((2, 3), keepdims=True)
        y_NCHW = (y_NCHW - mean) / np.sqrt(variance + epsilon) * np.reshape(weight_C, (2, 1, 1))
        y_NCHW = y_NCHW + np.reshape(bias_C, (2, 1, 1))
    return y_NCHW


def run(model: onnx.ModelProto, x_NCHW: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x_NCHW})[0]


@pytest.mark.parametrize("shape", [(2, 2, 9, 7), (1, 2, 1, 5), (1, 2, 1000, 1000)])
def test_same_numbers(shape: tuple[int, ...]) -> None:
    model = graph()
    normalise_by_rows(model)
    onnx.checker.check_model(model, full_check=True)
    assert "InstanceNormalization" not in {node.op_type for node in model.graph.node}
    # A bright picture: long sums of values of one sign are what rounding hurts most.
    x_NCHW = (3 + np.random.default_rng(0).random(shape)).astype(np.float32)
    # The operator is off by 1.4e-5 at the largest size.
    np.testing.assert_allclose(run(model, x_NCHW), expected(x_NCHW), rtol=0, atol=4e-6)


def in_groups(group: bool) -> onnx.ModelProto:
    """x (N, 6, H, W) -> y, normalised in two groups of channels, as torch.onnx.export writes it; or (N, 6, L)."""
    weights = {"weight": np.array([2.0, -0.5], np.float32), "bias": np.array([1.0, 0.25], np.float32)}
    nodes = [
        helper.make_node("Reshape", ["x", "planes"], ["grouped"], allowzero=0),
        helper.make_node("InstanceNormalization", ["grouped", "weight", "bias"], ["normed"], epsilon=EPSILON),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Reshape", ["normed", "shape"], ["y"], allowzero=0),
    ]
    axes = ["N", 6, "H", "W"] if group else ["N", 6, "L"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name in "xy"]
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    constants.append(onnx.numpy_helper.from_array(np.array([0, 2, -1]), "planes"))
    made = helper.make_graph(nodes, "g", values[:1], values[1:], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)  # as it is known after an export


@pytest.mark.parametrize("shape", [(2, 6, 9, 7), (1, 6, 1, 5), (1, 6, 300, 500), (2, 6, 50)])
def test_normalisation_of_groups(shape: tuple[int, ...]) -> None:
    model = in_groups(group=len(shape) == 4)
    normalise_by_rows(model)
    onnx.checker.check_model(model, full_check=True)
    # What has no rows is left to the operator.
    assert ("InstanceNormalization" in {node.op_type for node in model.graph.node}) == (len(shape) == 3)
    x = (3 + np.random.default_rng(0).random(shape)).astype(np.float32)
    grouped_NGL = x.astype(np.float64).reshape(shape[0], 2, -1)
    mean_NG1, variance_NG1 = grouped_NGL.mean(2, keepdims=True), grouped_NGL.var(2, keepdims=True)
    normed_NGL = (grouped_NGL - mean_NG1) / np.sqrt(variance_NG1 + EPSILON)
    exact_NGL = normed_NGL * np.array([[2.0], [-0.5]]) + np.array([[1.0], [0.25]])
    np.testing.assert_allclose(run(model, x), exact_NGL.reshape(shape), rtol=0, atol=3e-5)


def test_graphs_without_it_stay_as_they_are() -> None:
    model = graph("Relu")
    before = model.SerializeToString()
    normalise_by_rows(model)
    assert model.SerializeToString() == before
