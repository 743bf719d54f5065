"""What the sketch canvas asks for, without a browser."""

import asyncio
import base64
import json
import re
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import INVERT, save_model
from nodes import node
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient
from test_engine import save_sum

from translate.inference.engine import Engine
from translate.inference.models import shipped
from translate.pictures.lines import draw_lines
from translate.spec import ModelSpec
from ui.model import models_of
from ui.site import Busy, Site
from ui.sketch import routes
from ui.sketch.routes import Studio

STYLED = ModelSpec(name="styled", task="sketch-to-photo", architecture="", labels=("shoe", "bag"), style_size=2)


def png(image_HWC: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(image_HWC).save(file, "PNG")
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    sample = tmp_path / "shoe-1.png"
    Image.new("L", (32, 32), 255).save(sample)
    paths = save_model(tmp_path / "invert.onnx", INVERT), save_sum(tmp_path / "styled.onnx", STYLED)
    return Studio(Site(models_of([(Engine(path), tmp_path) for path in paths]), tmp_path / "cache"))


@pytest.fixture
def web(studio: Studio) -> TestClient:
    return TestClient(Starlette(routes=studio.routes()))


def grey(level: int) -> np.ndarray:
    return np.full((64, 48, 3), level, np.uint8)


def test_a_drawing_becomes_a_photo(web: TestClient) -> None:
    answer = web.post("/sketch/live/tab/1", content=png(grey(255)))
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Cache-Control"] == "no-store"
    np.testing.assert_array_equal(pixels(answer.content), grey(0))
    clear = np.dstack([grey(0), np.zeros((64, 48), np.uint8)])  # transparent is paper
    np.testing.assert_array_equal(pixels(web.post("/sketch/live/tab/2", content=png(clear)).content), grey(0))


@pytest.mark.parametrize(
    ("chosen", "added"), [({}, 0), ({"label": "bag"}, 1), ({"style": "20,10"}, 30), ({"style": "0"}, 0)]
)
def test_label_and_style(chosen: dict[str, str], added: int, web: TestClient) -> None:
    answer = web.post("/sketch/live/tab/1", params={"model": 1, **chosen}, content=png(grey(100)))
    np.testing.assert_allclose(pixels(answer.content), grey(100 + added), atol=1)


@pytest.mark.parametrize(
    ("address", "body", "status", "text"),
    [
        ("live/t/1", b"", 422, "The drawing: "),
        ("live/t/1", b"<svg>", 422, "The drawing: not a PNG"),
        ("live/t/1?label=shoe", png(grey(1)), 422, "invert was trained without labels; omit the label."),
        ("live/t/1?model=1&label=sho", png(grey(1)), 422, "styled has no label 'sho'; did you mean shoe?"),
        ("live/t/1?model=1&style=1,2,3", png(grey(1)), 422, r"style has shape \(3,\), but styled takes \(2,\)"),
        ("live/t/1?model=1&style=0.5", png(grey(1)), 422, "style is '0.5'; give a whole number"),
        ("live/t/1?model=2", png(grey(1)), 400, ""),
        ("live/t/1?model=-1", png(grey(1)), 400, ""),
        ("live/t/1", png(np.zeros((1025, 1025), np.uint8)), 422, "The drawing: 1025 x 1025 pixels is too large"),
        ("picture?name=a.svg", b"<svg>", 422, r"a\.svg: not a picture that can be read; use PNG"),
        ("picture?name=a.png", b"<svg>", 422, r"a\.png: not a PNG"),
        ("picture", png(grey(1)), 422, "this file: not a picture"),
        ("file?name=a.png&format=exe", png(grey(1)), 422, "the format exe is unknown; choose one of the list"),
        ("file?name=a.png&label=x", png(grey(1)), 422, "invert was trained without labels"),
        ("file?name=a.png", b"GIF89a", 422, r"a\.png: damaged picture"),
        ("look", png(grey(1)), 422, "The drawing: "),
        ("sample/0/1", None, 404, ""),
        ("sample/2/0", None, 404, ""),
    ],
)
def test_what_is_wrong_is_one_plain_sentence(
    address: str, body: bytes | None, status: int, text: str, web: TestClient, tmp_path: Path
) -> None:
    answer = web.get(f"/sketch/{address}") if body is None else web.post(f"/sketch/{address}", content=body)
    assert answer.status_code == status
    assert str(tmp_path) not in answer.text
    if text:
        assert re.match(text, answer.text), answer.text
        assert "\n" not in answer.text
        assert answer.text[-1] in ".?"
    cache = tmp_path / "cache"
    assert not cache.exists() or list(cache.iterdir()) == []


def test_too_many_bytes_are_refused_before_they_are_read(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    long = {"Content-Length": str(routes.MAX_SHEET_BYTES + 1)}
    answer = web.post("/sketch/live/tab/1", content=b"", headers=long)
    assert (answer.status_code, answer.text) == (422, "This file is too large; use one of up to 8 MB.")
    answer = web.post("/sketch/live/tab/1", content=iter([b"of unknown length"]))
    assert answer.status_code == 411


def test_other_sites_are_refused(web: TestClient) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        headers = {"Sec-Fetch-Site": site}
        assert web.post("/sketch/live/tab/1", content=png(grey(9)), headers=headers).status_code == status
        assert web.get("/sketch/sample/0/0", headers=headers).status_code == status


def test_opened_pictures_come_with_their_lines(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    photo_HWC = rng.integers(0, 256, (3, 2, 3), np.uint8).repeat(32, axis=0).repeat(32, axis=1)
    found = web.post("/sketch/picture?name=a.png", content=png(photo_HWC)).json()
    shown, lines = (pixels(base64.b64decode(found[name].split(",")[1])) for name in ("picture", "lines"))
    np.testing.assert_array_equal(shown, photo_HWC)
    np.testing.assert_array_equal(lines, draw_lines(photo_HWC))
    assert not found["drawing"]
    assert web.post("/sketch/picture?name=a.png", content=png(draw_lines(photo_HWC))).json()["drawing"]
    monkeypatch.setattr(routes, "OPENED_SIDE", 48)
    found = web.post("/sketch/picture?name=a.png", content=png(photo_HWC)).json()
    assert pixels(base64.b64decode(found["picture"].split(",")[1])).shape == (48, 32, 3)


def test_samples(web: TestClient, tmp_path: Path) -> None:
    assert web.get("/sketch/sample/1/0").content == (tmp_path / "shoe-1.png").read_bytes()


@pytest.mark.skipif(not shipped(), reason="no model is shipped")
def test_a_look_is_read_off_a_photo(tmp_path: Path) -> None:
    studio = Studio(Site(models_of([(Engine("sketch-to-photo"), tmp_path)]), tmp_path))
    web = TestClient(Starlette(routes=studio.routes()))
    drawing_HWC = np.full((64, 64, 3), 255, np.uint8)
    drawing_HWC[16:48, 16:48] = 0
    drawing_HWC[18:46, 18:46] = 255
    photo_HWC = np.full((64, 64, 3), (20, 40, 120), np.uint8)
    parts = {"drawing": ("d.png", png(drawing_HWC)), "photo": ("p.png", png(photo_HWC))}
    style = web.post("/sketch/look", params={"label": "handbag"}, files=parts).json()["style"]
    assert len(style) == 5
    assert style[1] < -0.5  # blue, not orange
    bad = {**parts, "photo": ("p.png", b"GIF89a")}
    answer = web.post("/sketch/look", files=bad)
    assert (answer.status_code, answer.text[:26]) == (422, "p.png: damaged picture (un")


def test_of_many_drawings_only_the_newest_is_made(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six drawings of one tab at once, and one of another: the one at work and the newest are made, others are not."""
    begun, go, made = threading.Event(), threading.Event(), list[int]()

    def slow(_: Engine, body: bytes, __: dict[str, object]) -> bytes:
        made.append(int(body))
        begun.set()
        assert go.wait(20)
        return body

    monkeypatch.setattr(routes, "_photo", slow)

    async def post(tab: str, number: int) -> int:
        messages = [{"type": "http.request", "body": str(number).encode()}]

        async def receive() -> dict[str, object]:
            if messages:
                return messages.pop()
            await asyncio.sleep(3600)  # a browser that stays
            return {}

        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
        scope["path_params"] = {"tab": tab, "number": number}
        return (await studio._live(Request(scope, receive))).status_code

    async def run() -> list[int]:
        tasks = [asyncio.create_task(post("a", 1))]
        await asyncio.to_thread(begun.wait, 20)
        tasks += [asyncio.create_task(post("a", number)) for number in (2, 3, 5, 4)]
        tasks.append(asyncio.create_task(post("b", 7)))
        while studio._newest.get("b") != 7:
            await asyncio.sleep(0)
        go.set()
        return list(await asyncio.gather(*tasks))

    assert asyncio.run(run()) == [200, 204, 204, 200, 204, 200]
    assert made == [1, 5, 7]


def test_old_tabs_are_forgotten(studio: Studio, web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MAX_TABS", 2)
    for tab in "abca":
        assert web.post(f"/sketch/live/{tab}/3", content=png(grey(1))).status_code == 200
    assert list(studio._newest) == ["c", "a"]


ASKING = """
globalThis.document = { baseURI: "http://localhost/" };
globalThis.word = (key, { status } = {}) => `${key} ${status}`;
globalThis.fetch = async () => new Response(TEXT, { status: STATUS, headers: { "Content-Type": TYPE } });
ask("sketch/picture", {}).then(() => process.exit(1), (error) => console.log(error.message));
"""


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [(503, "text/plain; charset=utf-8", True), (422, "text/plain", True), (503, "text/html", False)],
)
def test_the_canvas_says_what_the_server_says(status: int, kind: str, said: bool, tmp_path: Path) -> None:
    """A proxy answers 503 with a page of its own."""
    facts = {"TEXT": "Too many.", "STATUS": status, "TYPE": kind}
    script = (Path(routes.__file__).parents[1] / "ask.js").read_text(encoding="utf-8") + ASKING
    for name, value in facts.items():
        script = script.replace(name, json.dumps(value))
    assert node("-e", script, cwd=tmp_path) == ("Too many.\n" if said else f"page.broken {status}\n")


def test_a_full_queue_is_told_in_the_language_of_the_page(
    studio: Studio, web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise Busy("page.busy", waiting=20)

    monkeypatch.setattr(studio._line, "turn", full)
    for language, told in (("en", "20 requests are waiting already"), ("de-DE", "Es warten schon 20 Anfragen; bitte")):
        answer = web.post("/sketch/picture?name=a.png", content=png(grey(1)), headers={"Accept-Language": language})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
        assert answer.text.startswith(told)
        assert answer.headers["Content-Type"].startswith("text/plain")
