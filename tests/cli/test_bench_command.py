"""`translate bench`: what is printed about tiny models."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import DOUBLE, INVERT, save_model
from onnx.reference import ReferenceEvaluator

from translate.cli.main import main
from translate.inference import bench

QUICK = ["--seconds", "0.001", "--device", "cpu"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MATRIX_SIDE", 32)


def test_a_row_for_every_size_batch_and_number_of_threads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_model(tmp_path / "double.onnx", dataclasses.replace(DOUBLE, gmacs_256=0.5))
    options = ["--sizes", "16", "32x8", "--batches", "1", "3", "--threads", "1", "2", "--json"]
    assert main(["bench", str(path), *QUICK, *options]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    found = [(row["threads"], row["width"], row["height"], row["batch"]) for row in rows]
    assert found == [(t, *size, b) for t in (1, 2) for size in ((16, 16), (32, 8)) for b in (1, 3)]
    for row in rows:
        assert row["runs"] >= bench.LEAST_ROUNDS
        seconds = row["ms"] / 1000
        assert row["images_per_second"] == pytest.approx(row["batch"] / seconds)
        assert row["megapixels_per_second"] == pytest.approx(row["batch"] * 4 * 256 / 1e6 / seconds)
        gmacs = row["batch"] * 0.5 * 256 / 256**2
        assert row["share_of_matrix_rate"] == pytest.approx(gmacs / seconds / row["matrix_gmacs_per_second"])
        assert (row["model"], row["device"], row["device_why"]) == ("double", "cpu", "as asked")


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(save_model(tmp_path / f"{name}.onnx", INVERT)) for name in ("one", "two")]
    assert main(["bench", *files, *QUICK, "--sizes", "24", "--threads", "1"]) == 0
    device, product, _, head, *rows = capsys.readouterr().out.splitlines()
    assert device == "device: cpu (as asked)"
    assert product.startswith("matrix product, GMAC/s: ")
    assert product.endswith(" with 1 threads")
    assert head.split() == [
        "model", "file", "precision", "width", "x", "height", "batch", "threads", "ms", "images/s", "megapixels/s",
        "of", "matrix", "rate",
    ]  # fmt: skip
    assert [row.split()[:8] for row in rows] == [
        ["invert", f"{name}.onnx", "float32", "24", "x", "24", "1", "1"] for name in ("one", "two")
    ]
    assert all(row.endswith("unknown") for row in rows)


def test_the_usual_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs = {
        "scene": dataclasses.replace(INVERT, scene_size=40),
        "working": dataclasses.replace(INVERT, working_size=48),
        "double": DOUBLE,
    }
    files = [str(save_model(tmp_path / f"{name}.onnx", spec)) for name, spec in specs.items()]
    assert main(["bench", *files, *QUICK, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["width"] for row in rows] == [40, 48, 128, 256]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sizes", "0"], "--sizes '0' is no size; give a side such as 256, or WIDTHxHEIGHT such as 640x360"),
        (["--sizes", "1000000"], "1 pictures of 1000000 x 1000000 pixels do not fit in the free memory; give smaller"),
        (["--batches", "0"], "--batches 0 is out of range; give 1 or more"),
        (["--threads", "1", "-1"], "--threads -1 is out of range; give 1 to 1024"),
        (["--threads", "2", "1025"], "--threads 1025 is out of range; give 1 to 1024"),
        (["--seconds", "nan"], "--seconds nan is out of range; give more than 0, at most 3600"),
        (["--device", "openvino"], "--device openvino did not start"),
    ],
)
def test_bad_options(
    options: list[str],
    message: str,
    invert_model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    assert main(["bench", str(invert_model), *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1


def test_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = save_model(tmp_path / "bare.onnx", None)
    for arguments in (["missing.onnx"], [str(bare)], []):
        assert main(["bench", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_matrix_product(tmp_path: Path) -> None:
    """The file that is written without the package onnx is one, and computes what it says."""
    content = bench.matrix_model(8)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    a, b = (onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer)
    (found,) = ReferenceEvaluator(model).run(None, {"factor": np.full(1, 2, np.float32)})
    np.testing.assert_allclose(found, [[(2 * a @ b).max()]], rtol=1e-6)
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert bench.MatrixProduct(1, "cpu").rate() > 0
