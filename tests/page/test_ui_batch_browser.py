"""The tab "Batch" in a real browser: a batch outlives the page and the server."""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import onnx
import pytest
from browsing import PATIENCE_MS, Held, opened, serving
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from programs import until
from test_ui_jobs import made, record

from translate.cli.main import main
from translate.spec import METADATA_KEY, ModelSpec

pytestmark = pytest.mark.browser

COUNT = 10
SLOW = ModelSpec(name="slow", task="day-to-night", architecture="255 - x, after a long thought")


def save_slow(path: Path) -> Path:
    """A model that inverts the colours and takes a tenth of a second or two for it, whatever the size."""
    turns = [helper.make_node("MatMul", [f"state{turn}", "matrix"], [f"state{turn + 1}"]) for turn in range(200)]
    nodes = [
        helper.make_node("Cast", ["image"], ["value"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMin", ["value"], ["least"], keepdims=0),
        helper.make_node("Mul", ["least", "matrix"], ["state0"]),
        *turns,
        helper.make_node("ReduceMax", ["state200"], ["thought"], keepdims=0),
        helper.make_node("Sub", ["white", "value"], ["inverted"]),
        helper.make_node("Min", ["thought", "none"], ["nothing"]),
        helper.make_node("Add", ["inverted", "nothing"], ["result"]),
        helper.make_node("Cast", ["result"], ["output"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("output", TensorProto.UINT8, ["N", "H", "W", 3])],
        [
            numpy_helper.from_array(np.full((256, 256), 1 / 256, np.float32), "matrix"),
            numpy_helper.from_array(np.array(255, np.float32), "white"),
            numpy_helper.from_array(np.array(0, np.float32), "none"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: SLOW.to_json()})
    onnx.save(model, path)
    return path


@contextmanager
def held(jobs: Path, process: subprocess.Popen[str]) -> Generator[None]:
    """Wait for a few results, and from then on keep the server from storing anything, so that it comes no further."""
    db = sqlite3.connect(jobs / "jobs.sqlite", timeout=10, isolation_level=None)

    def begun() -> bool:
        db.execute("begin immediate")
        (done,) = db.execute("select max(done) from job").fetchone()
        if done < 3:
            db.execute("rollback")
        return done >= 3

    try:
        until(begun, process)
        yield
    finally:
        db.close()


def state(jobs: Path) -> str:
    db = sqlite3.connect(jobs / "jobs.sqlite", timeout=10)
    (found,) = db.execute("select state from job").fetchone()
    db.close()
    return found


def open_tab(page: Page) -> None:
    page.get_by_role("tab", name="Batch").click()
    expect(page.get_by_role("heading", name="Your batches")).to_be_visible(timeout=PATIENCE_MS)


def test_a_batch_outlives_the_page_and_the_server(browser: Browser, chromium: str, tmp_path: Path) -> None:
    model, jobs, profile = save_slow(tmp_path / "slow.onnx"), tmp_path / "jobs", tmp_path / "profile"
    random, folder = np.random.default_rng(0), tmp_path / "pictures"
    folder.mkdir()
    for number in range(COUNT):
        path = folder / f"{number:02}.png"
        Image.fromarray(random.integers(0, 256, (24, 40, 3), dtype=np.uint8)).save(path)
        os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))

    with serving(jobs, model) as (address, process), ExitStack() as hold:
        with opened(browser, chromium, address, profile) as page:
            open_tab(page)
            expect(page.get_by_text("Nothing here yet.")).to_be_visible(timeout=PATIENCE_MS)
            page.locator(".batch input[type=file]").set_input_files([*sorted(folder.iterdir()), model])
            expect(page.get_by_text("Left out, since they are no pictures: slow.onnx")).to_be_visible()
            page.get_by_label("Format").filter(visible=True).select_option("webp")
            page.get_by_role("button", name=f"Convert {COUNT} files").click()
            expect(page.locator(".job")).to_be_visible(timeout=PATIENCE_MS)
            hold.enter_context(held(jobs, process))
        process.send_signal(signal.SIGKILL)
        process.wait()
    (stored,) = jobs.glob("?" * 32)
    assert 3 <= len(made(stored / "output")) < COUNT, "it was killed in the middle"

    with ExitStack() as both:
        address, process = both.enter_context(serving(jobs, model))
        until(lambda: state(jobs) == "finished", process)  # nobody looks
        page = both.enter_context(opened(browser, chromium, address, profile))
        open_tab(page)
        expect(page.get_by_text(f"{COUNT} pictures finished")).to_be_visible(timeout=PATIENCE_MS)
        expect(page.locator(".job .grid img")).to_have_count(COUNT, timeout=PATIENCE_MS)
        page.wait_for_function("[...document.querySelectorAll('.job .grid img')].every((image) => image.naturalWidth)")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download all (zip)").click()
        assert download.value.suggested_filename == "00.png-and-9-more-slow.zip"
        with ZipFile(download.value.path()) as packed:
            packed.extractall(tmp_path / "unpacked")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Really delete?").click()
        expect(page.get_by_text("Nothing here yet.")).to_be_visible()
    assert not stored.exists()

    command = ["convert", str(folder), str(tmp_path / "out"), "--model", str(model), "--format", "webp"]
    assert main(command) == 0
    assert len(made(tmp_path / "out")) == COUNT
    assert made(tmp_path / "unpacked") == made(tmp_path / "out")
    assert record(tmp_path / "unpacked") == record(tmp_path / "out")


def job(state: str, done: int, **facts: object) -> dict[str, object]:
    """What the program says of a batch."""
    known = {"id": "0" * 32, "title": "holiday", "total": 20, "created": 0, "model": "Slow", "format": "same"}
    counted = {"state": state, "done": done, "failed": 0, "part": 0, "seconds_left": None}
    return known | counted | {"message": "", "failures": [], "notes": [], "command": "translate"} | facts


def test_an_older_answer_does_not_replace_a_newer(page: Page, tmp_path: Path) -> None:
    def answer(looks: Held, *jobs: dict[str, object]) -> None:
        looks.next().fulfill(json={"works": True, "jobs": jobs})

    def look_again() -> None:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    results, deleted = Held(page, "**/results*"), Held(page, "**/delete")
    page.route("**/thumbnail*", lambda route: route.fulfill(status=404))
    running = {"works": True, "jobs": [job("running", 12)]}
    page.route("**/batch/jobs", lambda route: route.fulfill(json=running))
    page.get_by_role("tab", name="Batch").click()
    older = results.next()
    looks = Held(page, "**/batch/jobs")
    answer(looks, job("finished", 20))
    results.next().abort()  # it is asked for again
    answer(looks, job("finished", 20))
    newer = results.next()
    names = [f"{number}.png" for number in range(20)]
    newer.fulfill(json={"names": names[:12], "total": 20})
    more = page.get_by_role("button", name="Show more")
    expect(more).to_be_visible()
    older.fulfill(json={"names": names[:12], "total": 12})
    more.click()
    more.click()
    first, second = results.next(), results.next()
    second.fulfill(json={"names": names[12:], "total": 20})
    first.fulfill(json={"names": names[12:], "total": 20})
    expect(more).to_be_hidden()
    expect(page.locator(".job .grid li")).to_have_count(20)
    # What is deleted stays away, also if it was there when an older look began. A double click deletes nothing.
    look_again()
    before = looks.next()
    page.get_by_role("button", name="Delete").dblclick()
    page.get_by_role("button", name="Really delete?").click()
    deleted.next().fulfill(status=204)
    answer(looks)
    expect(page.locator(".job")).to_have_count(0)
    before.fulfill(json={"works": True, "jobs": [job("finished", 20)]})
    # What was chosen when a batch is sent holds for all of it; once it begins, it cannot be cancelled.
    Image.new("L", (8, 8)).save(tmp_path / "one.png")
    page.locator(".batch input[type=file]").set_input_files(tmp_path / "one.png")
    page.get_by_label("Format").filter(visible=True).select_option("webp")
    page.get_by_role("button", name="Convert 1 file").click()
    sent = Held(page, "**/batch/jobs?*")
    first = looks.next()
    page.get_by_label("Format").filter(visible=True).select_option("png")
    first.fulfill(json={"works": True, "jobs": []})
    wanted = sent.next()
    assert "format=webp" in wanted.request.url
    page.route("**/files*", lambda route: route.fulfill(status=204))
    begins = Held(page, "**/begin")
    wanted.fulfill(json={"id": "0" * 32})
    begin = begins.next()
    page.get_by_role("button", name="Cancel").click()
    begin.fulfill(status=204)
    expect(page.locator(".job")).to_have_count(0)
    assert deleted.waiting == []
    answer(looks, job("waiting", 0))
    expect(page.locator(".job")).to_have_count(1)
    expect(page.get_by_role("button", name="Convert 1 file")).to_be_hidden()
