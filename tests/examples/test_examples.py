"""The examples do what they say: each is run as its first lines tell, and gives what the Engine gives."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from conftest import save_model
from google.protobuf import json_format
from nodes import MODULES, node, package
from PIL import Image
from test_engine import save_sum
from triton_config import read
from web_server import listening

from export.targets import web
from translate.cli.main import main
from translate.inference.engine import Engine
from translate.pictures.operations import read_picture
from translate.spec import ModelSpec

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(path for path in EXAMPLES.rglob("*.*") if path.suffix in (".py", ".mjs"))
MOST_LINES = 30

PLAIN = ModelSpec(name="plain", task="pix2pix", architecture="", scale=2)
DEEP = replace(PLAIN, name="deep")
"""For a picture of 16 bits."""
SIZED = ModelSpec(
    name="sized", task="sketch-to-photo", architecture="", labels=("shoe", "bag"), style_size=2, working_size=48,
    content_share=0.0,
)  # fmt: skip
SCENE = ModelSpec(name="scene", task="day-to-night", architecture="", scene_size=17)


@pytest.fixture(params=[PLAIN, DEEP, SIZED, SCENE], ids=lambda spec: spec.name)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A tiny model and a picture, smooth unless the model is for scenes, in a folder with nothing else."""
    y_H1, x_W = np.mgrid[:40, :60].astype(np.float32)
    picture_HWC = np.stack([x_W * 3, y_H1 * 3, 100 + 50 * np.sin(x_W / 9)], axis=2).astype(np.uint8)
    if request.param.scene_size:  # detail that the model cannot see
        picture_HWC = picture_HWC // 2 + (40 * ((x_W + y_H1) % 2)).astype(np.uint8)[..., None]
    picture, exif = Image.fromarray(picture_HWC), Image.Exif()
    if request.param is DEEP:
        picture = Image.fromarray(picture_HWC[..., 0].astype(np.uint16) * 257 + 70)
    exif[274] = 6  # stored turned, as by telephones
    if request.param.working_size:  # drawings may be transparent, and black below
        picture.putalpha(Image.fromarray((x_W * 4 + 0 * y_H1).astype(np.uint8)))
    picture.save(tmp_path / "in.png", exif=exif)
    save = save_model if request.param is SCENE else save_sum  # which inverts, so that the light changes
    return save(tmp_path / "mine.onnx", request.param), tmp_path / "in.png"


def agrees(result: Path, model: Path, source: Path, *, mean: float = 0.2) -> bool:
    """Whether a result is what the Engine makes; where it is resized, libraries differ by a few levels, and a
    scene that is inverted shows each of them three times. `mean`: of the differences in a scene."""
    wanted_HWC = Engine(model, device="cpu").apply(read_picture(source)).rgb_HWC.astype(int)
    made_HWC = np.asarray(Image.open(result).convert("RGB")).astype(int)
    assert made_HWC.shape == wanted_HWC.shape
    spec = Engine(model, device="cpu").spec
    if spec.scene_size and np.abs(made_HWC - wanted_HWC).mean() > mean:
        return False
    return np.abs(made_HWC - wanted_HWC).max() <= (12 if spec.scene_size else 4 if spec.working_size else 0)


def python(name: str, *arguments: object) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def named(model: Path) -> Path:
    """The model with the output's name that `translate export` gives."""
    import onnx

    graph = onnx.load(model)
    graph.graph.node[-1].output[0] = graph.graph.output[0].name = "translated"
    onnx.save(graph, model)
    return model


def test_python(files: tuple[Path, Path], tmp_path: Path) -> None:
    model, source = named(files[0]), files[1]
    python("python/convert.py", model, source, tmp_path / "out.png")
    assert agrees(tmp_path / "out.png", model, source)


def test_openvino(files: tuple[Path, Path], tmp_path: Path) -> None:
    if find_spec("openvino") is None:
        # Where it matters that it runs, a missing package must not pass for a success.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("openvino is not installed; run make .venv/all")
    python("openvino/convert.py", files[0], files[1], tmp_path / "out.png")
    assert agrees(tmp_path / "out.png", *files)


def test_node(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, source = named(files[0]), files[1]
    package("onnxruntime-node")
    (tmp_path / "node_modules").symlink_to(MODULES)  # as `npm install` would fill it
    (tmp_path / "convert.mjs").write_bytes((EXAMPLES / "node" / "convert.mjs").read_bytes())
    assert main(["info", str(model), "--json"]) == 0
    (tmp_path / "mine.json").write_text(capsys.readouterr().out)
    assert node("convert.mjs", "mine.onnx", "mine.json", "in.png", "out.png", cwd=tmp_path) == ""
    assert agrees(tmp_path / "out.png", model, source, mean=3)  # sharp enlarges with a shift of half a pixel


class Triton(BaseHTTPRequestHandler):
    """What a client sees of Triton: the configuration, and inference with binary tensors."""

    repository: Path

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        config = read(self.repository / self.path.split("/")[3] / "config.pbtxt")
        self.answer(json.dumps(json_format.MessageToDict(config, preserving_proto_field_name=True)).encode())

    def do_POST(self) -> None:
        folder = self.repository / self.path.split("/")[3]
        header = json.loads(self.rfile.read(int(self.headers["Inference-Header-Content-Length"])))
        config, inputs = read(folder / "config.pbtxt"), {}
        for facts in header["inputs"]:
            (kind,) = [one for one in config.input if one.name == facts["name"]]
            assert (kind.data_type, facts["datatype"]) == (2, "UINT8")
            assert [kept for kept, free in zip(facts["shape"], [-1, *kind.dims], strict=True) if free > 0] == [3]
            data = self.rfile.read(facts["parameters"]["binary_data_size"])
            inputs[facts["name"]] = np.frombuffer(data, np.uint8).reshape(facts["shape"])
        session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
        names = [one["name"] for one in header["outputs"] if one["parameters"] == {"binary_data": True}]
        made = dict(zip(names, session.run(names, inputs), strict=True))
        outputs = [
            {"name": name, "shape": data.shape, "parameters": {"binary_data_size": data.nbytes}}
            for name, data in made.items()
        ]
        self.answer(json.dumps({"outputs": outputs}).encode(), b"".join(data.tobytes() for data in made.values()))

    def answer(self, header: bytes, tensors: bytes = b"") -> None:
        self.send_response(200)
        self.send_header("Inference-Header-Content-Length", str(len(header)))
        self.send_header("Content-Length", str(len(header + tensors)))
        self.end_headers()
        self.wfile.write(header + tensors)


@contextmanager
def triton(repository: Path) -> Generator[str]:
    handler = type("Handler", (Triton,), {"repository": repository})
    with listening(handler) as address:
        yield address


def test_triton(files: tuple[Path, Path], tmp_path: Path) -> None:
    model, source = named(files[0]), files[1]
    assert main(["export", str(model), "--target", "triton", "-o", str(tmp_path / "models"), "--name", "mine"]) == 0
    with triton(tmp_path / "models") as server:
        python("triton/client.py", server, "mine", source, tmp_path / "out.png")
    assert agrees(tmp_path / "out.png", model, source)


def test_examples_are_short_and_named() -> None:
    assert {path.parent.name for path in PROGRAMS} == {"python", "openvino", "node", "triton"}
    for path in PROGRAMS:
        text = re.sub(r'^""".*?"""|^//.*?$', "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        assert len(lines) < MOST_LINES, path
    deploying = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    overview = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in (*PROGRAMS, EXAMPLES / "web" / "README.md"):
        assert f"examples/{path.relative_to(EXAMPLES).as_posix()}" in deploying
        assert f"({path.relative_to(EXAMPLES).as_posix()})" in overview


def test_packages_of_node_have_exact_versions() -> None:
    facts = json.loads((EXAMPLES / "node" / "package.json").read_text(encoding="utf-8"))
    versions = facts["dependencies"] | facts["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions.values())
    assert versions["onnxruntime-web"] == web.RUNTIME
