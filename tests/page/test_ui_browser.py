"""The tabs of tasks whose input is a file, in a real browser: upload, look at what comes back, download it."""

import re
import socket
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from browsing import PATIENCE_MS, opened, served
from conftest import DOUBLE, INVERT, SCREENSHOTS, save_model
from PIL import Image
from playwright.sync_api import Page, Playwright, expect
from test_engine import save_sum

from translate.cli.main import main
from translate.conversion.worker import Conversion
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, write_picture
from translate.spec import ModelSpec
from ui import files

pytestmark = pytest.mark.browser


def press(page: Page) -> None:
    page.get_by_role("button", name="Make the").filter(visible=True).click()


def upload(page: Page, path: Path) -> None:
    page.locator(".source:visible input[type=file]").first.set_input_files(path)


def downloaded(page: Page) -> tuple[str, bytes]:
    """Download the result by its button; its name and its bytes."""
    buttons = page.get_by_role("button", name="Download").or_(page.get_by_role("link", name="Download"))
    with page.expect_download() as download:
        buttons.filter(visible=True).first.click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def wait_for(page: Page, expected: Path) -> None:
    """Wait until what is downloaded is the expected file."""
    named = page.get_by_text(f"Download {expected.name}", exact=True).filter(visible=True)
    expect(named).to_be_visible(timeout=PATIENCE_MS)
    deadline = monotonic() + PATIENCE_MS / 1000
    while (found := downloaded(page)) != (expected.name, expected.read_bytes()):
        assert monotonic() < deadline, (found[0], len(found[1]))
        page.wait_for_timeout(50)


def made(model: Path, source: Path, folder: Path, **how: Any) -> Path:
    """What `translate convert` makes, see `test_ui_files.py`."""
    return files.convert_file(Engine(model), source, folder, Conversion(name=files.NAME, **how))[0]


def test_uploads_become_what_the_command_makes(
    playwright: Playwright, chromium: str, tmp_path: Path, image_HWC: np.ndarray
) -> None:
    model = save_model(tmp_path / "model.onnx", DOUBLE)
    write_picture(tmp_path / "deep one.tiff", Picture(image_HWC.astype(np.uint16) * 200))
    first, *others = (Image.fromarray(np.roll(image_HWC, shift, axis=1)) for shift in (0, 4, 8))
    first.save(tmp_path / "moving.webp", save_all=True, append_images=others, duration=80, lossless=True)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with served(model) as address, opened(playwright, chromium, address, tmp_path / "profile") as page:
        expect(page.get_by_role("heading", name="Super resolution")).to_be_visible(timeout=PATIENCE_MS)
        press(page)
        expect(page.get_by_text("There is no picture yet")).to_be_visible(timeout=PATIENCE_MS)
        for name in ("deep one.tiff", "moving.webp"):
            upload(page, tmp_path / name)
            out = tmp_path / f"out-{name}".replace(".", "-")
            assert main(["convert", str(tmp_path / name), str(out), "--model", str(model), "--name", files.NAME]) == 0
            (expected,) = out.iterdir()
            wait_for(page, expected)
            page.get_by_label("Clear").or_(page.get_by_label("Remove")).filter(visible=True).first.click()
        page.screenshot(path=SCREENSHOTS / "slider.png", full_page=True)
        expect(page.get_by_text("This is the first of 3 frames")).to_be_visible(timeout=PATIENCE_MS)
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


def test_only_files_of_the_page_are_served(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model.onnx", INVERT)
    with served(model) as address:
        for path in (model, tmp_path, "../model.onnx"):
            with pytest.raises(HTTPError) as caught:
                urlopen(f"{address}gradio_api/file={path}")
            assert caught.value.code in (403, 404)
            caught.value.close()


NIGHT = ModelSpec(name="night", task="day-to-night", architecture="", labels=("street", "square"), style_size=8)
DIM = ModelSpec(name="dim", task="day-to-night", architecture="")
LARGE = ModelSpec(name="large", task="super-resolution", architecture="", scale=2, detail=True)


@pytest.fixture
def three_tasks(tmp_path: Path, image_HWC: np.ndarray) -> dict[str, Path]:
    """Tiny models of all tasks: one with labels and styles and one without, one that draws, and one with detail."""
    paths: dict[str, Path] = {}
    for spec in (LARGE, NIGHT, DIM, INVERT):  # not the order of the tabs
        folder = tmp_path / spec.name
        (folder / "samples").mkdir(parents=True)
        paths[spec.name] = (save_model if spec == INVERT else save_sum)(folder / "model.onnx", spec)
        for name in ("square-2", "street-1"):
            Image.fromarray(image_HWC // 4 + 100).save(folder / "samples" / f"{name}.png")
    return paths


def test_a_tab_per_task_with_its_choices(
    playwright: Playwright, chromium: str, tmp_path: Path, three_tasks: dict[str, Path]
) -> None:
    night = three_tasks["night"]
    sample = night.parent / "samples" / "square-2.png"

    def expected(model: Path = night, **how: Any) -> Path:
        folder = tmp_path / f"made-{len(list(tmp_path.iterdir()))}"
        return made(model, model.parent / "samples" / sample.name, folder, **how)

    with (
        served(*three_tasks.values()) as address,
        opened(playwright, chromium, address, tmp_path / "profile") as page,
    ):
        expect(page.get_by_role("tab")).to_have_text(
            ["Sketch to photo", "Day to night", "Super resolution", "Models"], timeout=PATIENCE_MS
        )
        page.get_by_role("tab", name="Day to night").click()
        # A first look finds the first sample with its result. The label comes from its name: the second, in the
        # default style.
        wait_for(page, expected(label="square"))
        expect(page.get_by_role("radio", name="Square")).to_be_checked()
        page.get_by_role("radio", name="Street").click()
        wait_for(page, expected(label="street"))
        page.get_by_role("button", name="Random style").click()
        number = page.get_by_label("Style", exact=True)
        expect(number).not_to_have_value("0", timeout=PATIENCE_MS)
        style = int(number.input_value())
        styled = expected(label="street", style=style)
        wait_for(page, styled)
        page.get_by_role("button", name="Default").click()
        wait_for(page, expected(label="street"))
        number.fill(str(style))
        number.press("Enter")
        wait_for(page, styled)
        page.screenshot(path=SCREENSHOTS / "choices.png", full_page=True)
        number.fill("0.5")
        press(page)
        expect(page.get_by_text(re.compile(r"^the style is 0\.5; give a whole number"))).to_be_visible(
            timeout=PATIENCE_MS
        )
        # Mixed at once on the page, and in the file when the slider is let go.
        number.fill("0")
        number.press("Enter")
        wait_for(page, expected(label="street"))
        strength = page.get_by_label("Strength").filter(visible=True)
        strength.fill("0.4")
        expect(page.locator(".after:visible")).to_have_css("opacity", "0.4")
        wait_for(page, expected(label="street", strength=0.4))
        page.get_by_label("Compare").filter(visible=True).press("ArrowRight")
        expect(page.locator(".after:visible")).to_have_css("clip-path", "inset(0px 0px 0px 50.1%)")
        # The other model has neither labels nor styles, and takes the same file.
        page.get_by_role("radio", name="Dim").click()
        wait_for(page, expected(three_tasks["dim"]))
        expect(page.get_by_role("radio", name="Street")).to_be_hidden()
        expect(page.get_by_role("button", name="Random style")).to_be_hidden()

        page.get_by_role("tab", name="Super resolution").click()
        large = three_tasks["large"]
        wait_for(page, expected(large))
        page.locator(".samples:visible").get_by_role("button").nth(1).click()
        expect(page.get_by_text("Download street-1-large.png")).to_be_visible(timeout=PATIENCE_MS)
        page.locator(".samples:visible").get_by_role("button").first.click()
        wait_for(page, expected(large))
        slider = page.locator(".detail input[type=number]")
        slider.fill("0.5")
        slider.press("Tab")
        wait_for(page, expected(large, detail=0.5))
        page.locator(".format:visible input").click()
        page.get_by_role("option", name="WebP").click()
        wait_for(page, expected(large, detail=0.5, output_format="webp"))
        page.screenshot(path=SCREENSHOTS / "detail.png", full_page=True)
        page.set_viewport_size({"width": 400, "height": 800})
        for name in ("Sketch to photo", "Day to night", "Super resolution"):
            page.get_by_role("tab", name=name).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= 400
