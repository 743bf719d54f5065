"""Downloads of the page carry credentials, unless the user declines them."""

import io
import zipfile
from collections.abc import Generator
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from browsing import PATIENCE_MS, served, visited
from conftest import BUILDS_PAGES, DOUBLE, INVERT, save_model
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.testclient import TestClient

from translate.conversion.worker import Conversion
from translate.credentials import identity
from translate.credentials.sign import MARK
from translate.credentials.verify import verify
from translate.errors import ConfigError, MissingExtra
from translate.inference.engine import Engine
from translate.tasks import TASKS
from ui import command
from ui.batch import tab as batch
from ui.batch.jobs import JobStore, Options
from ui.batch.routes import Batches
from ui.batch.worker import JobWorker, Precedence
from ui.model import models_of
from ui.serving.programs import Programs
from ui.site import Site
from ui.sketch.routes import Studio
from ui.sketch.studio import settings
from ui.tab import Choices, TaskTab

pytestmark = BUILDS_PAGES


@pytest.fixture
def png(image_HWC: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def site(tmp_path: Path) -> Generator[Site]:
    store = JobStore(tmp_path / "jobs")
    models = [Engine(save_model(tmp_path / f"{spec.name}.onnx", spec), threads=1) for spec in (INVERT, DOUBLE)]
    yield Site(models_of([(engine, tmp_path) for engine in models]), tmp_path / "cache", jobs=store, credentials="on")
    store.close()


def test_the_canvas(site: Site, png: bytes) -> None:
    web = TestClient(Starlette(routes=Studio(site).routes()))
    address = "/sketch/file?model=0&name=drawing.png"
    assert MARK in web.post(address, content=png).content
    assert MARK in web.post(f"{address}&credentials=on", content=png).content
    assert MARK not in web.post(f"{address}&credentials=off", content=png).content


def test_programs(site: Site, png: bytes) -> None:
    web = TestClient(Starlette(routes=Programs(site).routes()))
    for wanted, signed in (({}, True), ({"credentials": "true"}, True), ({"credentials": "false"}, False)):
        answer = web.post("/api/convert", data={"model": "invert.onnx", **wanted}, files={"picture": ("a.png", png)})
        assert answer.status_code == 200
        assert (MARK in answer.content) is signed


@pytest.mark.parametrize(("chosen", "signed"), [({}, True), ({"credentials": "off"}, False)])
def test_batches(chosen: dict[str, str], signed: bool, site: Site, png: bytes, tmp_path: Path) -> None:
    assert site.jobs is not None
    web = TestClient(Starlette(routes=Batches(site, site.jobs).routes()))
    web.get("/batch/jobs")
    job = f"/batch/jobs/{web.post('/batch/jobs', params={'model': 0, **chosen}).json()['id']}"
    web.post(f"{job}/files", params={"name": "a.png"}, content=png)
    assert web.post(f"{job}/begin").status_code == 204
    claimed = site.jobs.claim()
    assert claimed is not None
    JobWorker(site.jobs, Precedence(), "cpu")._run(claimed)
    with zipfile.ZipFile(io.BytesIO(web.get(f"{job}/zip").content)) as archive:
        (tmp_path / "a.png").write_bytes(archive.read("a.png"))
    assert verify(tmp_path / "a.png").state == ("valid" if signed else "none")
    (shown,) = web.get("/batch/jobs").json()["jobs"]
    assert ("--credentials on" in shown["command"]) is signed


def test_the_command_does_not_tell_where_the_certificate_is(tmp_path: Path) -> None:
    options = Options(model=tmp_path, command="mine", how=Conversion(credentials="/etc/keys/signing.pem"))
    assert options.words() == ["--model", "mine", "--credentials", "on"]
    assert Options.from_json(options.to_json()) == options


@pytest.mark.parametrize("credentials", ["on", "off"])
def test_what_is_offered(credentials: str, site: Site, tmp_path: Path) -> None:
    assert site.jobs is not None
    other = Site(site.models, tmp_path, jobs=site.jobs, credentials=credentials)
    offered = credentials == "on"
    assert settings(TASKS["sketch-to-photo"], site.of_task("sketch-to-photo"), other)["credentials"] is offered
    assert batch.settings(other, site.jobs)["credentials"] is offered
    assert other.signed(True) == credentials
    assert other.signed(False) == "off"


class TestTab:
    """The tab of a task whose input is a file."""

    @pytest.mark.parametrize("wanted", [True, False])
    def test_download(self, wanted: bool, site: Site, image_HWC: np.ndarray, tmp_path: Path) -> None:
        import gradio as gr

        with gr.Blocks():
            tab = TaskTab(TASKS["super-resolution"], site.of_task("super-resolution"), heading=True, site=site)
        assert tab.choices.credentials.visible
        Image.fromarray(image_HWC).save(tmp_path / "a.png")
        choices = Choices(0, None, None, None, "same", wanted, None)
        (download,) = tab._made(gr.Request(headers={}), tmp_path / "a.png", choices, 1.0, shown=False)[2:]
        assert (MARK in Path(download.value["path"]).read_bytes()) is wanted


def test_on_by_default_where_it_is_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command._credentials("") == "on"
    assert command._credentials("off") == "off"
    monkeypatch.setattr(identity, "data_folder", lambda: tmp_path / "file")
    (tmp_path / "file").write_text("no folder")
    assert command._credentials("") == "off"
    assert "results carry no content credentials: " in capsys.readouterr().err
    with pytest.raises(ConfigError):
        command._credentials(str(tmp_path / "none.pem"))
    monkeypatch.setattr("translate.errors.find_spec", lambda name: None)
    assert command._credentials("") == "off"
    assert capsys.readouterr().err == ""
    with pytest.raises(MissingExtra):
        command._credentials("on")


def downloaded(page: Page, button: str) -> bytes:
    found = page.get_by_role("button", name=button).or_(page.get_by_role("link", name=button)).filter(visible=True)
    with page.expect_download(timeout=PATIENCE_MS) as begun:
        found.first.click()
    return begun.value.path().read_bytes()


def draw(page: Page) -> None:
    """Draw a line; the canvas is there before its script is."""
    deadline, undo = monotonic() + PATIENCE_MS / 1000, page.get_by_role("button", name="Undo")
    expect(undo).to_be_disabled(timeout=PATIENCE_MS)  # by the script
    while undo.is_disabled():
        assert monotonic() < deadline
        box = page.locator("canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 50, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 150, box["y"] + 150, steps=3)
        page.mouse.up()
        page.wait_for_timeout(100)


@pytest.mark.browser
def test_switched_off_on_the_page(browser: Browser, tmp_path: Path, image_HWC: np.ndarray) -> None:
    paths = [save_model(tmp_path / f"{spec.name}.onnx", spec) for spec in (INVERT, DOUBLE)]
    Image.fromarray(image_HWC).save(tmp_path / "a.png")
    with served(*paths, options=["--credentials", "on"]) as address, visited(browser, address) as page:
        # The canvas: draw a line, save it.
        draw(page)
        switch = page.get_by_role("checkbox", name="Content credentials").filter(visible=True)
        expect(switch).to_be_checked(timeout=PATIENCE_MS)
        assert MARK in downloaded(page, "Download the photo")
        switch.uncheck()
        assert MARK not in downloaded(page, "Download the photo")
        # A file.
        page.get_by_role("tab", name="Super resolution").click()
        page.locator(".work").filter(visible=True).locator("input[type=file]").set_input_files(tmp_path / "a.png")
        ready = page.get_by_text("Download a-double.png", exact=True).filter(visible=True)
        expect(ready).to_be_visible(timeout=PATIENCE_MS)
        assert MARK in downloaded(page, "Download a-double.png")
        expect(switch).to_be_checked()
        switch.uncheck()
        deadline = monotonic() + PATIENCE_MS / 1000
        while MARK in downloaded(page, "Download a-double.png"):  # until the file is made again
            assert monotonic() < deadline
            page.wait_for_timeout(50)
        # Many files.
        page.get_by_role("tab", name="Batch").click()
        expect(switch).to_be_checked()
