"""The page in a real browser: draw, press the button, look at what comes back.

The page runs as its own process, as a user starts it, and ends as a user ends it. Every wait has a deadline.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from conftest import DOUBLE, INVERT, save_model
from PIL import Image
from playwright.sync_api import Page, Playwright, Request, expect, sync_playwright
from test_engine import save_sum

from translate.inference.controls import numbered_style
from translate.inference.models import shipped
from translate.spec import ModelSpec

pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).resolve().parents[2] / "screenshots"
PATIENCE_MS = 20_000
SIDE = 512
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        # Where it matters that they run, a missing browser must not pass for a success.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no browser found; install Chromium to run these tests")
    return path


@pytest.fixture(scope="module")
def playwright() -> Generator[Playwright]:
    SCREENSHOTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        yield playwright


@contextmanager
def served(*models: Path | str) -> Generator[str]:
    """The page of `models`, as a process; it must end quietly with status 0 on Ctrl-C."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "translate.cli", "ui", "--model", *map(str, models), "--port", port]
    process = subprocess.Popen(
        [*command, "--no-open", "--device", "cpu"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline() if process.stdout else ""  # pytest-timeout is the deadline
        assert f"http://127.0.0.1:{port}/" in line, process.communicate(timeout=10)[1]
        yield f"http://127.0.0.1:{port}/"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@contextmanager
def opened(playwright: Playwright, chromium: str, address: str, profile: Path) -> Generator[Page]:
    """The page in a fresh browser; it must ask no other host for anything and report no error."""
    troubles: list[str] = []
    context = playwright.chromium.launch_persistent_context(
        profile, executable_path=chromium, headless=True, args=ARGUMENTS, viewport={"width": 1280, "height": 900}
    )
    try:
        context.set_default_timeout(PATIENCE_MS)
        page = context.pages[0]
        own = (address, "blob:", "data:")
        page.on("request", lambda request: None if request.url.startswith(own) else troubles.append(request.url))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda entry: troubles.append(entry.text) if entry.type == "error" else None)
        uploads: set[Request] = set()
        page.on("request", lambda request: uploads.add(request) if "/upload" in request.url else None)
        page.on("requestfinished", lambda request: uploads.discard(request))
        page.on("requestfailed", lambda request: uploads.discard(request))
        page.goto(address)
        yield page
        # Gradio's editor uploads the sheet after every event; a page closed meanwhile makes the server complain.
        deadline = monotonic() + PATIENCE_MS / 1000
        while uploads:
            assert monotonic() < deadline, uploads
            page.wait_for_timeout(20)  # lets the events be delivered
        assert troubles == []
    finally:
        context.close()


def press(page: Page) -> None:
    page.get_by_role("button", name="Make the").filter(visible=True).click()


def result_address(page: Page) -> str:
    """Wait for a result and return the address of its picture."""
    shown = page.locator(".result:visible img").last
    expect(shown).to_be_visible(timeout=PATIENCE_MS)
    return str(shown.get_attribute("src"))


def wait_for_another(page: Page, old: str) -> None:
    expect(page.locator(".result:visible img").last).not_to_have_attribute("src", old, timeout=PATIENCE_MS)


def downloaded(page: Page) -> np.ndarray:
    """Download the result by its button and return it, (H, W, 3)."""
    with page.expect_download() as download:
        buttons = page.get_by_role("button", name="Download").or_(page.get_by_role("link", name="Download"))
        buttons.filter(visible=True).first.click()
    assert download.value.suggested_filename.endswith(".png")
    image = Image.open(BytesIO(download.value.path().read_bytes()))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def draw_line(page: Page) -> None:
    """Draw a horizontal line of 200 screen pixels through the middle of the sheet."""
    expect(page.locator('.canvas button[aria-label="Brush"].highlight')).to_be_visible(timeout=PATIENCE_MS)
    sheet = page.locator(".canvas canvas").first.bounding_box()
    assert sheet is not None
    x, y = sheet["x"] + sheet["width"] / 2, sheet["y"] + sheet["height"] / 2
    page.mouse.move(x - 100, y)
    page.mouse.down()
    page.mouse.move(x + 100, y, steps=10)
    page.mouse.up()
    expect(page.locator(".canvas").get_by_role("button", name="Undo")).to_be_enabled(timeout=PATIENCE_MS)


def upload(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload a sketch").click()
    chooser.value.set_files(path)


def check_line(inverted_HWC: np.ndarray) -> None:
    """Black paper of the canvas's size with one white, level, centred line on it."""
    assert inverted_HWC.shape == (SIDE, SIDE, 3)
    rows, columns = np.nonzero(inverted_HWC[..., 0] > 128)
    assert 150 < np.ptp(columns) < 350
    assert np.ptp(rows) < 12
    assert abs(rows.mean() - SIDE / 2) < 12
    assert abs(columns.mean() - SIDE / 2) < 12


def test_draw_try_upload(playwright: Playwright, chromium: str, tmp_path: Path, image_HWC: np.ndarray) -> None:
    model = save_model(tmp_path / "model.onnx", INVERT)
    for name in ("a", "b"):
        (tmp_path / "samples").mkdir(exist_ok=True)
        Image.fromarray(image_HWC if name == "a" else image_HWC[::-1]).save(tmp_path / "samples" / f"{name}.png")
    Image.fromarray(image_HWC[:, ::-1]).save(tmp_path / "mine.png")
    (tmp_path / "broken.png").write_bytes(b"not a picture")

    with served(model) as address, opened(playwright, chromium, address, tmp_path / "profile") as page:
        expect(page.get_by_role("heading", name="Sketch to photo")).to_be_visible(timeout=PATIENCE_MS)
        expect(page.locator('.canvas button[aria-label="Brush"].highlight')).to_be_visible(timeout=PATIENCE_MS)
        page.screenshot(path=SCREENSHOTS / "before.png", full_page=True)

        press(page)
        expect(page.get_by_text("The sketch is empty")).to_be_visible(timeout=PATIENCE_MS)

        draw_line(page)
        press(page)
        first = result_address(page)
        page.screenshot(path=SCREENSHOTS / "after.png", full_page=True)
        check_line(downloaded(page))

        page.locator(".samples").get_by_role("button").nth(1).click()
        wait_for_another(page, first)
        np.testing.assert_array_equal(downloaded(page), 255 - image_HWC[::-1])

        second = result_address(page)
        upload(page, tmp_path / "mine.png")
        wait_for_another(page, second)
        np.testing.assert_array_equal(downloaded(page), 255 - image_HWC[:, ::-1])

        # The upload lies on the canvas now: another line goes over it, and all of it is translated.
        third = result_address(page)
        draw_line(page)
        press(page)
        wait_for_another(page, third)
        over_HWC = downloaded(page)
        assert (over_HWC[:8] == 255 - image_HWC[:8, ::-1]).mean() > 0.9
        assert (over_HWC[12] == 255).all(axis=-1).mean() > 0.3

        upload(page, tmp_path / "broken.png")
        expect(page.get_by_text(re.compile(r"^broken\.png: not a PNG"))).to_be_visible(timeout=PATIENCE_MS)


def test_a_browser_that_leaves_during_an_upload_is_no_error(tmp_path: Path) -> None:
    head = b"POST /gradio_api/upload HTTP/1.1\r\nHost: here\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with served(save_model(tmp_path / "model.onnx", INVERT)) as address:
        place = urlsplit(address)
        assert place.hostname is not None
        for _ in range(3):
            with socket.create_connection((place.hostname, place.port)) as connection:
                connection.sendall(head + b"Content-Length: 1000\r\n\r\n--b\r\n")
            assert urlopen(address).status == 200


def test_before_and_after(playwright: Playwright, chromium: str, tmp_path: Path, image_HWC: np.ndarray) -> None:
    model = save_model(tmp_path / "model.onnx", DOUBLE)
    Image.fromarray(image_HWC).save(tmp_path / "mine.png")
    with served(model) as address, opened(playwright, chromium, address, tmp_path / "profile") as page:
        press(page)
        expect(page.get_by_text("There is no picture yet")).to_be_visible(timeout=PATIENCE_MS)
        page.locator(".source input[type=file]").first.set_input_files(tmp_path / "mine.png")
        expect(page.locator(".source img")).to_be_visible(timeout=PATIENCE_MS)
        press(page)
        result_address(page)
        page.screenshot(path=SCREENSHOTS / "slider.png", full_page=True)
        np.testing.assert_array_equal(downloaded(page), image_HWC.repeat(2, axis=0).repeat(2, axis=1))


SHOES = ModelSpec(
    name="shoes-and-bags", task="sketch-to-photo", architecture="", labels=("shoe", "handbag"), style_size=64
)
NIGHT = ModelSpec(name="day-to-night", task="day-to-night", architecture="")
LARGE = ModelSpec(name="large", task="super-resolution", architecture="", scale=2, detail=True)


@pytest.fixture
def three_tasks(tmp_path: Path, image_HWC: np.ndarray) -> list[Path]:
    """Tiny models of all tasks: one with labels and styles and one without, day and night, and one with detail."""
    paths: list[Path] = []
    for spec in (LARGE, NIGHT, SHOES, INVERT):  # not the order of the tabs
        folder = tmp_path / spec.name
        (folder / "samples").mkdir(parents=True)
        save = save_model if spec == INVERT else save_sum
        paths.append(save(folder / "model.onnx", spec))
        for name in ("handbag-2", "shoe-1"):
            Image.fromarray(image_HWC // 4 + 100).save(folder / "samples" / f"{name}.png")
    return paths


def style_of(page: Page) -> int:
    return int(page.get_by_label("Style", exact=True).input_value())


def wait_for(page: Page, expected_HWC: np.ndarray) -> None:
    """Wait until the picture to download is the expected one."""
    for _ in range(100):
        found_HWC = downloaded(page)
        if np.array_equal(found_HWC, expected_HWC):
            return
        page.wait_for_timeout(100)
    np.testing.assert_array_equal(found_HWC, expected_HWC)


def test_a_tab_per_task_with_its_choices(
    playwright: Playwright, chromium: str, tmp_path: Path, image_HWC: np.ndarray, three_tasks: list[Path]
) -> None:
    base_HWC = image_HWC // 4 + 100
    with served(*three_tasks) as address, opened(playwright, chromium, address, tmp_path / "profile") as page:
        expect(page.get_by_role("tab")).to_have_text(
            ["Sketch to photo", "Day to night", "Super resolution"], timeout=PATIENCE_MS
        )
        page.locator(".samples:visible").get_by_role("button").first.click()
        result_address(page)
        # The label comes from the name of the sample: the second label, in the default style.
        expect(page.get_by_label("Handbag")).to_be_checked()
        wait_for(page, base_HWC + 1)
        page.get_by_label("Shoe", exact=True).click()
        wait_for(page, base_HWC)
        page.get_by_role("button", name="Random style").click()
        expect(page.get_by_label("Style", exact=True)).not_to_have_value("0", timeout=PATIENCE_MS)
        style = style_of(page)
        styled_HWC = (base_HWC + numbered_style(style, SHOES).sum()).astype(np.uint8)
        wait_for(page, styled_HWC)
        page.get_by_role("button", name="Default").click()
        wait_for(page, base_HWC)
        page.get_by_label("Style", exact=True).fill(str(style))
        page.get_by_label("Style", exact=True).press("Enter")
        wait_for(page, styled_HWC)
        page.screenshot(path=SCREENSHOTS / "choices.png", full_page=True)
        # The other model has neither labels nor styles, and takes what is on the sheet.
        page.get_by_label("Invert").click()
        wait_for(page, 255 - base_HWC)
        expect(page.get_by_label("Handbag")).to_be_hidden()
        expect(page.get_by_role("button", name="Random style")).to_be_hidden()

        page.get_by_role("tab", name="Day to night").click()
        page.locator(".samples:visible").get_by_role("button").first.click()
        result_address(page)
        wait_for(page, base_HWC)
        expect(page.get_by_text("Model", exact=True)).to_be_hidden()

        page.get_by_role("tab", name="Super resolution").click()
        page.locator(".samples:visible").get_by_role("button").first.click()
        result_address(page)
        large_HWC = base_HWC.repeat(2, axis=0).repeat(2, axis=1)
        wait_for(page, large_HWC)
        number = page.locator(".detail input[type=number]")
        number.fill("0.5")
        number.press("Tab")
        wait_for(page, large_HWC + 50)
        page.screenshot(path=SCREENSHOTS / "detail.png", full_page=True)
        press(page)
        wait_for(page, large_HWC + 50)


def test_bad_style_and_narrow_screen(
    playwright: Playwright, chromium: str, tmp_path: Path, three_tasks: list[Path]
) -> None:
    with served(*three_tasks) as address, opened(playwright, chromium, address, tmp_path / "profile") as page:
        page.set_viewport_size({"width": 400, "height": 800})
        for name in ("Super resolution", "Day to night", "Sketch to photo"):
            tab = page.get_by_role("tab", name=name)
            expect(tab).to_be_visible(timeout=PATIENCE_MS)
            tab.click()
        page.locator(".samples:visible").get_by_role("button").first.click()
        result_address(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        page.screenshot(path=SCREENSHOTS / "phone.png", full_page=True)
        page.get_by_label("Style", exact=True).fill("0.5")
        press(page)
        expect(page.get_by_text(re.compile(r"^the style is 0\.5; give a whole number"))).to_be_visible(
            timeout=PATIENCE_MS
        )


@pytest.mark.skipif(not shipped(), reason="no model is shipped")
def test_shipped_model(playwright: Playwright, chromium: str, tmp_path: Path) -> None:
    model = next(entry for entry in shipped() if entry.task == "sketch-to-photo")
    with served(model.name) as address, opened(playwright, chromium, address, tmp_path / "profile") as page:
        page.locator(".samples").get_by_role("button").first.click()
        result_address(page)
        page.screenshot(path=SCREENSHOTS / "shipped.png", full_page=True)
        assert downloaded(page).std() > 5
