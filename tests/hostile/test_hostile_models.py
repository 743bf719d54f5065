"""Model files that are made to harm are refused before anything in them is run.

What every command says of a file that is no model: `tests/cli/test_bad_models.py`. Here it is where else in a file the
same can hide, and how large it can be.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from bad_models import RECORDED, whole
from conftest import INVERT, save_model
from onnx import AttributeProto, SparseTensorProto, TensorProto, helper

from translate.errors import ModelError
from translate.inference import graph_file
from translate.inference.engine import Engine
from translate.inference.graph_file import encoded, read_graph
from translate.inference.model_file import OPERATORS, check_model
from translate.inference.models import resolve, shipped
from translate.spec import METADATA_KEY

Change = Callable[[onnx.ModelProto], None]


def changed(path: Path, change: Change) -> Path:
    """A good model with one change."""
    made = onnx.load(whole(path))
    change(made)
    path.write_bytes(made.SerializeToString())
    return path


def elsewhere() -> TensorProto:
    """A tensor whose values are in another file."""
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    return tensor


def branch(*nodes: onnx.NodeProto, initializer: tuple[TensorProto, ...] = ()) -> onnx.GraphProto:
    outputs = [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1])]
    return helper.make_graph([*nodes], "branch", [], outputs, [*initializer])


def constant(tensor: TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["inner"], value=tensor)


def in_an_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(elsewhere())


def in_a_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(constant(elsewhere()))


def in_a_list_of_tensors(model: onnx.ModelProto) -> None:
    attribute = AttributeProto(name="values", type=AttributeProto.TENSORS)
    attribute.tensors.append(elsewhere())
    model.graph.node[0].attribute.append(attribute)


def in_a_branch(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch(initializer=(elsewhere(),))))


def in_a_branch_of_a_branch(model: onnx.ModelProto) -> None:
    inner = helper.make_node("If", ["x"], ["inner"], else_branch=branch(constant(elsewhere())))
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch(inner)))


def in_a_sparse_initializer(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.append(SparseTensorProto(values=elsewhere(), dims=[1 << 40]))


def in_the_indices_of_a_sparse_one(model: onnx.ModelProto) -> None:
    attribute = AttributeProto(name="sparse_value", type=AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.CopyFrom(SparseTensorProto(indices=elsewhere(), dims=[1]))
    model.graph.node.append(onnx.NodeProto(op_type="Constant", output=["z"], attribute=[attribute]))


def in_a_function(model: onnx.ModelProto) -> None:
    function = helper.make_function("mine", "F", [], ["inner"], [constant(elsewhere())], model.opset_import)
    model.functions.append(function)


@pytest.mark.parametrize(
    "change",
    [
        in_an_initializer,
        in_a_constant,
        in_a_list_of_tensors,
        in_a_branch,
        in_a_branch_of_a_branch,
        in_a_sparse_initializer,
        in_the_indices_of_a_sparse_one,
        in_a_function,
    ],
)
def test_values_in_another_file(change: Change, tmp_path: Path) -> None:
    path = changed(tmp_path / "a.onnx", change)
    for opened in (check_model, Engine):
        with pytest.raises(ModelError, match="some of its weights are in another file, expected one file"):
            opened(path)


def merged(path: Path) -> Path:
    """Two graphs, which a reader of protocol buffers makes one of: the first has what the second hides."""
    hidden = changed(path, in_an_initializer).read_bytes()
    second = encoded((7, b""))
    path.write_bytes(hidden + second)
    return path


def test_two_graphs_are_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="truncated, or not an ONNX file"):
        check_model(merged(tmp_path / "a.onnx"))


def custom(where: str) -> Change:
    """An operator of another domain, somewhere."""

    def change(model: onnx.ModelProto) -> None:
        node = helper.make_node("Run", ["image"], ["inner"], domain=where.partition(" ")[0])
        if "branch" in where:
            node = helper.make_node("If", ["x"], ["y"], then_branch=branch(node))
        if "function" in where:
            function = helper.make_function("mine", "F", ["image"], ["inner"], [node], model.opset_import)
            model.functions.append(function)
            node = helper.make_node("F", ["image"], ["inner"], domain="mine")
        model.graph.node.append(node)

    return change


@pytest.mark.parametrize(
    "where",
    ["com.example", "com.example in a branch", "com.example in a function", "com.microsoft.more", "ai.onnx.more"],
)
def test_operators_of_others(where: str, tmp_path: Path) -> None:
    path = changed(tmp_path / "a.onnx", custom(where))
    for opened in (check_model, Engine):
        with pytest.raises(
            ModelError, match=rf"needs the operators {where.partition(' ')[0]}\.Run, expected are those"
        ):
            opened(path)


@pytest.mark.parametrize(
    "name", ["Loop", "Scan", "ImageDecoder", "SequenceMap", "StringConcat", "RandomNormal", "com.microsoft.Tokenizer"]
)
def test_operators_that_no_picture_needs(name: str, tmp_path: Path) -> None:
    domain, _, operator = name.rpartition(".")
    path = changed(
        tmp_path / "a.onnx",
        lambda model: model.graph.node.append(helper.make_node(operator, ["image"], ["x"], domain=domain)),
    )
    with pytest.raises(ModelError, match=f"has the operators {name}, which no picture model needs"):
        check_model(path)


@pytest.mark.parametrize("name", ["Loop", "Tanh", "com.microsoft.Gelu", "ai.onnx.preview.Loop", "com.ms.internal.Conv"])
def test_operators_that_a_file_may_not_define(name: str, tmp_path: Path) -> None:
    """ONNX Runtime runs its own operator of that name: what the file calls Loop would be a real loop."""
    domain, _, operator = name.rpartition(".")

    def change(model: onnx.ModelProto) -> None:
        relu = helper.make_node("Relu", ["x"], ["y"])
        model.functions.append(helper.make_function(domain, operator, ["x"], ["y"], [relu], model.opset_import))
        model.graph.node.append(helper.make_node(operator, ["image"], ["y"], domain=domain))

    path = changed(tmp_path / "a.onnx", change)
    for opened in (check_model, Engine):
        with pytest.raises(ModelError, match=rf"defines the operators {name} itself, whose names belong to ONNX or"):
            opened(path)


def test_the_table_has_no_mistakes() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}
    assert {name for name in OPERATORS if "." not in name} <= known


def test_very_many_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_file, "MOST_NODES", 1000)
    node = helper.make_node("Relu", ["x"], ["x"])
    path = changed(tmp_path / "a.onnx", lambda model: model.graph.node.extend([node] * 1001))
    with pytest.raises(ModelError, match="has more than 1,000 nodes; it is no picture model"):
        check_model(path)


@pytest.mark.parametrize("circle", [False, True])
def test_functions_that_multiply(circle: bool, tmp_path: Path) -> None:
    """Twenty functions, each of which calls the next ten times: ONNX Runtime would write out all of them."""

    def change(model: onnx.ModelProto) -> None:
        for number in range(20):
            following = helper.make_node(f"F{0 if circle and number == 3 else number + 1}", ["x"], ["x"], domain="mine")
            nodes = [following] * 10 if number < 19 else [helper.make_node("Relu", ["x"], ["x"])]
            made = helper.make_function("mine", f"F{number}", ["x"], ["x"], nodes, model.opset_import)
            model.functions.append(made)
        model.graph.node.append(helper.make_node("F0", ["image"], ["y"], domain="mine"))

    path = changed(tmp_path / "a.onnx", change)
    with pytest.raises(ModelError, match="has more than 100,000 nodes behind its functions; it is no picture model"):
        check_model(path)


@pytest.mark.parametrize(("depth", "said"), [(20, "more than 16 graphs within each other"), (5000, "more than 16")])
def test_graphs_within_graphs(depth: int, said: str, tmp_path: Path) -> None:
    inner = b""
    for _ in range(depth):  # a node with an attribute that is a graph with a node ...
        inner = encoded((1, encoded((4, "If"), (5, encoded((6, inner))))))
    good = whole(tmp_path / "a.onnx").read_bytes()
    graph = onnx.load(tmp_path / "a.onnx").graph.SerializeToString()
    (tmp_path / "a.onnx").write_bytes(good.replace(encoded((7, graph)), encoded((7, graph + inner))))
    with pytest.raises(ModelError, match=said):
        check_model(tmp_path / "a.onnx")


def test_a_file_larger_than_any_model(tmp_path: Path) -> None:
    """It is not read: 2 GB, of which none are on the disk."""
    with (tmp_path / "a.onnx").open("wb") as file:
        file.write(b"\x08\x09")
        file.truncate(2 << 30)
    with pytest.raises(ModelError, match=r"has 2,048 MiB, expected a model of at most 1,024 MiB"):
        check_model(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    "spec",
    ["[" * 100_000, '{"format":' * 50_000, '{"a": [' * 10_000, "null", "[]", "1e999", '{"format": 1}', "\ud7ff" * 10],
)
def test_descriptions_that_are_none(spec: str, tmp_path: Path) -> None:
    path = save_model(tmp_path / "a.onnx", INVERT)
    made = onnx.load(path)
    helper.set_model_props(made, {METADATA_KEY: spec})
    onnx.save(made, path)
    for opened in (check_model, Engine):
        with pytest.raises(ModelError, match=r"its translate\.spec (is damaged|is invalid|has format)"):
            opened(path)


def test_shipped_models_are_compared_with_the_index(tmp_path: Path) -> None:
    """By name and by path; whoever changes one bit is found out whenever it is opened."""
    model = min(shipped(), key=lambda one: one.file.stat().st_size)
    index = tmp_path / "index.json"
    (tmp_path / "it").mkdir()
    shutil.copy(model.file, tmp_path / "it" / "model.onnx")
    entry = {
        "name": "it", "task": model.task, "file": "it/model.onnx", "sha256": model.sha256, "licence": "", "summary": ""
    }  # fmt: skip
    index.write_text(json.dumps({"models": [entry]}))
    path = tmp_path / "it" / "model.onnx"
    assert resolve("it", index) == path
    assert resolve(str(path), index) == path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for name in ("it", str(path)):
        with pytest.raises(ModelError, match="missing, or not the file shipped as it; reinstall the program"):
            resolve(name, index)


def test_every_shipped_model_passes() -> None:
    for model in shipped():
        check_model(model.file)
        assert set(read_graph(model.file).operators) <= OPERATORS


def test_a_digest_covers_the_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the digest of its weights is"):
        check_model(whole(tmp_path / "a.onnx", np.full(1, 254, np.uint8)))
    assert check_model(whole(tmp_path / "a.onnx")) == RECORDED
