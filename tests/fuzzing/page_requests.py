"""Requests to the page without a server: the routes of sketches, batches, trainings and programs, in this process."""

import asyncio
import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from conftest import INVERT, save_model
from PIL import Image
from starlette.applications import Starlette

from translate.conversion.worker import Conversion
from translate.errors import TranslateError
from translate.inference.engine import Engine
from translate.spec import ModelSpec
from ui import actions
from ui.batch.jobs import JobStore, Options, owner_of
from ui.batch.routes import COOKIE, Batches
from ui.model import models_of
from ui.refused import Refused
from ui.serving.programs import Programs, Wanted
from ui.site import Limits, Site
from ui.sketch.routes import Studio
from ui.training.data_root import DataRoot
from ui.training.plan import Pictures, Plan
from ui.training.runs import Runs
from ui.training.tab import Training

MOST_PIXELS = 1 << 20
STYLED = ModelSpec(
    name="styled", task="sketch-to-photo", architecture="", labels=("shoe", "bag"), style_size=5, style_kind="colours"
)


class NoRuns(Runs):
    """Checks all that is asked, and starts nothing."""

    def check(self, pictures: Pictures, sheet: Path) -> dict[str, Any]:
        return {"command": [str(self.data_root.resolve(pictures.folder)), *pictures.options()]}

    def start(self, plan: Plan) -> Any:
        self.check(plan, Path())
        raise Refused("train.no_budget")


@cache
def site(folder: Path) -> tuple[Site, Starlette]:
    """A page with two tiny models, and its application."""
    from test_engine import save_sum

    data = folder / "data" / "shoes"
    data.mkdir(parents=True)
    Image.new("RGB", (40, 40), "red").save(data / "a.png")
    engines = [
        (Engine(path, threads=1, device="cpu"), data)
        for path in (save_model(folder / "invert.onnx", INVERT), save_sum(folder / "styled.onnx", STYLED))
    ]
    store = JobStore(folder / "jobs")
    runs = NoRuns(DataRoot(data.parent), folder / "runs", folder / "models")
    limits = Limits(upload_bytes=1 << 20, pixels=MOST_PIXELS)
    made = Site(models_of(engines), folder / "cache", limits=limits, jobs=store, runs=runs)
    (folder / "cache").mkdir()
    routes = [
        *Studio(made).routes(),
        *Batches(made, store).routes(),
        *Programs(made).routes(),
        *Training(runs, folder / "cache").routes(),
    ]
    return made, Starlette(routes=routes)


def _job(made: Site) -> str:
    """A job that takes files."""
    assert made.jobs is not None
    for row in made.jobs.folder.glob("[0-9a-f]" * 32):
        found = made.jobs.find(row.name, owner_of("abc"))
        if found is not None and found.state == "receiving" and found.total < 20:
            return found.id
        made.jobs.delete(row.name)
    options = Options(model=made.models[0].engine.path, command="invert.onnx", how=Conversion())
    return made.jobs.add(owner_of("abc"), "a", options).id


def answered(folder: Path, request: bytes) -> int:
    """The status of the answer to a request: a line `METHOD /path?query`, lines of headers, an empty line, the body.

    `JOB` in the path stands for a job of the browser whose cookie is `abc`.

    Raises:
        Exception: what a server would answer with status 500.
    """
    head, _, body = request.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.partition(b" ")
    path, _, query = target.partition(b"?")
    made, app = site(folder)
    path = path.replace(b"/JOB/", f"/{_job(made)}/".encode()) if b"/JOB/" in path else path
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    headers.setdefault(b"content-length", str(len(body)).encode())
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST" if method == b"POST" else "GET",
        "scheme": "http",
        "path": "/" + unquote_to_bytes(path).decode("utf-8", "replace").lstrip("/"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(headers.items()),
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
    }
    statuses: list[int] = []
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    _loop().run_until_complete(app(scope, receive, send))
    return statuses[0]


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def close(folder: Path) -> None:
    """Close what `answered` has opened."""
    jobs = site(folder)[0].jobs
    assert jobs is not None
    jobs.close()
    _loop().close()
    site.cache_clear()
    _loop.cache_clear()


def event(folder: Path, text: str) -> None:
    """What a component or a program sends, as JSON: `{"of": name of a function, "values": its arguments}`.

    Raises:
        TranslateError: it is refused.
    """
    try:
        found: Any = json.loads(text)
        kind, values = found["of"], found["values"]
        given = dict(values)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise TranslateError("not an event") from None
    made, _ = site(folder)
    engine = made.models[1].engine
    if kind == "wanted":
        Wanted.of(given).conversion(made).check(engine)
    elif kind == "question":
        try:
            plan = Plan(**given)
        except TypeError:  # names of fields, see `ui.training.tab`
            raise TranslateError("no such question") from None
        assert made.runs is not None
        made.runs.check(plan, Path())
    elif kind == "upload":
        if isinstance(given.get("path"), str):  # as `Programs` checks it
            actions.uploaded_file(given, made.cache)
    elif kind == "conversion":
        names = ("label", "style", "detail", "output_format", "strength")
        actions.conversion(engine.spec, *(given.get(name) for name in names)).check(engine)


def requests(png: bytes, archive: bytes) -> list[bytes]:
    """One good request for each route."""
    cookie = f"cookie: {COOKIE}=abc\n".encode()
    plan = json.dumps(QUESTION).encode()
    form = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="%s"; filename="a.png"\r\n\r\n%s\r\n'
    kind = b"content-type: multipart/form-data; boundary=b\n\n"
    wanted = (
        form % (b"model", b"styled.onnx") + form % (b"style", b"3") + form % (b"strength", b"0.5")
        + form % (b"output_format", b"png")
    )  # fmt: skip
    return [
        b"POST /sketch/live/t/1?model=0\n\n" + png,
        b"POST /sketch/live/t/1?model=1&label=bag&style=3\n\n" + png,
        b"POST /sketch/live/t/1?model=1&style=0.5,1,0,0,-1\n\n" + png,
        b"POST /sketch/picture?name=a.png&model=0\n\n" + png,
        b"POST /sketch/file?name=a.png&model=1&label=bag&style=2&format=png\n\n" + png,
        b"GET /sketch/sample/0/0\nsec-fetch-site: same-origin\n\n",
        b"POST /sketch/look?model=1&label=bag\n"
        + kind
        + file % (b"drawing", png)
        + file % (b"photo", png)
        + b"--b--\r\n",
        b"GET /batch/jobs\n" + cookie + b"\n",
        b"POST /batch/jobs?model=1&style=2&label=bag&format=png&detail=&strength=0.5&title=a\n" + cookie + b"\n",
        b"POST /batch/jobs/JOB/files?name=a.png&modified=1700000000000\n" + cookie + b"\n" + png,
        b"POST /batch/jobs/JOB/files?name=a/b.zip&modified=1\n" + cookie + b"\n" + archive,
        *(b"POST /batch/jobs/JOB/%s\n%s\n" % (act, cookie) for act in (b"begin", b"stop", b"go-on", b"delete")),
        b"GET /batch/jobs/JOB/results?from=0\n" + cookie + b"\n",
        b"GET /batch/jobs/JOB/result?name=a.png\n" + cookie + b"\n",
        b"GET /batch/jobs/JOB/thumbnail?name=a.png\n" + cookie + b"\n",
        b"GET /batch/jobs/JOB/zip\n" + cookie + b"\n",
        b"GET /api/models\n\n",
        b"POST /api/convert\n" + kind + wanted + file % (b"picture", png) + b"--b--\r\n",
        b"GET /train/state\n\n",
        b"POST /train/check\naccept-language: de\n\n" + json.dumps({"task": "pix2pix", "folder": "shoes"}).encode(),
        b"POST /train/start\n\n" + plan,
        b"GET /train/run/shoes-1\n\n",
        b"GET /train/run/shoes-1/sample/1\n\n",
        b"POST /train/run/shoes-1/stop\n\n",
    ]


QUESTION = {
    "task": "super-resolution", "folder": "shoes", "layout": "auto", "labels": False, "preset": "modern",
    "minutes": 5.0, "pictures": None, "start_from": "", "image_size": 64,
}  # fmt: skip


def events() -> list[bytes]:
    """One good event of each kind."""
    wanted = {"model": "styled", "label": "bag", "style": "3", "strength": 0.5, "output_format": "png"}
    upload = {"path": "x/a.png", "orig_name": "a.png"}
    pictured = {"label": "bag", "style": 3, "detail": 0.5, "output_format": "png", "strength": 1.0}
    found = {"wanted": wanted, "question": QUESTION, "upload": upload, "conversion": pictured}
    return [json.dumps({"of": kind, "values": values}).encode() for kind, values in found.items()]
