"""The functions for programs: what docs/serving.md says, executed against a server in a process of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import numpy as np
import pytest
from browsing import served
from conftest import INVERT, save_model
from PIL import Image
from test_engine import save_sum

from translate.cli.main import main
from translate.pictures.lines import draw_lines
from translate.spec import ModelSpec
from ui import files
from ui.serving import programs

ROOT = Path(__file__).resolve().parents[2]
STYLED = ModelSpec(
    name="styled", task="sketch-to-photo", architecture="", labels=("shoe", "handbag"), style_size=5, licence="CC0"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs run: a model and two pictures."""
    folder = tmp_path_factory.mktemp("programs")
    save_sum(folder / "styled.onnx", STYLED)
    save_model(folder / "invert.onnx", INVERT)
    drawing_HWC = np.full((40, 48, 3), 255, np.uint8)
    drawing_HWC[10:30, 12:36] = 90
    Image.fromarray(drawing_HWC).save(folder / "drawing.png")
    photo_HWC = np.random.default_rng(0).integers(0, 120, (4, 5, 3), np.uint8).repeat(12, axis=0).repeat(12, axis=1)
    Image.fromarray(photo_HWC).save(folder / "photo.png")
    (folder / "accounts.txt").write_text("anna:secret\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Generator[str]:
    options = ["--auth-file", folder / "accounts.txt", "--mcp"]
    with served(folder / "styled.onnx", folder / "invert.onnx", options=options, ended_by=signal.SIGHUP) as address:
        yield address


def blocks(section: str, language: str, address: str) -> list[str]:
    """The code under a heading of the document, for the server and model at hand."""
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    (part,) = re.findall(rf"^### {section}\n(.*?)(?=^##)", text, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(rf"^```{language}\n(.*?)^```", part, flags=re.DOTALL | re.MULTILINE)
    return [code.replace("http://127.0.0.1:7860/", address).replace("http://127.0.0.1:7860", address.rstrip("/"))
            .replace("sketch-to-photo", "styled.onnx") for code in found]  # fmt: skip


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commanded(folder: Path, *options: str) -> bytes:
    """What `translate convert` makes of the drawing."""
    out = folder / "-".join(("out", *options)).replace("/", "_")
    arguments = [str(folder / "drawing.png"), str(out), "--model", str(folder / "styled.onnx"), *options]
    assert main(["convert", *arguments]) == 0
    (path,) = out.iterdir()
    return path.read_bytes()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_examples_for_curl(folder: Path, address: str) -> None:
    ((with_user, with_token),) = [code.splitlines() for code in blocks("With a password", "sh", address)]
    names = [run(["sh", "-c", line], folder) for line in (with_user, with_token)]
    assert [entry["name"] for entry in httpx.Response(200, text=names[0]).json()] == ["styled.onnx", "invert.onnx"]
    assert names[0] == names[1]
    (code,) = blocks("One request: curl", "sh", address)
    run(["sh", "-ec", code.replace("curl -sf", "curl -sf -u anna:secret")], folder)
    expected = commanded(folder, "--label", "handbag", "--style", "42", "--format", "jpg")
    assert (folder / "photo.jpg").read_bytes() == expected


def test_the_examples_for_python(folder: Path, address: str) -> None:
    Image.open(folder / "photo.png").save(folder / "photo.jpg")
    (code,) = blocks("With a password", "python", address)
    assert "'name': 'styled.onnx'" in run([sys.executable, "-c", code], folder)
    (code,) = blocks("Python: gradio_client", "python", address)
    known = 'httpx_kwargs={"auth": ("anna", "secret")}, download_files='
    said, *lines = run([sys.executable, "-c", code.replace("download_files=", known)], folder).splitlines()
    assert said.startswith("Loaded as API")
    assert lines[:2] == ["styled.onnx ['shoe', 'handbag']", "invert.onnx []"]
    photo, again = map(Path, lines[2:])
    assert photo.name == "drawing-styled.png"
    assert (folder / photo).read_bytes() == commanded(folder, "--label", "handbag", "--style", "42")
    assert again.name == "photo-sketch-styled.png"
    (sketch,) = (folder / "results").rglob("photo-sketch.png")
    photo_HWC = np.asarray(Image.open(folder / "photo.jpg").convert("RGB"))
    np.testing.assert_array_equal(np.asarray(Image.open(sketch).convert("RGB")), draw_lines(photo_HWC))


def test_the_example_for_language_models(folder: Path, address: str) -> None:
    (code,) = blocks("Language models: MCP", "python", address)
    assert run([sys.executable, "-c", code], folder).strip() == "['list_models', 'translate_image']"
    assert (folder / "answer.png").read_bytes() == commanded(folder, "--format", "png")
    with pytest.raises(AssertionError, match="401"):
        run([sys.executable, "-c", code.replace("Bearer secret", "Bearer x")], folder)


def test_every_function_is_described(address: str) -> None:
    with httpx.Client(base_url=address, auth=("anna", "secret"), trust_env=False) as web:
        found = web.get("/gradio_api/openapi.json").json()["paths"]
        names = [path.removeprefix("/gradio_api/call/v2/") for path in found if "/call/v2/" in path]
        assert names == ["models", "convert", "style", "sketch"]
        body = found["/gradio_api/call/v2/convert"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body["properties"]["strength"] == {"type": "number"}
        assert body["properties"]["output_format"] == {"enum": [value for _, value in files.OUTPUT_FORMATS]}
        (styled, _) = web.get("/api/models").json()
        assert styled["spec"]["labels"] == ["shoe", "handbag"]
        assert styled["spec"]["licence"] == "CC0"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "model: field required."),
        ({"model": "style.onnx"}, "there is no model 'style.onnx'; did you mean styled.onnx?"),
        ({"model": "styled.onnx", "label": "sho"}, "styled has no label 'sho'; did you mean shoe?"),
        ({"model": "styled.onnx", "style": "1,2"}, "style has shape (2,), but styled takes (5,); give 5 numbers."),
        ({"model": "styled.onnx", "detail": "0.5"}, "styled has no detail control; omit the detail."),
        ({"model": "styled.onnx", "strength": "much"}, "strength: input should be a valid number"),
        ({"model": "styled.onnx", "strength": "nan"}, "strength is nan; give 0"),
        ({"model": "styled.onnx", "output_format": "exe"}, "output_format: input should be 'same', 'png'"),
        ({"model": "styled.onnx", "quality": "9"}, "quality: extra inputs are not permitted."),
    ],
)
def test_what_is_wrong_is_one_plain_sentence(fields: dict[str, str], text: str, folder: Path, address: str) -> None:
    picture = {"picture": ("a.png", (folder / "drawing.png").read_bytes())}
    with httpx.Client(base_url=address, auth=("anna", "secret"), trust_env=False) as web:
        answer = web.post("/api/convert", data=fields, files=picture)
        assert (answer.status_code, answer.text[: len(text)]) == (422, text)
        assert "\n" not in answer.text
        answer = web.post("/api/convert", data=fields, files={"other": ("a.png", b"")})
        assert (answer.status_code, answer.text) == (422, "picture: missing; send the file as a field of a form.")


def test_the_formats_are_those_of_the_page() -> None:
    assert [*programs.Format.__args__] == [value for _, value in files.OUTPUT_FORMATS]
