"""What the tab "Batch" asks for, without a browser."""

import io
import mimetypes
import zipfile
from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import DOUBLE, save_model
from httpx import Response
from PIL import Image
from programs import until
from starlette.applications import Starlette
from starlette.testclient import TestClient
from test_engine import save_sum
from test_ui_jobs import made, record

from translate.cli.main import main
from translate.conversion.manifest import FILE_NAME, Manifest
from translate.inference.engine import Engine
from translate.spec import ModelSpec
from ui.batch import tab as batch
from ui.batch.jobs import JobStore
from ui.batch.routes import COOKIE, Batches
from ui.batch.worker import JobWorker, Precedence
from ui.model import models_of
from ui.site import Site
from ui.sketch.routes import Studio

ALL = ModelSpec(
    name="all", task="day-to-night", architecture="", labels=("street", "square"), style_size=2, detail=True
)
Members = dict[str, bytes]


@pytest.fixture
def site(tmp_path: Path) -> Generator[Site]:
    store = JobStore(tmp_path / "jobs")
    paths = save_model(tmp_path / "double.onnx", DOUBLE), save_sum(tmp_path / "all.onnx", ALL)
    yield Site(models_of([(Engine(path, threads=1), tmp_path) for path in paths]), tmp_path / "cache", jobs=store)
    store.close()


def browser(site: Site) -> TestClient:
    """A browser that has opened the page."""
    assert site.jobs is not None
    client = TestClient(Starlette(routes=Batches(site, site.jobs).routes()))
    assert client.get("/batch/jobs").status_code == 200
    return client


@pytest.fixture
def web(site: Site) -> TestClient:
    return browser(site)


@pytest.fixture
def png(image_HWC: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, "PNG")
    return file.getvalue()


def add(web: TestClient, **chosen: object) -> str:
    answer = web.post("/batch/jobs", params={"model": 0, **chosen})
    assert answer.status_code == 200, answer.text
    return f"/batch/jobs/{answer.json()['id']}"


def send(web: TestClient, job: str, name: str, content: bytes, **more: object) -> Response:
    return web.post(f"{job}/files", params={"name": name, **more}, content=content)


def shown(web: TestClient) -> list[dict[str, object]]:
    return web.get("/batch/jobs").json()["jobs"]


def finish(site: Site, web: TestClient) -> dict[str, object]:
    """Work until the newest job is finished; how it is shown."""
    assert site.jobs is not None
    worker = JobWorker(site.jobs, site.precedence, "cpu")
    worker.start()
    until(lambda: shown(web)[0]["state"] == "finished")
    worker.close()
    return shown(web)[0]


def archive(members: Members) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return file.getvalue()


# --- from files to files


def test_files_become_what_the_command_makes(site: Site, web: TestClient, png: bytes, tmp_path: Path) -> None:
    job = add(web, title="  Our\n holiday ", format="webp")
    for name in ("b.png", "sub/ä.png", "b.png"):
        assert send(web, job, name, png, modified=1_700_000_000_123).status_code == 204
    assert send(web, job, "bad.png", b"no picture").status_code == 204
    assert shown(web) == []
    assert web.post(f"{job}/begin").status_code == 204
    assert shown(web)[0]["state"] == "waiting"
    found = finish(site, web)
    command = "translate convert pictures results --model double.onnx --format webp"
    facts = {"title": "Our holiday", "total": 4, "done": 3, "failed": 1, "command": command, "model": "Double"}
    assert facts.items() <= found.items()

    assert site.jobs is not None
    (stored,) = site.jobs.folder.glob("?" * 32)
    assert (stored / "input" / "b.png").stat().st_mtime_ns == 1_700_000_000_123_000_000
    words = ["--model", str(tmp_path / "double.onnx"), "--format", "webp"]
    assert main(["convert", str(stored / "input"), str(tmp_path / "out"), *words]) == 1
    answer = web.get(f"{job}/zip")
    assert answer.headers["Content-Disposition"] == "attachment; filename*=utf-8''Our-holiday-double.zip"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    zipfile.ZipFile(io.BytesIO(answer.content)).extractall(tmp_path / "unpacked")
    assert made(tmp_path / "unpacked") == made(tmp_path / "out")
    assert sorted(made(tmp_path / "out")) == ["b-2.webp", "b.webp", "sub/ä.webp"]
    assert record(tmp_path / "unpacked") == record(tmp_path / "out")
    assert web.get(f"{job}/zip").content == answer.content


def test_it_is_noted_that_an_upload_goes_on(web: TestClient, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a large file would be taken for one whose upload stands still."""
    noted: list[str] = []
    monkeypatch.setattr("ui.batch.routes.TOUCH_SECONDS", 0.0)
    monkeypatch.setattr(JobStore, "touch", lambda _, job: noted.append(job))
    job = add(web)
    assert send(web, job, "a.png", png).status_code == 204
    assert set(noted) == {job.rpartition("/")[2]}


def test_the_command_goes_on_with_what_was_downloaded(
    site: Site, web: TestClient, png: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = archive({"2024/a.png": png, "2024/deep/b.png": png, "notes.txt": b"x", "__MACOSX/2024/._a.png": b"x"})
    (tmp_path / "holiday.zip").write_bytes(packed)
    job = add(web, title="holiday.zip", model=1, label="square", style="7", detail="0.5", strength="0.25")
    assert send(web, job, "holiday.zip", packed).status_code == 204
    assert web.post(f"{job}/begin").status_code == 204
    found = finish(site, web)
    assert found["total"] == 2
    assert found["notes"] == ["1 file was not a picture that can be read here: 1 .txt"]
    command = str(found["command"]).replace("all.onnx", str(tmp_path / "all.onnx"))
    words = command.replace("holiday.zip results", f"{tmp_path / 'holiday.zip'} {tmp_path / 'out'}").split()[1:]
    content = web.get(f"{job}/zip").content
    zipfile.ZipFile(io.BytesIO(content)).extractall(tmp_path / "out")
    assert sorted(made(tmp_path / "out")) == ["2024/a.png", "2024/deep/b.png"]
    before = made(tmp_path / "out")
    assert main(words) == 0
    assert "0 pictures converted" in (told := capsys.readouterr().out)
    assert "2 skipped" in told, "the record in the archive is the one of the command"
    assert main([*words[:2], str(tmp_path / "again"), *words[3:]]) == 0
    assert made(tmp_path / "again") == before


def test_results_and_thumbnails(site: Site, web: TestClient, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.batch.routes.SHOWN", 2)
    job = add(web)
    for name in ("c.png", "a.png", "b.tiff"):
        content = png
        if name.endswith("tiff"):
            Image.open(io.BytesIO(png)).save(file := io.BytesIO(), "TIFF")
            content = file.getvalue()
        assert send(web, job, name, content).status_code == 204
    web.post(f"{job}/begin")
    finish(site, web)
    assert web.get(f"{job}/results").json() == {"total": 3, "names": ["a.png", "b.tiff"]}
    assert web.get(f"{job}/results", params={"from": 2}).json() == {"total": 3, "names": ["c.png"]}
    for _ in range(2):
        answer = web.get(f"{job}/thumbnail", params={"name": "b.tiff"})
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.content)).size == (80, 48)
    for name, kind in (("a.png", "inline"), ("b.tiff", "attachment")):
        answer = web.get(f"{job}/result", params={"name": name})
        assert answer.headers["Content-Disposition"].startswith(kind)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert Image.open(io.BytesIO(answer.content)).size == (80, 48)
    for name in ("", ".", "../input/a.png", "/etc/hosts", "..\\input\\a.png", FILE_NAME, "none.png", "a.png\0"):
        for kind in ("result", "thumbnail"):
            assert web.get(f"{job}/{kind}", params={"name": name}).status_code == 404, name


@pytest.mark.parametrize(("suffix", "kind"), [("webp", "image/webp"), ("avif", "image/avif"), ("webm", "video/webm")])
def test_browsers_show_new_formats_wherever_the_server_runs(
    suffix: str, kind: str, site: Site, web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python itself does not know WebP and AVIF, and slim containers have no list of types."""
    mimetypes.guess_type("a.png")  # reads the lists
    for known in (".webp", ".avif"):
        monkeypatch.delitem(mimetypes.types_map, known, raising=False)
    job = add(web)
    assert site.jobs is not None
    output = site.jobs.folder / job.rpartition("/")[2] / "output"
    output.mkdir()
    if kind.startswith("image"):
        Image.new("RGB", (8, 8)).save(output / f"a.{suffix}")
    else:
        (output / f"a.{suffix}").write_bytes(b"\x1aE\xdf\xa3")
    answer = web.get(f"{job}/result", params={"name": f"a.{suffix}"})
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Disposition"].startswith("inline")


def test_stop_go_on_delete(site: Site, web: TestClient, png: bytes) -> None:
    job = add(web)
    send(web, job, "a.png", png)
    web.post(f"{job}/begin")
    for what, state in (("stop", "stopped"), ("stop", "stopped"), ("go-on", "waiting"), ("stop", "stopped")):
        assert web.post(f"{job}/{what}").status_code == 204
        assert shown(web)[0]["state"] == state
    assert send(web, job, "b.png", png).status_code == 409, "it has begun"
    assert web.post(f"{job}/delete").status_code == 204
    assert shown(web) == []
    assert web.post(f"{job}/delete").status_code == 404


def test_a_result_that_is_being_replaced_is_not_shown_as_the_old_one(site: Site, web: TestClient, png: bytes) -> None:
    job = add(web)
    for name in ("a.png", "b.png"):
        send(web, job, name, png)
    web.post(f"{job}/begin")
    finish(site, web)
    assert site.jobs is not None
    with Manifest(site.jobs.folder / job.rpartition("/")[2] / "output") as manifest:
        assert manifest.drop("a.png")
    assert web.get(f"{job}/results").json() == {"total": 1, "names": ["b.png"]}
    with zipfile.ZipFile(io.BytesIO(web.get(f"{job}/zip").content)) as packed:
        assert packed.namelist() == [FILE_NAME, "b.png"]
        assert b"a.png" not in packed.read(FILE_NAME)


def test_drawings_are_announced(site: Site, png: bytes) -> None:
    class Spy(Precedence):
        seen = 0

        def drawing(self) -> AbstractContextManager[None]:
            self.seen += 1
            return super().drawing()

    spy = Spy()
    web = TestClient(Starlette(routes=Studio(replace(site, precedence=spy)).routes()))
    assert web.post("/sketch/live/tab/1", content=png).status_code == 200
    assert spy.seen == 1


# --- who may see what


def test_others_see_nothing(site: Site, web: TestClient, png: bytes) -> None:
    job = add(web)
    send(web, job, "a.png", png)
    web.post(f"{job}/begin")
    finish(site, web)
    other, nobody = browser(site), browser(site)
    nobody.cookies.clear()
    assert shown(other) == []
    gets = ["zip", "results", "result?name=a.png", "thumbnail?name=a.png"]
    for client, status in ((other, 404), (nobody, 403), (web, 200)):
        assert {client.get(f"{job}/{path}").status_code for path in gets} == {status}
    for client, status in ((other, 404), (nobody, 403)):
        answers = [client.post(f"{job}/{path}") for path in ("files?name=a.png", "begin", "stop", "go-on", "delete")]
        assert {answer.status_code for answer in answers} == {status}
    assert shown(web)[0]["state"] == "finished"
    assert nobody.post("/batch/jobs", params={"model": 0}).status_code == 403


def test_the_secret_is_for_this_page_alone(site: Site, web: TestClient) -> None:
    fresh = TestClient(web.app, base_url="https://here")
    cookie = fresh.get("/batch/jobs").headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert all(mark in cookie for mark in ("HttpOnly", "SameSite=strict", "Secure", "Max-Age=")), cookie
    assert "Path" not in cookie, "only for /batch"
    assert "Secure" not in web.get("/batch/jobs").headers["Set-Cookie"], "without https there would be none"
    answer = web.post("/batch/jobs", params={"model": 0}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_a_second_server_only_shows(site: Site, web: TestClient, png: bytes) -> None:
    job = add(web)
    send(web, job, "a.png", png)
    web.post(f"{job}/begin")
    assert site.jobs is not None
    second = Site(site.models, site.cache, jobs=JobStore(site.jobs.folder))
    assert second.jobs is not None
    there = TestClient(Starlette(routes=Batches(second, second.jobs).routes()))
    there.cookies = web.cookies
    found = there.get("/batch/jobs").json()
    assert (found["works"], [one["state"] for one in found["jobs"]]) == (False, ["waiting"])
    for path in ("/batch/jobs?model=0", f"{job}/stop", f"{job}/delete"):
        answer = there.post(path)
        assert answer.status_code == 422
        assert answer.text.startswith("Another server works on these batches.")
    second.jobs.close()


# --- the tab


def test_the_tab_offers_what_the_models_have(site: Site) -> None:
    assert site.jobs is not None
    found = batch.settings(site, site.jobs)
    assert [group["task"] for group in found["groups"]] == ["day-to-night", "super-resolution"]
    (night,), (double,) = (group["models"] for group in found["groups"])
    assert [label["title"] for label in night["labels"]] == ["Street", "Square"]
    offered = ("index", "style", "detail", "strength")
    assert [night[name] for name in offered] == [1, True, True, True]
    assert [double[name] for name in offered] == [0, False, False, False]
    assert found["days"] == 7.0
