"""What every request passes, and how the server ends."""

import asyncio
import hashlib
import logging
import mimetypes
import socket
import tempfile
import threading
from collections.abc import Generator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import BUILDS_PAGES, DOUBLE, INVERT, save_model
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from test_ui_accounts import basic

from translate import __version__
from translate.inference.engine import Engine
from ui import files
from ui.command import UiOptions, application, load
from ui.model import models_of
from ui.serving.accounts import Accounts
from ui.serving.guard import Guard
from ui.serving.server import Application, Server
from ui.site import Limits, Site

pytestmark = [
    *BUILDS_PAGES,
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),  # in Gradio's queue
]
LIMITS = Limits(upload_bytes=1000**2, pixels=5000, waiting=1)
ANNA = {"Authorization": basic("anna", "secret")}


def png(height: int = 24, width: int = 40, *, frames: int = 1) -> bytes:
    file = BytesIO()
    first, *others = (Image.new("RGB", (width, height), (number, 1, 2)) for number in range(frames))
    first.save(file, "PNG", save_all=frames > 1, append_images=others)
    return file.getvalue()


def site(folder: Path) -> Site:
    engine = Engine(save_model(folder / "invert.onnx", INVERT), threads=1)
    return Site(models_of([(engine, folder)]), folder / "cache", LIMITS)


def app_of(folder: Path, **options: Any) -> Application:
    (folder / "cache").mkdir(exist_ok=True)
    accounts = Accounts({"anna": "secret"}, delay_seconds=0) if "auth_file" in options else None
    return application(UiOptions(**options), site(folder), accounts)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    return app_of(tmp_path)


@pytest.fixture
def quiet() -> Generator[None]:
    """A server that stops says nothing any more; the next one may."""
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `web` has its model and its cache in."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def web(folder: Path) -> Generator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "cache"))
        with TestClient(app_of(folder).guard) as client:
            yield client


def test_nothing_but_the_health_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page, Gradio's routes and ours, MCP, and what does not exist."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    app = app_of(tmp_path, auth_file=Path("accounts.txt"), mcp=True)
    with TestClient(app.guard) as web:
        paths = ["/", "/config", "/metrics", "/api/models", "/sketch/sample/0/0", "/gradio_api/openapi.json"]
        paths += ["/gradio_api/info", f"/gradio_api/file={tmp_path / 'cache'}", "/mcp", "/nothing", "//healthz"]
        paths += ["/healthz/", "/Healthz", "/healthz/../metrics", "/theme.css", "/gradio_api/heartbeat/x"]
        for path in paths:
            for headers in ({}, {"Authorization": basic("anna", "wrong")}, {"Authorization": "Bearer x"}):
                answer = web.get(path, headers=headers)
                assert answer.status_code == 401, path
                assert answer.headers["WWW-Authenticate"].startswith("Basic")
        for path in ("/api/convert", "/mcp", "/sketch/live/t/1", "/gradio_api/upload", "/gradio_api/queue/join"):
            assert web.post(path, content=b"{}").status_code == 401, path
        assert web.post("/healthz", content=b"x").status_code == 401
        assert web.get("/healthz").status_code == 200
        for path in ("/", "/config", "/metrics", "/api/models", "/gradio_api/openapi.json"):
            assert web.get(path, headers=ANNA).status_code == 200, path


def test_health_and_metrics(web: TestClient) -> None:
    assert web.get("/healthz").json() == {"status": "ok", "version": __version__, "models": ["invert.onnx"]}
    before = numbers(web)
    form = {"model": "invert.onnx"}
    assert web.post("/api/convert", data=form, files={"picture": ("a.png", png())}).status_code == 200
    assert web.post("/api/convert", data=form, files={"picture": ("a.png", b"GIF89a")}).status_code == 422
    assert web.post("/sketch/live/tab-1/1", content=png()).status_code == 200
    assert web.get("/nothing/of/the/kind").status_code == 404
    after = numbers(web)
    changed = {name: after[name] - before.get(name, 0) for name in after if not name.startswith(("process", "python"))}
    assert changed['translate_requests_total{endpoint="/api/convert",status="200"}'] == 1
    assert changed['translate_requests_total{endpoint="/api/convert",status="422"}'] == 1
    assert changed['translate_requests_total{endpoint="/sketch/live/{tab}/{number:number}",status="200"}'] == 1
    assert changed['translate_requests_total{endpoint="page",status="404"}'] == 1
    assert changed['translate_request_seconds_count{endpoint="/api/convert"}'] == 2
    assert changed['translate_pictures_total{model="invert",result="converted"}'] == 2
    assert changed['translate_pictures_total{model="invert",result="failed"}'] == 1
    assert changed['translate_picture_seconds_count{model="invert"}'] == 3
    assert after["translate_waiting"] == 0


def test_the_type_of_a_result_is_told_wherever_the_server_runs(
    web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    mimetypes.guess_type("a.png")  # reads the lists of types, which slim containers do not have
    monkeypatch.delitem(mimetypes.types_map, ".webp", raising=False)
    form = {"model": "invert.onnx", "output_format": "webp"}
    answer = web.post("/api/convert", data=form, files={"picture": ("a.png", png())})
    assert answer.headers["Content-Type"] == "image/webp"


def numbers(web: TestClient) -> dict[str, float]:
    answer = web.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_other_sites_and_other_hosts(web: TestClient) -> None:
    for path in ("/gradio_api/queue/join", "/gradio_api/upload", "/api/convert", "/gradio_api/run/models"):
        answer = web.post(path, content=b"{}", headers={"Sec-Fetch-Site": "cross-site"})
        assert (answer.status_code, answer.text) == (403, "only the page itself may ask for this")
    for address in ("file=http://192.0.2.1/a.png", "file=https://192.0.2.1/a.png", "proxy=https://192.0.2.1/a.png"):
        answer = web.get(f"/gradio_api/{address}")
        assert (answer.status_code, answer.text) == (403, "this server asks no other hosts for files")


def test_a_file_may_not_be_an_address(web: TestClient) -> None:
    """Gradio would download it."""
    picture = {"path": "https://192.0.2.1/a.png", "meta": {"_type": "gradio.FileData"}}
    found = called(web, "sketch", photo=picture)
    assert "This server asks no other hosts for files" in found


def called(web: TestClient, name: str, **arguments: Any) -> str:
    """What a function of Gradio answers, as events."""
    event = web.post(f"/gradio_api/call/v2/{name}", json=arguments).json()["event_id"]
    return web.get(f"/gradio_api/call/{name}/{event}").text


def test_users_cannot_reach_files_of_others(web: TestClient, folder: Path) -> None:
    """Only who knows the whole name of a file can get it; and nobody can guess or list one, nor leave the cache."""
    cache = folder / "cache"
    (path,) = web.post("/gradio_api/upload", files={"files": ("a.png", png())}).json()
    assert web.get(f"/gradio_api/file={path}").content == png()
    (again,) = web.post("/gradio_api/upload", files={"files": ("b.png", png(24, 41))}).json()
    folders = [Path(each).parent for each in (path, again)]
    assert all(folder.parent == cache and len(folder.name) == 64 for folder in folders)
    # Not the digest of the file alone, which whoever has a copy could compute to see whether it was uploaded.
    assert folders[0].name != hashlib.sha256(png()).hexdigest()
    assert len({files.new_folder(cache).name for _ in range(3)}) == 3
    assert len(files.new_folder(cache).name) == 32
    private = folder / "private.png"
    private.write_bytes(png())
    for guess in (cache, folders[0], private, cache / ".." / "private.png", f"{cache}/%2e%2e/private.png"):
        assert web.get(f"/gradio_api/file={guess}").status_code == 403, guess
    answer = called(web, "sketch", photo={"path": str(private), "meta": {"_type": "gradio.FileData"}})
    assert answer.startswith("event: error")


def test_samples_are_shown_wherever_the_models_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only below the working folder or the system's folder for temporary files."""
    for name in ("one", "two"):
        (tmp_path / name / "samples").mkdir(parents=True)
        for file in ("samples/grey.png", "other.png"):
            (tmp_path / name / file).write_bytes(png())
        save_model(tmp_path / name / f"{name}.onnx", DOUBLE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(elsewhere / "cache"))
    found = load([str(tmp_path / name / f"{name}.onnx") for name in ("one", "two")], "cpu")
    app = application(UiOptions(), Site(models_of(found), elsewhere / "cache"), None)
    number = next(number for number, event in app._page.fns.items() if event.name == "_on_model")
    with TestClient(app.guard) as web:
        web.post("/gradio_api/queue/join", json={"data": [1], "fn_index": number, "session_hash": "page"})
        told = web.get("/gradio_api/queue/data?session_hash=page").text
        assert '"success":true' in told
        assert web.get(f"/gradio_api/file={tmp_path / 'two' / 'samples' / 'grey.png'}").content == png()
        assert web.get(f"/gradio_api/file={tmp_path / 'two' / 'other.png'}").status_code == 403


def test_what_is_too_large_is_refused_before_it_is_read(web: TestClient) -> None:
    most = LIMITS.upload_bytes
    for path in ("/api/convert", "/gradio_api/queue/join", "/nothing"):
        answer = web.post(path, content=b"", headers={"Content-Length": str(3 * most)})
        assert (answer.status_code, answer.text) == (413, "This is too large; at most 2 MB are taken.")
    answer = web.post("/gradio_api/queue/join", content=iter([bytes(most)] * 3))  # of unknown length
    assert (answer.status_code, answer.text) == (413, "This is too large; at most 2 MB are taken.")
    form = {"model": "invert.onnx"}
    answer = web.post("/api/convert", data=form, files={"picture": ("a.png", bytes(most + 1))})
    assert (answer.status_code, answer.text) == (422, "This file is too large; use one of up to 1 MB.")
    answer = web.post("/gradio_api/upload", files={"files": ("a.png", bytes(most + 1))})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.png", png(80, 100), "a.png: 100 x 80 pixels is too large, at most 0.005 megapixels are taken here"),
        ("a.png", png(40, 50, frames=3), "a.png: 50 x 40 pixels and 3 frames is too large"),
        ("a.exe", png(), "a.exe: not a picture that can be read"),
        ("a.png", b"<svg>", "a.png: not a PNG"),
        ("a.png", png()[:60], "a.png: damaged picture"),
    ],
)
def test_uploads_are_checked_before_they_are_decoded(name: str, data: bytes, text: str, web: TestClient) -> None:
    answer = web.post("/api/convert", data={"model": "invert.onnx"}, files={"picture": (name, data)})
    assert answer.status_code == 422
    assert answer.text.startswith(text)
    (path,) = web.post("/gradio_api/upload", files={"files": (name, data)}).json()
    assert text in called(web, "sketch", photo={"path": path, "meta": {"_type": "gradio.FileData"}})


def test_pages_count_too(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (50, 40), (number, 1, 2)) for number in range(3)]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    files.check_pixels(tmp_path / "a.tiff", "a.tiff", 6000)
    with pytest.raises(files.TooLarge, match=r"^a\.tiff: 50 x 40 pixels and several pages is too large"):
        files.check_pixels(tmp_path / "a.tiff", "a.tiff", 5999)


@pytest.mark.parametrize("path", ["/tool/echo/a%20b", "/echo/a%20b"])
def test_the_prefix_may_be_left_by_the_proxy_or_removed(path: str) -> None:
    async def echo(request: Request) -> Response:
        return PlainTextResponse(request.scope["path"])

    routes = [Route("/echo/{rest}", echo)]
    web = TestClient(
        Guard(Starlette(routes=routes), routes, accounts=None, root_path="/tool", upload_bytes=10),
        follow_redirects=False,
    )
    assert web.get(path).text == "/echo/a b"
    answer = web.get("/tool")
    assert (answer.status_code, answer.headers["Location"]) == (307, "/tool/")
    assert web.get("/toolbox/echo/a").status_code == 404


def test_the_page_knows_its_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    with TestClient(app_of(tmp_path, root_path="/tool").guard) as web:
        for path in ("/config", "/tool/config"):
            assert web.get(path).json()["root"] == "http://testserver/tool"
        assert web.get("/tool/healthz").status_code == 200


def test_when_too_many_wait_others_are_refused(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is converted, one waits, and the third is told to come again; stopping lets the first two finish."""
    begun, go = threading.Event(), threading.Event()
    convert_file = files.convert_file

    def slow(*args: Any, **options: Any) -> Any:
        begun.set()
        assert go.wait(20)
        return convert_file(*args, **options)

    monkeypatch.setattr(files, "convert_file", slow)
    form, picture = {"model": "invert.onnx"}, {"picture": ("a.png", png())}

    async def run() -> None:
        transport = httpx.ASGITransport(app.guard)
        async with (
            app.guard._app.router.lifespan_context(app.guard._app),
            httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as web,
        ):

            async def post() -> httpx.Response:
                return await web.post("/api/convert", data=form, files=picture)

            tasks = [asyncio.create_task(post())]
            await asyncio.to_thread(begun.wait, 60)
            tasks.append(asyncio.create_task(post()))
            while app._site.line.waiting < 1:
                await asyncio.sleep(0.001)
            assert "translate_waiting 1.0" in (await web.get("/metrics")).text
            refused = await post()
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
            assert refused.text == "1 requests are waiting already; try again in a minute."
            assert not await app._still(0.0)  # nothing finishes so quickly
            stopping = asyncio.create_task(app.finish(60))
            while not app.guard.stopping:
                await asyncio.sleep(0.001)
            health = await web.get("/healthz")
            assert (health.status_code, health.json()["status"]) == (503, "stopping")
            refused = await post()
            assert (refused.status_code, refused.text) == (503, "The server is being stopped; try again later.")
            assert not stopping.done()
            go.set()
            assert [answer.status_code for answer in await asyncio.gather(*tasks)] == [200, 200]
            assert await stopping

    try:
        asyncio.run(asyncio.wait_for(run(), 60))
    finally:
        go.set()
    assert [path for path in (tmp_path / "cache").iterdir() if len(path.name) == 32] == []  # nothing is left behind


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_a_server_in_a_thread_starts_and_stops(app: Application, quiet: None) -> None:
    server = Server(app, "127.0.0.1", port := free_port())
    server.start()
    assert server.address == f"http://127.0.0.1:{port}/"
    assert httpx.get(f"{server.address}healthz", trust_env=False).json()["status"] == "ok"
    with httpx.stream("GET", f"{server.address}gradio_api/heartbeat/page", trust_env=False, timeout=20) as heart:
        beats = heart.iter_bytes()
        assert b"ALIVE" in next(beats)
        assert server.stop()  # a page that is open does not hold it up
        assert b"".join(beats) == b""
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.address}healthz", trust_env=False)


def test_what_takes_too_long_is_given_up(app: Application, quiet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go, given_up = threading.Event(), threading.Event(), list[bool]()

    def slow(*_: Any, **__: Any) -> Any:
        begun.set()
        given_up.append(not go.wait(60))
        raise files.ImageError("too late")

    monkeypatch.setattr(files, "convert_file", slow)
    server = Server(app, "127.0.0.1", free_port())
    server.start()
    form, picture = {"model": "invert.onnx"}, {"picture": ("a.png", png())}
    post = threading.Thread(
        target=lambda: httpx.post(f"{server.address}api/convert", data=form, files=picture, trust_env=False, timeout=60)
    )
    post.start()
    try:
        assert begun.wait(60)
        assert not server.stop(0.0)
        assert given_up == []  # it did not wait
    finally:
        go.set()
        post.join(60)
        server._thread.join(60)
    assert given_up == [False]
