"""Exported files in other and older runtimes: IR version, opset, and inputs that every runtime understands."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnx.helper
import onnxruntime
import pytest
import torch
from conftest import save_model

from export.compatibility import Controls, lower_versions, rewrite_versions
from export.to_onnx import build_graph, finish, trace, without_controls, write_model
from export.verify import compare, demand, working_memory
from translate.inference.engine import Engine
from translate.networks.residual_sr import ResidualSR
from translate.networks.unet import UNet
from translate.spec import METADATA_KEY, ModelSpec
from translate.trainers.base import pixel_translator

SPEC = ModelSpec(name="tiny", task="sketch-to-photo", architecture="UNet", size_multiple=2)
STYLED = dataclasses.replace(SPEC, labels=("bag", "shoe"), style_size=2, default_style=(1.0, -1.0))


def styled_network() -> UNet:
    torch.manual_seed(0)
    network = UNet(3, 3, (8,), 1, condition_size=4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same network with all three kinds of controls."""
    folder = tmp_path_factory.mktemp("files")
    traced = trace(pixel_translator(styled_network(), STYLED).eval(), STYLED)
    for controls in get_args(Controls):
        spec = without_controls(STYLED) if controls == "fixed" else STYLED
        write_model(finish(traced, STYLED, "float32", controls), spec, folder / f"{controls}.onnx")
    return {controls: folder / f"{controls}.onnx" for controls in get_args(Controls)}


def printed_on_load(path: Path) -> str:
    """What ONNX Runtime prints at its default log level when it opens a file and runs it on one picture."""
    code = (
        "import sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "kinds = {'tensor(int64)': 'int64', 'tensor(float)': 'float32'}\n"
        "controls = {one.name: numpy.zeros(one.shape, kinds[one.type]) for one in session.get_inputs()[1:]}\n"
        "session.run(None, {'image': numpy.zeros((1, 9, 7, 3), numpy.uint8), **controls})\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_an_existing_file_gets_the_lowest_versions_and_nothing_else_changes(
    files: dict[str, Path], tmp_path: Path
) -> None:
    old = onnx.load(files["optional"])
    old.ir_version = 10
    onnx.save(old, tmp_path / "old.onnx")
    rewrite_versions(tmp_path / "old.onnx", tmp_path / "again.onnx")
    given, made = ((tmp_path / name).read_bytes() for name in ("old.onnx", "again.onnx"))
    assert len(given) == len(made)
    assert [number for number, (a, b) in enumerate(zip(given, made, strict=True)) if a != b] == [1]
    assert Engine(tmp_path / "old.onnx", device="cpu").spec == Engine(tmp_path / "again.onnx", device="cpu").spec


def test_versions_count_operators_in_branches() -> None:
    """`If` is as old as opset 16, `ReduceMean` in its branch as new as 18."""
    make = onnx.helper
    value = make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, None])
    branches = {
        f"{name}_branch": make.make_graph([make.make_node(kind, ["x"], ["y"])], name, [], [value])
        for name, kind in (("then", "ReduceMean"), ("else", "Relu"))
    }
    graph = make.make_graph(
        [make.make_node("If", ["yes"], ["z"], **branches)],
        "whole",
        [
            make.make_tensor_value_info("yes", onnx.TensorProto.BOOL, []),
            make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, None]),
        ],
        [make.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [None, None])],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=10)
    lower_versions(model)
    assert (model.opset_import[0].version, model.ir_version) == (18, 8)


def test_inputs(files: dict[str, Path]) -> None:
    def names(kind: str) -> tuple[list[str], list[str]]:
        session = onnxruntime.InferenceSession(files[kind], providers=["CPUExecutionProvider"])
        return [one.name for one in session.get_inputs()], [one.name for one in session.get_overridable_initializers()]

    assert names("optional") == (["image"], ["label", "style", "image_rest"])
    assert names("required") == (["image", "label", "style"], [])
    assert names("fixed") == (["image"], [])


@pytest.mark.parametrize("controls", ["required", "fixed"])
def test_nothing_is_printed_on_load(files: dict[str, Path], controls: str) -> None:
    assert printed_on_load(files[controls]) == ""


def test_a_model_without_controls_prints_nothing(tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, working_size=64, size_multiple=1, scale=2)
    write_model(build_graph(ResidualSR(3, 2, blocks=1, width=8).eval(), spec, "float16"), spec, tmp_path / "m.onnx")
    assert printed_on_load(tmp_path / "m.onnx") == ""


def test_same_pictures_whatever_the_inputs(files: dict[str, Path]) -> None:
    image_HWC = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    engines = {name: Engine(path, device="cpu") for name, path in files.items()}
    results = [engine(image_HWC) for engine in engines.values()]
    assert all(np.array_equal(result, results[0]) for result in results)
    chosen: dict[str, Any] = {"label": "shoe", "style": (0.5, 2.0)}
    both = [engines[name](image_HWC, **chosen) for name in ("optional", "required")]
    assert np.array_equal(*both)
    assert not np.array_equal(both[0], results[0])
    # A control that is left out keeps its default.
    assert np.array_equal(engines["required"](image_HWC, label="shoe"), engines["optional"](image_HWC, label="shoe"))


@pytest.mark.parametrize("controls", get_args(Controls))
def test_verified_whatever_the_inputs(files: dict[str, Path], controls: str) -> None:
    spec = without_controls(STYLED) if controls == "fixed" else STYLED
    pictures = [np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)]
    rows = compare(pixel_translator(styled_network(), STYLED).eval(), files[controls], pictures, spec)
    demand(rows, files[controls])
    assert rows[-1].controls == ("" if controls == "fixed" else "label, style")
    assert working_memory(files[controls], spec) >= 64


def test_engine_reads_old_and_new_ir_versions(tmp_path: Path) -> None:
    path = save_model(tmp_path / "old.onnx", SPEC)
    for version in (8, 9, 10):
        model = onnx.load(path)
        model.ir_version = version
        onnx.save(model, path)
        image_HWC = np.full((8, 8, 3), 3, np.uint8)
        assert np.array_equal(Engine(path, device="cpu")(image_HWC), 255 - image_HWC)
    assert METADATA_KEY in {entry.key for entry in onnx.load(path).metadata_props}
