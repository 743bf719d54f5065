"""A training from the page, in a real browser: look at the pictures, train, watch, stop, make a model, use it."""

import os
import re
import shutil
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from browsing import PATIENCE_MS, Held, Served, served
from conftest import INVERT, save_model
from PIL import Image
from playwright.sync_api import Page, expect
from test_ui_access import findings
from tiny_runs import options

from translate.inference.engine import Engine
from ui.training.data_root import DataRoot
from ui.training.lock import TrainingLock
from ui.training.progress import Progress
from ui.training.runs import Runs

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

SLOW_MS = 240_000
"""For a process that imports torch beside other work."""
TINY = " ".join([*options(max_images=None, sample_grids=24, metrics="swd", held_out=2), "--threads", "1"])


@pytest.fixture(autouse=True)
def patient() -> Generator[None]:
    expect.set_options(timeout=SLOW_MS)
    yield
    expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With pictures in `data` and trainings in `runs`."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture(scope="module")
def site(folder: Path, photos: Path) -> Generator[Served]:
    """A page that trains; a training that goes on after its server is ended as well."""
    shutil.copytree(photos, folder / "data" / "boxes")
    model = save_model(folder / "invert.onnx", INVERT)
    (folder / "samples").mkdir()
    Image.new("RGB", (64, 64), "white").save(folder / "samples" / "sheet.png")
    training = ["--allow-training", "--data-root", folder / "data", "--runs-dir", folder / "runs"]
    try:
        with served(model, options=[*training, f"--training-options={TINY}"]) as address:
            yield Served(address, {INVERT.name: model})
    finally:
        holder = TrainingLock(folder / "runs" / "training.lock").holder()
        if holder and holder.process:
            os.kill(holder.process, signal.SIGKILL)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).filter(visible=True).click()


def test_the_models_to_start_from_follow_the_recipe(page: Page) -> None:
    page.get_by_role("tab", name="Train").click()
    page.locator(".train .task").select_option("super-resolution")
    page.get_by_label("Folder of pictures").select_option("boxes")
    press(page, "Look at the pictures")
    recipe, start = page.locator(".train .preset"), page.locator(".train .start")
    start.select_option("super-resolution-photo")
    recipe.select_option("robust")
    expect(start).to_have_value("super-resolution-photo")
    recipe.select_option("fidelity")
    expect(start.locator("option")).to_have_text(["Nothing"])
    expect(page.locator(".about-preset")).to_contain_text("none of the models suits it")
    recipe.select_option("modern")
    expect(start).to_have_value("")
    expect(start.locator("option")).to_contain_text(["Nothing", "Super resolution"])
    expect(page.locator(".about-preset")).to_have_text("Small and fast; the usual choice.")


def answer_of(name: str, state: str = "stopped", **facts: object) -> dict[str, object]:
    """What the program says of a training."""
    plan = {"task": "sketch-to-photo", "folder": "boxes", "preset": "modern", "minutes": None, "pictures": 100}
    progress = {"stopping": False, "message": "", "share": 0.5, "images": 50, "seconds": 1.0, "seconds_left": None}
    seen = {"learns_from": {"train": 4}, "metrics": [], "losses": [], "warnings": [], "samples": [], "exported": []}
    return {"name": name, "state": state, "started": "", "skipped": 0} | plan | progress | seen | facts


def test_answers_that_come_when_another_training_is_shown(page: Page, site: Served) -> None:
    runs = [answer_of("one", "running"), answer_of("two")]
    folders = [{"name": "boxes", "title": "boxes", "pictures": 6}]
    page = page.context.new_page()
    page.route("**/train/state", lambda route: route.fulfill(json={"folders": folders, "runs": runs}))
    page.route("**/train/run/one", lambda route: route.fulfill(json=runs[0]))
    page.route("**/train/run/two", lambda route: route.fulfill(json=runs[1]))
    page.goto(site.address)
    page.get_by_role("tab", name="Train").click()
    heading, chip = page.locator(".train .run .name"), page.locator(".train .trainings")
    expect(heading).to_have_text("one")
    # Pictures are looked at, and meanwhile a training is stopped and another exported.
    checks = Held(page, "**/train/check")
    stops = Held(page, "**/train/run/one/stop")
    exports = Held(page, "**/train/run/two/export")
    chip.get_by_role("button", name="New training").click()
    press(page, "Look at the pictures")
    check = checks.next()
    chip.get_by_role("button", name="one").click()
    press(page, "Stop")
    stop = stops.next()
    check.fulfill(json={"splits": [{"counts": {}, "sizes": {}, "labels": {}}], "findings": [], "sheet": ""})
    expect(page.locator(".train .verdict")).to_have_count(1)
    runs[0] = answer_of("one")
    stop.fulfill(json=runs[0])
    expect(page.get_by_role("button", name="Make a model of it")).to_be_enabled()
    chip.get_by_role("button", name="two").click()
    press(page, "Make a model of it")
    export = exports.next()
    chip.get_by_role("button", name="one").click()
    expect(heading).to_have_text("one")
    export.fulfill(json=answer_of("two"))
    expect(page.locator(".train")).to_have_attribute("aria-busy", "false")
    expect(heading).to_have_text("one")


def test_train_watch_stop_and_use(page: Page, site: Served, folder: Path) -> None:
    """The last one: its training stays on the page."""
    expect(page.get_by_role("tab")).to_have_text(["Sketch to photo", "Batch", "Models", "Train"])
    page.get_by_role("tab", name="Train").click()
    expect(page.get_by_label("Folder of pictures")).to_contain_text("boxes (6)")
    page.get_by_label("Folder of pictures").select_option("boxes")
    expect(page.get_by_role("button", name="Start training")).to_be_hidden()
    press(page, "Look at the pictures")
    expect(page.locator(".train .verdict")).to_contain_text("6 pictures")
    expect(page.get_by_alt_text("Some of the pictures, as they were read")).to_be_visible()
    press(page, "Start training")
    expect(page.get_by_role("heading", name="boxes-1")).to_be_visible(timeout=SLOW_MS)

    plot = page.get_by_role("img", name=re.compile(r"^Distance of textures"))
    expect(plot).to_be_visible(timeout=SLOW_MS)
    press(page, "Stop")
    expect(page.locator(".train .progress")).to_contain_text("Stopped")
    # Another server, which finds the training.
    runs = Runs(DataRoot(folder / "data"), folder / "runs", folder / "runs" / "models")
    stopped = runs.get("boxes-1")
    assert (stopped.state, stopped.message) == ("stopped", "")
    shown = Progress().of(stopped, runs)
    assert [chart["name"] for chart in shown["metrics"]] == ["swd"]
    assert [chart["name"] for chart in shown["losses"]] == ["generator"]
    assert shown["images"] > 0
    assert shown["learns_from"] == {"train": 4, "held_out": 2}

    press(page, "Make a model of it")
    expect(page.get_by_text("Compared with the trained network: at most")).to_be_visible(timeout=SLOW_MS)
    made = Engine(runs.models / "boxes-1.onnx").spec
    assert (made.name, made.training_data) == ("boxes-1", "pictures of the folder boxes")
    (exported,) = Progress().of(stopped, runs)["exported"]
    assert (exported["file"], max(row["largest"] for row in exported["parity"]) <= 1) == ("boxes-1.onnx", True)

    page.locator(".train details").evaluate_all("all => all.forEach((one) => (one.open = true))")
    heads = ["Size", "Device", "Controls", "Largest difference", "Values that differ"]
    expect(page.locator(".exported th")).to_have_text(heads)
    expect(page.locator(".exported tbody tr").first.locator("td").nth(1)).to_have_text("cpu")
    assert findings(page) == []

    # Without loading the page again, it is in the tab of its task, chosen, and makes pictures.
    press(page, "Use it")
    expect(page.get_by_role("tab", name="Sketch to photo")).to_have_attribute("aria-selected", "true")
    models = page.locator(".studio .models select")
    expect(models.locator("option")).to_have_text(["Invert", "Boxes 1"])
    expect(models.locator("option:checked")).to_have_text("Boxes 1")
    with page.expect_response(lambda answer: "sketch/live" in answer.url) as answer:
        box = page.locator(".studio canvas").bounding_box()
        assert box
        page.mouse.move(box["x"] + 40, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + 120, steps=5)
        page.mouse.up()
    assert ("model=1" in answer.value.url, answer.value.status) == (True, 200)

    # The browser remembers it.
    page = page.context.new_page()
    page.goto(site.address)
    expect(page.locator(".studio .models select option:checked")).to_have_text("Boxes 1")
    page.get_by_role("tab", name="Models").click()
    expect(page.get_by_role("button", name="Open: Boxes 1")).to_be_visible()
    expect(page.get_by_role("button", name="Use it: Invert")).to_be_visible()
