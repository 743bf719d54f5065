"""Every program that can run a file here is compared; files are judged by the CPU."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import DOUBLE, save_model
from test_engine import ALL, save_sum

import export.backends
from export.backends import backends, versions
from export.verify import compare_files, demand, summary
from translate.errors import ModelError
from translate.inference import devices
from translate.inference.devices import Device
from translate.inference.engine import Engine
from translate.inference.session import Session


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return save_model(tmp_path / "double.onnx", DOUBLE)


class OneOff(Session):
    """Stands for a model in OpenVINO: one level off, and takes at most two pictures."""

    def __init__(self, path: Path, threads: int, device: Device, *_: Any) -> None:
        super().__init__(path, threads, "cpu")
        self._other, self.device = device == "openvino", device

    def run(self, image_NHWC: np.ndarray, controls: Any) -> np.ndarray:
        if self._other and len(image_NHWC) > 2:
            raise RuntimeError("no such\nbatch")
        return super().run(image_NHWC, controls) ^ np.uint8(self._other)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that stands for OpenVINO."""
    module = SimpleNamespace(__version__="9.9", __spec__=ModuleSpec("openvino", None))
    monkeypatch.setitem(sys.modules, "openvino", module)
    monkeypatch.setattr("translate.inference.engine.Session", OneOff)


def test_without_others_only_the_cpu(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.backends, "find_spec", lambda name: None)
    assert [one.name for one in backends(path)] == ["cpu"]
    assert versions().keys() == {"onnxruntime"}


@pytest.mark.usefixtures("fake")
def test_openvino_is_compared_where_it_is_there(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert versions()["openvino"] == "9.9"
    pictures = [np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)]
    rows = compare_files(path, path, pictures, {})
    assert [(row.batch, row.device, row.largest) for row in rows] == [
        (1, "cpu", 0), (1, "openvino", 1), (5, "cpu", 0), (2, "cpu", 0)
    ]  # fmt: skip
    assert summary(rows)["devices"] == ["cpu", "openvino"]
    assert summary(rows)["largest"] == 0
    demand(rows, path)
    assert capsys.readouterr().out == "note: openvino cannot run the file (no such batch)\n"


def test_a_file_that_it_cannot_open(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("unknown operator")

    monkeypatch.setattr(export.backends, "find_spec", lambda name: name)
    monkeypatch.setattr(devices, "open_openvino", refuse)
    assert [one.name for one in backends(path)] == ["cpu"]
    said = "--device openvino did not start: OpenVINO cannot read the model (unknown operator); use --device cpu"
    assert capsys.readouterr().out == f"note: {said}\n"


@pytest.mark.parametrize("usable", [True, False])
def test_tensorrt_is_compared_where_there_is_a_gpu(
    path: Path, monkeypatch: pytest.MonkeyPatch, usable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """No GPU is needed: Engines on the CPU stand for it."""

    def on_gpu(path: Path, device: str) -> Engine:
        if device == "tensorrt" and not usable:
            raise ModelError(f"{path}: --device tensorrt did not start")
        engine = Engine(path, device="cpu")
        engine.device = "cuda" if device == "auto" else device
        return engine

    monkeypatch.setattr(export.backends, "find_spec", lambda name: None)
    monkeypatch.setattr(export.backends, "Engine", on_gpu)
    found = backends(path)
    assert [one.name for one in found] == ["cpu", "cuda", "tensorrt"][: 3 if usable else 2]
    image_NHWC = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    results = [one.run(image_NHWC, {}) for one in found]
    assert all(np.array_equal(result, results[0]) for result in results)
    assert [one.few_sizes for one in found] == [False, False, True][: len(found)]
    assert capsys.readouterr().out == ""


def test_openvino_itself(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    path = save_sum(tmp_path / "all.onnx", ALL)
    image_NHWC = np.random.default_rng(0).integers(0, 80, (2, 5, 4, 3), np.uint8)
    cpu, *others = backends(path)
    assert [one.name for one in others if one.name == "openvino"] == ["openvino"]
    for one in others:
        for controls in ({}, {"label": "night", "style": (3, 4), "detail": 0.5}):
            assert np.array_equal(one.run(image_NHWC, controls), cpu.run(image_NHWC, controls))
