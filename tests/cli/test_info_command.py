"""`translate info`: what a file is, in lines or JSON, and one line for what is no model."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from conftest import INVERT, save_model
from onnx import TensorProto, helper

from translate.cli.main import main
from translate.errors import ModelError
from translate.inference.graph_file import read_graph
from translate.inference.models import shipped
from translate.spec import METADATA_KEY, PARITY_KEY, ModelSpec

WHITE = np.full(1, 255, np.uint8)
DIGEST = hashlib.sha256(b"white\0" + WHITE.tobytes()).hexdigest()
SPEC = dataclasses.replace(
    INVERT,
    direction="back",
    receptive_field=61,
    working_size=64,
    labels=("bag", "shoe"),
    parameters=1234567,
    gmacs_256=2.5,
    licence="CC0-1.0",
    training_data="own\nphotographs",
    metrics={"psnr_db": 18.25},
    weights_sha256=DIGEST,
    producer="translate 9",
)
PARITY = {
    "largest": 1, "full": 255, "mean": 0.0025, "share": 0.0025, "sizes": ["16x16", "1000x1000"], "batches": [1, 2, 5],
    "devices": ["cpu"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("translate.inference.devices.gpu_present", lambda: False)
    return tmp_path


def model(path: Path, spec: ModelSpec | None = SPEC, *, white: np.ndarray = WHITE, **facts: str) -> Path:
    """A file with its weights as `translate export` stores them, and with further metadata."""
    made = onnx.load(save_model(path, spec))
    made.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(white, "white"))
    spec_facts = {METADATA_KEY: spec.to_json()} if spec else {}
    helper.set_model_props(made, {**spec_facts, **facts})
    onnx.save(made, path)
    return path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, str]:
    """The labels and values of what is printed."""
    assert main(["info", *arguments]) == status
    found = capsys.readouterr()
    assert found.err == ""
    assert all(line[16] == " " != line[17] for line in found.out.splitlines())  # aligned
    return {line[:16].strip(): line[17:] for line in found.out.splitlines()}


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, Any]:
    assert main(["info", "--json", *arguments]) == status
    return json.loads(capsys.readouterr().out)


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    path = model(Path("m.onnx"))
    lines = printed(capsys, "m.onnx")
    assert lines["SHA-256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert lines == {
        **lines,
        "file": "m.onnx (0.0 MiB)",
        "name": SPEC.name,
        "task": f"{SPEC.task}, from its output back to its input",
        "input": "RGB, 8 bits",
        "labels": "bag, shoe",
        "working size": "64 pixels, longer side",
        "receptive field": "61 pixels",
        "parameters": "1,234,567",
        "cost": "2.5 GMAC for 256 x 256 pixels",
        "licence": "CC0-1.0",
        "training data": "own\\nphotographs",
        "metrics": "psnr_db 18.25",
        "weights digest": f"{DIGEST}, matches the weights in the file",
        "parity": "not recorded (older files)",
        "device": "cpu (no NVIDIA GPU found)",
        "graph inputs": "image uint8 (N, H, W, 3)",
        "graph outputs": "output uint8 (N, ?, ?, 3)",
        "producer": "translate 9",
        "ONNX": "IR version 9, opset 17 (ai.onnx)",
        "operators": "Sub 1",
    }
    assert not {"shipped model", "card", "style", "detail", "scene size", "parity report"} & set(lines)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    path = model(Path("m.onnx"))
    found = as_json(capsys, "m.onnx")
    assert found.pop("spec") == json.loads(json.dumps(dataclasses.asdict(SPEC)))
    assert found == {
        "file": "m.onnx",
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "shipped": None,
        "added": None,
        "inputs": [{"name": "image", "type": "uint8", "shape": ["N", "H", "W", 3], "optional": False}],
        "outputs": [{"name": "output", "type": "uint8", "shape": ["N", "H2", "W2", 3], "optional": False}],
        "device": {"device": "cpu", "why": "no NVIDIA GPU found"},
        "producer": "translate 9",
        "ir_version": 9,
        "opsets": {"ai.onnx": 17},
        "operators": {"Sub": 1},
        "unfit": "",
        "weights": "matches",
        "parity": None,
        "parity_report": {"path": None, "state": "none"},
    }


def test_shipped_models(capsys: pytest.CaptureFixture[str]) -> None:
    one = next(one for one in shipped() if one.name == "super-resolution")
    lines = printed(capsys, "super-resolution")
    assert lines["shipped model"] == "super-resolution, is the file of the index"
    assert lines["card"] == str(one.file.with_name("card.md"))
    assert (lines["SHA-256"], lines["licence"]) == (one.sha256, one.licence)
    assert lines["output"] == "RGB, 8 bits (16 where the picture has 16), 4 times as wide and high"
    assert lines["weights digest"].endswith(", matches the weights in the file")
    assert "detail float32 (1), optional" in lines["graph inputs"]
    Path("copy.onnx").write_bytes(one.file.read_bytes())
    found = as_json(capsys, "copy.onnx")
    assert (found["shipped"]["name"], found["shipped"]["matches_index"]) == ("super-resolution", True)


def test_a_changed_file_in_the_place_of_a_shipped_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = [dataclasses.replace(one, file=model(Path("m.onnx")).absolute()) for one in shipped()[:1]]
    monkeypatch.setattr("translate.cli.info.shipped", lambda: changed)
    assert printed(capsys, "m.onnx")["shipped model"] == f"{changed[0].name}, DIFFERS from the file of the index"


def test_changed_weights(capsys: pytest.CaptureFixture[str]) -> None:
    model(Path("m.onnx"), white=WHITE - 1)
    lines = printed(capsys, "m.onnx", status=1)
    assert lines["weights digest"].startswith(f"{DIGEST}, DIFFERS from the weights in the file")
    assert as_json(capsys, "m.onnx", status=1)["weights"] == "differs"


def test_weights_that_cannot_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    save_model(Path("m.onnx"), SPEC)  # stored as numbers, not as bytes
    assert printed(capsys, "m.onnx")["weights digest"] == f"{DIGEST}, not checked"
    model(Path("m.onnx"), dataclasses.replace(SPEC, weights_sha256=""))
    assert printed(capsys, "m.onnx")["weights digest"] == "none, not checked"


def test_parity(capsys: pytest.CaptureFixture[str]) -> None:
    report = Path("m.parity.json")
    report.write_bytes(b"{}\n")
    recorded = json.dumps({**PARITY, "sha256": hashlib.sha256(b"{}\n").hexdigest()})
    model(Path("m.onnx"), **{PARITY_KEY: recorded})
    lines = printed(capsys, "m.onnx")
    assert lines["parity"] == (
        "largest difference from the network 1 of 255, mean 0.002500, 0.2500 % of the values differ; "
        "2 sizes from 16x16 to 1000x1000, batches of 1, 2, 5, on cpu"
    )
    assert lines["parity report"] == "m.parity.json is the recorded one"
    report.write_bytes(b"{ }\n")
    assert printed(capsys, "m.onnx", status=1)["parity report"] == "m.parity.json DIFFERS from the recorded one"
    report.unlink()
    assert printed(capsys, "m.onnx")["parity report"] == "m.parity.json is not beside the file"
    assert as_json(capsys, "m.onnx")["parity"]["batches"] == [1, 2, 5]
    model(Path("m.onnx"), **{PARITY_KEY: '{"largest": [], "sizes": 3}'})
    assert printed(capsys, "m.onnx")["parity"] == "recorded in a way that this version cannot read"
    model(Path("m.onnx"), **{PARITY_KEY: "{"})
    assert printed(capsys, "m.onnx")["parity"] == "not recorded (older files)"


def test_a_model_of_another_program(capsys: pytest.CaptureFixture[str]) -> None:
    """Two operator sets, and operators in the branches of an `If`."""
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])
    branches = {
        f"{name}_branch": helper.make_graph([helper.make_node(kind, ["x"], ["y"])], name, [], [value])
        for name, kind in (("then", "Neg"), ("else", "Relu"))
    }
    nodes = [
        helper.make_node("Relu", ["x"], ["positive"]),
        helper.make_node("If", ["yes"], ["z"], **branches),
        helper.make_node("Gelu", ["z"], ["out"], domain="com.microsoft"),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3]),
        helper.make_tensor_value_info("yes", TensorProto.BOOL, []),
    ]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(nodes, "foreign", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="other"), "other.onnx")
    lines = printed(capsys, "other.onnx")
    assert lines == {
        "file": "other.onnx (0.0 MiB)",
        "SHA-256": lines["SHA-256"],
        "translate.spec": "none: not written by `translate`, so what its pictures mean is unknown",
        "device": "cpu (no NVIDIA GPU found)",
        "graph inputs": "x float32 (batch, 3); yes bool ()",
        "graph outputs": lines["graph outputs"],
        "producer": "other",
        "ONNX": "IR version 8, opset 17 (ai.onnx), opset 1 (com.microsoft)",
        "operators": "Relu 2, If 1, Neg 1, com.microsoft.Gelu 1",
    }
    assert as_json(capsys, "other.onnx")["spec"] is None


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: None, "m.onnx: no such file; give a .onnx file or one of: sketch-to-photo, "),
        (lambda path: path.mkdir(), "m.onnx: no such file; "),
        (lambda path: path.write_bytes(b""), "m.onnx: is empty (0 bytes), "),
        (lambda path: path.write_text("<!doctype html><title>Not found</title>"), "m.onnx: is a web page, "),
        (lambda path: path.write_bytes(model(path).read_bytes()[:-40]), "m.onnx: truncated, or not an ONNX file; "),
        (lambda path: save_model(path, SPEC, external=True), "m.onnx: some of its weights are in another file, "),
        (lambda path: model(path, None, **{METADATA_KEY: "{"}), "m.onnx: its translate.spec is damaged; "),
    ],
)
def test_no_model(capsys: pytest.CaptureFixture[str], make: Callable[[Path], object], error: str) -> None:
    make(Path("m.onnx"))
    assert main(["info", "m.onnx"]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert re.fullmatch(f"translate: {re.escape(error)}.*\n", found.err)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("info", "translate: .*FILE.onnx|NAME.*; see translate info --help"),
        ("info super-resolutoin", "unknown model 'super-resolutoin'; did you mean super-resolution"),
    ],
)
def test_wrong_use(capsys: pytest.CaptureFixture[str], arguments: str, error: str) -> None:
    assert main(arguments.split()) == 2
    assert re.search(error, capsys.readouterr().err)


def test_no_damage_is_an_unexpected_error() -> None:
    """Cut at any byte, or with any byte changed, a file is read or refused."""
    path = Path("m.onnx")
    whole = model(path).read_bytes()
    graph = read_graph(path)
    assert (graph.operators, graph.weights_sha256) == ({"Sub": 1}, DIGEST)
    start = whole.index(b"Sub")  # the spec, most of the file, is only text
    places = [*range(start + 120), *range(start + 120, len(whole), 97)]
    refused = 0
    for place in places:
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            try:
                read_graph(path)
            except ModelError:
                refused += 1
    assert refused > len(places) / 2
