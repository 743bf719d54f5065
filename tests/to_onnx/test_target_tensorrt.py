"""`--target tensorrt`: pixels are converted first and last, nothing is optional, and the script has three shapes."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import INVERT, save_model

from export.targets.tensorrt import default_sizes
from translate.cli.main import main
from translate.inference.engine import Engine
from translate.spec import ModelSpec


@pytest.fixture(scope="module")
def enlarger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped super-resolution, which has a control and 16 bits, as a folder for TensorRT."""
    folder = tmp_path_factory.mktemp("tensorrt") / "engine"
    sizes = ["--min-size", "32x16", "--max-size", "640x480", "--max-batch-size", "4", "--opt-size", "320x240"]
    assert main(["export", "super-resolution", "--target", "tensorrt", "-o", str(folder), *sizes]) == 0
    return folder


def test_pixels_are_converted_first_and_last(enlarger: Path) -> None:
    model = onnx.load(enlarger / "model.onnx")
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    assert [value.name for value in graph.input] == ["image"]
    assert [value.name for value in graph.output] == ["translated"]
    readers = [node.op_type for node in graph.node if "image" in node.input]
    (last,) = [node for node in graph.node if "translated" in node.output]
    assert (readers, last.op_type) == (["Cast"], "Cast")
    kinds = {value.type.tensor_type.elem_type for value in graph.value_info} | {t.data_type for t in graph.initializer}
    assert kinds <= {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64, onnx.TensorProto.BOOL}


def test_the_result_is_the_same(enlarger: Path) -> None:
    image_NHWC = np.random.default_rng(0).integers(0, 256, (1, 17, 24, 3), np.uint8)
    session = onnxruntime.InferenceSession(enlarger / "model.onnx", providers=["CPUExecutionProvider"])
    (made_NHWC,) = session.run(None, {"image": image_NHWC})
    wanted_NHWC = Engine("super-resolution", device="cpu")(image_NHWC)
    assert np.abs(made_NHWC.astype(int) - wanted_NHWC).max() <= 1


@pytest.mark.skipif(os.name == "nt", reason="a script for a POSIX shell")
def test_the_script_without_tensorrt(enlarger: Path, tmp_path: Path) -> None:
    for name in ("sh", "dirname"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    command = [str(tmp_path / "sh"), str(enlarger / "build.sh")]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr.startswith("trtexec is not on the PATH; ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="a script for a POSIX shell")
def test_the_script(enlarger: Path, tmp_path: Path) -> None:
    """With a program of that name that prints how it was called."""
    (tmp_path / "trtexec").write_text('#!/bin/sh\nprintf "%s\\n" "$@"; pwd\n')
    (tmp_path / "trtexec").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = ["sh", str(enlarger / "build.sh"), "--fp16"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "--onnx=model.onnx",
        "--saveEngine=model.plan",
        "--minShapes=image:1x16x32x3",
        "--optShapes=image:1x240x320x3",
        "--maxShapes=image:4x480x640x3",
        "--fp16",
        str(enlarger),
    ]
    readme = (enlarger / "README.md").read_text()
    assert "from 32x16 to 640x480 (width x height) and batches of up to 4" in readme
    assert re.search(r"uint8 \(N, H \* 4, W \* 4, 3\)", readme)


def test_default_sizes_follow_the_spec() -> None:
    def sizes(**facts: int) -> dict[str, tuple[int, int]]:
        return default_sizes(ModelSpec(name="", task="", architecture="", **facts))

    assert sizes(working_size=256) == {"min": (64, 64), "opt": (256, 256), "max": (256, 256)}
    assert sizes(scene_size=144) == {"min": (72, 72), "opt": (256, 144), "max": (432, 432)}
    assert sizes() == {"min": (64, 64), "opt": (512, 512), "max": (1024, 1024)}
    assert sizes(min_size=2000) == {"min": (2000, 2000), "opt": (2000, 2000), "max": (2000, 2000)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--min-size", "64"], "--min-size is '64'; give width and height"),
        (["--min-size", "0x64"], "--min-size is '0x64'"),
        (["--min-size", "64x4"], "--min-size 64x4 is too small; the model needs 8x8 or more"),
        (["--opt-size", "32x600"], "sizes have to grow from min to opt to max, but min 64x64 and opt 32x600"),
        (["--max-size", "300x300"], "but opt 512x512 and max 300x300; give --opt-size or --max-size"),
        (["--max-batch-size", "0"], "give 1 or more"),
        ([], "computes with unsigned numbers of 8 bits"),
    ],
)
def test_usage(tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(save_model(tmp_path / "invert.onnx", INVERT))
    assert main(["export", model, "--target", "tensorrt", "-o", str(tmp_path / "engine"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["invert.onnx"]
