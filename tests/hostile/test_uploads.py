"""Bombs sent to the page by every way that takes a picture: one line, and the next request is answered."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import bombs
import pytest
from conftest import DOUBLE, INVERT, save_model
from made_files import saved
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

import ui.sketch.routes
from translate.conversion.worker import Conversion
from translate.errors import ImageError
from translate.inference.engine import Engine
from translate.pictures import isolated
from ui import actions, files
from ui.model import models_of
from ui.serving.programs import Programs
from ui.site import Limits, Site
from ui.sketch.routes import Studio

PNG = saved(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG")
REFUSED = {
    "sides.png": "too large",
    "sides.webp": "too large",
    "frames.webp": "has 100000 frames, at most 10000 are taken here",
    "frames.gif": "has 100000 frames, at most 10000 are taken here",
    "frames.png": "too large",
    "directories.tif": "has 5000 pages, at most 1000 are taken here",
    "scans.jpg": "a JPEG of more than 100 scans",
    "inside.ico": "13000 x 13000 pixels is too large",
    "sides.jpg": "too large",
}


@pytest.fixture
def web(tmp_path: Path) -> Generator[TestClient]:
    engines = [Engine(save_model(tmp_path / "invert.onnx", INVERT), threads=1)]
    site = Site(models_of([(one, tmp_path / "none") for one in engines]), tmp_path / "cache", Limits())
    routes = [*Studio(site).routes(), *Programs(site).routes()]
    with TestClient(Starlette(routes=routes)) as client:
        yield client


@pytest.mark.parametrize("name", REFUSED)
def test_every_way_in(name: str, web: TestClient) -> None:
    data = bombs.PICTURES[name]()
    suffix = Path(name).suffix
    answers = [
        web.post("/sketch/picture", params={"name": name}, content=data),
        web.post("/sketch/file", params={"name": name}, content=data),
        web.post("/sketch/look", files={"drawing": ("a.png", PNG), "photo": (name, data)}),
        web.post("/api/convert", data={"model": "invert.onnx"}, files={"picture": (name, data)}),
    ]
    for answer in answers:
        assert answer.status_code == 422, answer.text
        assert answer.text.count("\n") <= 1
        assert suffix in answer.text
        assert REFUSED[name] in answer.text
    live = web.post("/sketch/live/tab/1", content=data)
    assert live.status_code in (200, 422)  # of a drawing, the first frame or page is taken
    assert web.post("/sketch/file", params={"name": "a.png"}, content=PNG).status_code == 200


def test_a_reader_that_dies_costs_one_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a decoder does that a file has brought to its end."""
    engine = Engine(save_model(tmp_path / "double.onnx", DOUBLE), threads=1)
    (tmp_path / "a.png").write_bytes(PNG)
    reader = isolated.IsolatedDecoder()
    monkeypatch.setattr(files, "READER", reader)
    dies = "import json; out = __import__('sys').stdout.buffer; body = json.dumps({'ready': True}).encode(); "
    dies += "out.write(len(body).to_bytes(4, 'little') + body); out.flush(); __import__('os').abort()"
    with monkeypatch.context() as patch:
        patch.setattr(isolated, "_START", dies)
        with pytest.raises(ImageError, match=r"^a\.png: cannot be read within 30 s and .* GB of memory; save it again"):
            files.convert_file(engine, tmp_path / "a.png", tmp_path / "out", Conversion())
    assert not list(tmp_path.glob("out/*"))
    made, _ = files.convert_file(engine, tmp_path / "a.png", tmp_path / "out", Conversion())
    assert made.is_file()
    reader.close()


def test_what_is_too_large_is_not_read_here_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when memory runs short after the size was checked: `translate convert` would read it band by band itself."""
    engine = Engine(save_model(tmp_path / "invert.onnx", INVERT), threads=1)
    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.setattr(files, "check_pixels", lambda *_: None)
    monkeypatch.setattr(Engine, "max_pixels", 10)
    with pytest.raises(ImageError, match=r"^a\.png: 8 x 8 pixels is too large"):
        files.convert_file(engine, tmp_path / "a.png", tmp_path / "out", Conversion())


def test_nothing_of_the_page_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is done with an upload, no reader of pictures is opened in this process."""
    engine = Engine(save_model(tmp_path / "double.onnx", DOUBLE), threads=1)
    site = Site(models_of([(engine, tmp_path / "none")]), tmp_path / "cache")
    gif = saved(Image.new("P", (8, 8)), "GIF", save_all=True, append_images=[Image.new("P", (8, 8), 1)])
    uploads = {"a.png": PNG, "b.gif": gif, "c.tif": saved(Image.new("L", (8, 8)), "TIFF"), "d.jpg": jpeg()}

    def opened(*_: Any, **__: Any) -> Any:
        raise AssertionError("read in this process")

    for name in ("decode._find", "decode._opened", "by_pillow.opener", "jpeg_traces.JpegImageFile"):
        monkeypatch.setattr(f"translate.pictures.{name}", opened)
    monkeypatch.setattr(Image, "open", opened)
    with TestClient(Starlette(routes=Studio(site).routes())) as web:
        for name, data in uploads.items():
            (tmp_path / name).write_bytes(data)
            how = actions.conversion(engine.spec, None, None, None, "same")
            made = actions.make(engine, tmp_path / name, tmp_path / "cache", how)
            assert made.result.is_file()
            assert made.shown is not None
            for path in ("/sketch/picture", "/sketch/file", "/sketch/live/tab/1"):
                answer = web.post(path, params={"name": name}, content=data)
                assert answer.status_code == 200, (path, answer.text)
    assert json.dumps(sorted(vars(ui.sketch.routes))).count("decode") == 0


def jpeg() -> bytes:
    return saved(Image.new("RGB", (8, 8), (1, 2, 3)), "JPEG")
