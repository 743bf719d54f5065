"""The tools for language models, asked by the public client of MCP, in this process and without a password.

With one, and over the network: `test_ui_programs.py` and `test_ui_server.py`.
"""

import asyncio
import base64
import json
import mimetypes
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import BUILDS_PAGES, INVERT, save_model
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from test_ui_server import png

from translate.inference.engine import Engine
from ui.command import UiOptions, application
from ui.model import models_of
from ui.serving.server import Application
from ui.site import Limits, Site

pytestmark = BUILDS_PAGES


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    engine = Engine(save_model(tmp_path / "invert.onnx", INVERT), threads=1)
    site = Site(models_of([(engine, tmp_path)]), tmp_path / "cache", Limits(pixels=5000))
    return application(UiOptions(mcp=True), site, None)


@asynccontextmanager
async def served(app: Application) -> AsyncGenerator[httpx.AsyncClient]:
    outer: Any = app.guard._app
    async with (
        outer.router.lifespan_context(outer),
        httpx.AsyncClient(transport=httpx.ASGITransport(app.guard), timeout=60) as web,
    ):
        yield web


def ask(app: Application, question: Callable[[ClientSession], Awaitable[None]]) -> None:
    async def run() -> None:
        async with (
            served(app) as web,
            streamable_http_client("http://127.0.0.1:7860/mcp", http_client=web) as (receive, send, _),
            ClientSession(receive, send) as session,
        ):
            await session.initialize()
            await question(session)

    asyncio.run(run())


def test_a_picture_goes_in_and_out(app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mimetypes.guess_type("a.png")  # reads the lists of types, which slim containers do not have
    monkeypatch.delitem(mimetypes.types_map, ".webp", raising=False)

    async def question(session: ClientSession) -> None:
        tools = (await session.list_tools()).tools
        assert [tool.name for tool in tools] == ["list_models", "translate_image"]
        assert all("path" not in tool.inputSchema["properties"] for tool in tools)
        listed = await session.call_tool("list_models", {})
        (entry,) = [json.loads(part.text) for part in listed.content if part.type == "text"]
        assert (entry["name"], entry["task"], entry["scale"]) == ("invert.onnx", "sketch-to-photo", 1)
        picture = encoded(png())
        lines = base64.encodebytes(png()).decode()
        assert "\n" in lines[:-1]
        for given in (picture, f"data:image/png;base64,{picture}", lines):
            found = await session.call_tool("translate_image", {"image_base64": given, "model": "invert.onnx"})
            assert not found.isError
            (image,) = found.content
            assert image.type == "image"
            assert image.mimeType == "image/png"
            pixels_HWC = np.asarray(Image.open(BytesIO(base64.b64decode(image.data))))
            np.testing.assert_array_equal(pixels_HWC, np.full((24, 40, 3), (255, 254, 253), np.uint8))
        for name, kind in (("webp", "image/webp"), ("jpg", "image/jpeg")):
            wanted = {"image_base64": picture, "model": "invert.onnx", "output_format": name}
            (image,) = (await session.call_tool("translate_image", wanted)).content
            assert image.type == "image"
            assert image.mimeType == kind

    ask(app, question)
    assert list((tmp_path / "cache").glob("[0-9a-f]" * 32)) == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"image_base64": "***"}, "image_base64: not base64; encode the bytes of the picture file"),
    ({"image_base64": "Füße"}, "image_base64: not base64; encode the bytes of the picture file"),
    ({"image_base64": encoded(b"<svg>")}, "image_base64: not a picture that can be read; use PNG"),
    ({"image_base64": encoded(png(80, 100))}, "picture.png: 100 x 80 pixels is too large"),
    ({"image_base64": encoded(png()[:60])}, "picture.png: damaged picture"),
    ({"model": "revert.onnx"}, "there is no model 'revert.onnx'; did you mean invert.onnx?"),
    ({"label": "shoe"}, "invert was trained without labels; omit the label"),
    ({"output_format": "tiff"}, "validation error"),
]


def test_what_is_wrong_is_told(app: Application, tmp_path: Path) -> None:
    async def question(session: ClientSession) -> None:
        for changed, text in WRONG:
            given = {"image_base64": encoded(png()), "model": "invert.onnx", **changed}
            found = await session.call_tool("translate_image", given)
            assert found.isError
            (part,) = found.content
            assert part.type == "text"
            assert text in part.text
            assert str(tmp_path) not in part.text

    ask(app, question)
    assert list((tmp_path / "cache").glob("[0-9a-f]" * 32)) == []


def test_no_website_gets_here_through_a_browser(app: Application) -> None:
    """By DNS rebinding: its name leads to this machine, but it is still its name."""

    async def run() -> list[int]:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        headers = {"Accept": "application/json, text/event-stream"}
        async with served(app) as web:
            answers = [
                await web.post(f"http://{host}/mcp", json=body, headers={**headers, **more})
                for host, more in (
                    ("127.0.0.1:7860", {}),
                    ("evil.example:7860", {}),
                    ("127.0.0.1:7860", {"Origin": "http://evil.example"}),
                )
            ]
            return [answer.status_code for answer in answers]

    assert asyncio.run(run()) == [200, 421, 403]
