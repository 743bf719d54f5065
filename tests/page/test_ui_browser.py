"""The tabs of tasks whose input is a file, in a real browser: upload, compare what comes back, download it."""

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
from browsing import PATIENCE_MS, SLOW_PICTURES, Served, carry, visited
from made_files import bomb
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from translate.cli.main import main
from translate.conversion.worker import Conversion
from translate.inference.engine import Engine
from translate.pictures.operations import Picture, bicubic, read_picture, write_picture
from ui import files

pytestmark = pytest.mark.browser


def visible(page: Page, selector: str) -> Locator:
    return page.locator(selector).filter(visible=True)


def go_to(page: Page, tab: str) -> None:
    """Open a tab, and wait for the example that it shows at first."""
    page.get_by_role("tab", name=tab).click()
    expect(visible(page, ".after .shown, .studio .result img")).to_be_visible()


def upload(page: Page, path: Path) -> None:
    """Choose a file in the tab that is open."""
    visible(page, ".work").locator("input[type=file]").set_input_files(path)


def downloaded(page: Page) -> tuple[str, bytes]:
    """Download the result by its button; its name and its bytes."""
    buttons = page.get_by_role("button", name="Download").or_(page.get_by_role("link", name="Download"))
    with page.expect_download() as download:
        buttons.filter(visible=True).first.click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def wait_for(page: Page, expected: Path) -> None:
    """Wait until what is downloaded is the expected file."""
    named = page.get_by_text(f"Download {expected.name}", exact=True).filter(visible=True)
    expect(named).to_be_visible()
    deadline = monotonic() + PATIENCE_MS / 1000
    while (found := downloaded(page)) != (expected.name, expected.read_bytes()):
        assert monotonic() < deadline, (found[0], len(found[1]))
        page.wait_for_timeout(50)


def commanded(model: Path, source: Path, folder: Path) -> Path:
    """What the command makes of a file."""
    assert main(["convert", str(source), str(folder), "--model", str(model), "--name", files.NAME]) == 0
    (expected,) = folder.iterdir()
    return expected


def made(model: Path, source: Path, folder: Path, **how: Any) -> Path:
    """The same without the command, see `test_ui_files.py`."""
    return files.convert_file(Engine(model), source, folder, Conversion(name=files.NAME, **how))[0]


def test_uploads_become_what_the_command_makes(page: Page, site: Served, tmp_path: Path, image_HWC: np.ndarray) -> None:
    write_picture(tmp_path / "deep one.tiff", Picture(image_HWC.astype(np.uint16) * 200))
    first, *others = (Image.fromarray(np.roll(image_HWC, shift, axis=1)) for shift in (0, 4, 8))
    first.save(tmp_path / "moving.webp", save_all=True, append_images=others, duration=80, lossless=True)
    go_to(page, "Super resolution")
    for name in ("deep one.tiff", "moving.webp"):
        upload(page, tmp_path / name)
        out = tmp_path / f"out-{name}".replace(".", "-")
        wait_for(page, commanded(site.models["large"], tmp_path / name, out))
    expect(page.get_by_text("This is the first of 3 frames")).to_be_visible()
    for event, kind, target in (("drop", "DragEvent", ".stage"), ("paste", "ClipboardEvent", "")):
        Image.fromarray(np.roll(image_HWC, len(event), axis=1)).save(tmp_path / f"{event}.png")
        carry(page, event, kind, tmp_path / f"{event}.png", target)
        wait_for(page, commanded(site.models["large"], tmp_path / f"{event}.png", tmp_path / f"out-{event}"))


def test_bad_uploads_each_show_their_sentence(page: Page, site: Served, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)).save(good)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:2000])
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "bomb.png").write_bytes(bomb())
    with (tmp_path / "long.png").open("wb") as file:
        file.truncate(53 * 1000**2)
    go_to(page, "Day to night")
    for name, sentence in (
        ("broken.png", r"^broken\.png: not a PNG"),
        ("cut.png", r"^cut\.png: damaged picture"),
        ("bomb.png", r"^bomb\.png: 60000 x 60000 pixels is too large"),
        ("notes.txt", r"Invalid file type"),
        ("long.png", r"exceed the maximum allowed size"),
    ):
        upload(page, tmp_path / name)
        expect(page.get_by_text(re.compile(sentence)).first).to_be_visible()


def test_a_browser_that_leaves_during_an_upload_is_no_error(site: Served) -> None:
    head = b"POST /gradio_api/upload HTTP/1.1\r\nHost: here\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    place = urlsplit(site.address)
    assert place.hostname is not None
    for _ in range(3):
        with socket.create_connection((place.hostname, place.port)) as connection:
            connection.sendall(head + b"Content-Length: 1000\r\n\r\n--b\r\n")
        assert urlopen(site.address).status == 200  # and at the end the program must not have printed anything


def test_only_files_of_the_page_are_served(site: Served, tmp_path: Path) -> None:
    for path in (site.models["dim"], tmp_path, "../model.onnx"):
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{site.address}gradio_api/file={path}")
        assert caught.value.code in (403, 404)
        caught.value.close()


def test_the_controls_of_day_and_night(page: Page, site: Served, tmp_path: Path) -> None:
    night = site.models["night"]

    def expected(model: Path = night, **how: Any) -> Path:
        folder = tmp_path / f"made-{len(list(tmp_path.iterdir()))}"
        return made(model, model.parent / "samples" / "square-2.png", folder, **how)

    expect(page.get_by_role("tab")).to_have_text(
        ["Sketch to photo", "Day to night", "Super resolution", "Batch", "Models"]
    )
    go_to(page, "Day to night")
    # A first look finds the first sample with its result. The label comes from its name: the second, in the
    # default style.
    wait_for(page, expected(label="square"))
    expect(page.get_by_role("radio", name="Square")).to_be_checked()
    page.get_by_role("radio", name="Street").click()
    wait_for(page, expected(label="street"))
    page.get_by_role("button", name="Random style").click()
    number = page.get_by_label("Style", exact=True)
    expect(number).not_to_have_value("0")
    style = int(number.input_value())
    styled = expected(label="street", style=style)
    wait_for(page, styled)
    page.get_by_role("button", name="Default").click()
    wait_for(page, expected(label="street"))
    number.fill("0.5")
    number.press("Enter")
    expect(page.get_by_text(re.compile(r"^the style is 0\.5; give a whole number"))).to_be_visible()
    # The picture may come later than the file to download; a strength that is chosen meanwhile holds.
    page.evaluate(SLOW_PICTURES)
    number.fill(str(style))
    number.press("Enter")
    wait_for(page, styled)
    page.evaluate("window.fast()")
    # Mixed at once on the page, and in the file when the slider is let go.
    page.get_by_label("Strength").filter(visible=True).fill("0.4")
    expect(visible(page, ".after .shown")).to_have_css("opacity", "0.4")
    page.evaluate("window.late()")
    wait_for(page, expected(label="street", style=style, strength=0.4))
    expect(visible(page, ".after .shown")).to_have_css("opacity", "0.4")
    page.get_by_role("slider", name="Compare").press("ArrowRight")
    expect(visible(page, ".after")).to_have_css("clip-path", "inset(0px 0px 0px 50.1%)")
    # The other model has neither labels nor styles, and takes the same file. Pictures that are replaced while they are
    # loaded are no error.
    page.evaluate(SLOW_PICTURES, True)
    page.get_by_role("button", name="Default").click()
    wait_for(page, expected(label="street"))
    page.evaluate("window.fast()")
    page.get_by_role("radio", name="Dim").click()
    wait_for(page, expected(site.models["dim"]))
    page.evaluate("window.late()")
    expect(page.get_by_role("radio", name="Street")).to_be_hidden()
    expect(page.get_by_role("button", name="Random style")).to_be_hidden()


def shown(page: Page, view: str) -> np.ndarray:
    """The pixels of one of the pictures that are compared."""
    address = page.locator(f".{view} .shown").filter(visible=True).get_attribute("src")
    assert address is not None
    with urlopen(address) as answer, Image.open(answer) as picture:
        return np.asarray(picture.convert("RGB"))


def transforms(page: Page) -> list[list[float]]:
    """Where each view's picture lies, and how wide it is: x, y, width in CSS pixels."""
    return (
        page.locator(".view .shown")
        .filter(visible=True)
        .evaluate_all(
            """(images) => images.map((image) => {
            const {a, e, f} = new DOMMatrix(getComputedStyle(image).transform);
            return [e, f, a * image.naturalWidth];
        })"""
        )
    )


def test_enlarged_pictures_are_compared_in_step(page: Page, site: Served, tmp_path: Path) -> None:
    large = site.models["large"]
    go_to(page, "Super resolution")
    wait_for(page, made(large, large.parent / "samples/square-2.png", tmp_path / "first"))
    expect(visible(page, ".facts")).to_have_text(
        re.compile(r"^80 x 48 pixels\. Made in \d+\.\d s, [\d.e-]+ million pixels per second\.$")
    )
    page.get_by_text("Side by side").filter(visible=True).click()
    expect(visible(page, ".view")).to_have_count(3)
    before_HWC = read_picture(large.parent / "samples/square-2.png").rgb_HWC
    np.testing.assert_array_equal(shown(page, "before"), before_HWC)
    np.testing.assert_array_equal(shown(page, "bicubic"), bicubic(before_HWC, 48, 80))
    np.testing.assert_array_equal(shown(page, "after"), before_HWC.repeat(2, axis=0).repeat(2, axis=1))

    page.keyboard.press("1")  # 100 %
    assert {round(width) for _, _, width in transforms(page)} == {80}
    zoom = visible(page, ".zoom output")
    expect(zoom).to_have_text("100 %")
    page.get_by_role("button", name="Zoom in").click()
    expect(zoom).to_have_text("150 %")
    for _ in range(5):
        page.keyboard.press("+")
    box = visible(page, ".view").first.bounding_box()
    assert box is not None
    place = box["x"] + 30, box["y"] + 60
    old = transforms(page)
    page.mouse.move(*place)
    page.mouse.wheel(0, -200)
    expect(zoom).not_to_have_text("1139 %")
    moved = transforms(page)
    assert len({tuple(round(number, 2) for number in one) for one in moved}) == 1  # all views alike
    (x, _, width), (new_x, _, new_width) = old[0], moved[0]
    assert (30 - x) / width == pytest.approx((30 - new_x) / new_width, abs=1e-3)  # what the mouse is at stays there
    page.mouse.down()
    page.mouse.move(place[0] - 20, place[1] - 10, steps=2)
    page.mouse.up()
    dragged = transforms(page)
    assert [dragged[2][i] - moved[0][i] for i in range(3)] == pytest.approx([-20, -10, 0], abs=0.1)
    assert dragged[0] == pytest.approx(dragged[2])
    visible(page, ".stage").focus()
    page.keyboard.press("ArrowRight")
    assert transforms(page)[1][0] == pytest.approx(dragged[0][0] - 60, abs=0.1)
    page.keyboard.press("0")
    page.keyboard.press("c")
    expect(visible(page, ".view")).to_have_count(2)
    page.get_by_text("Bicubic", exact=True).filter(visible=True).first.click()
    expect(visible(page, ".bicubic")).to_be_visible()
    expect(visible(page, ".before")).to_have_count(0)


def test_two_fingers_zoom(browser: Browser, site: Served) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    with visited(browser, site.address, **phone) as page:
        go_to(page, "Super resolution")
        stage = visible(page, ".stage")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        assert box is not None
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        (_, _, width), *_ = transforms(page)
        screen = page.context.new_cdp_session(page)
        for kind, apart in (("touchStart", 30), *(("touchMove", x) for x in range(32, 61, 2)), ("touchEnd", None)):
            fingers = [] if apart is None else [(middle[0] - apart, 0), (middle[0] + apart, 1)]
            points = [{"x": x, "y": middle[1], "id": number} for x, number in fingers]
            screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        (x, _, wide), *_ = transforms(page)
        assert wide == pytest.approx(2 * width, rel=0.05)
        assert x + wide / 2 == pytest.approx(box["width"] / 2, abs=8)  # about what is between the fingers


def test_the_controls_of_enlarging(page: Page, site: Served, tmp_path: Path) -> None:
    large = site.models["large"]
    sample = large.parent / "samples/square-2.png"
    go_to(page, "Super resolution")
    wait_for(page, made(large, sample, tmp_path / "1"))
    page.locator(".samples:visible").get_by_role("button").nth(1).click()
    expect(page.get_by_text("Download street-1-large.png")).to_be_visible()
    page.locator(".samples:visible").get_by_role("button").first.click()
    wait_for(page, made(large, sample, tmp_path / "2"))
    slider = page.locator(".detail input[type=number]")
    slider.fill("0.5")
    slider.press("Tab")
    wait_for(page, made(large, sample, tmp_path / "3", detail=0.5))
    page.locator(".format:visible input").click()
    page.get_by_role("option", name="WebP").click()
    wait_for(page, made(large, sample, tmp_path / "4", detail=0.5, output_format="webp"))
    # A file that was compressed strongly suits another model, which a button takes.
    worn = tmp_path / "worn.jpg"
    Image.open(sample).save(worn, quality=30)
    upload(page, worn)
    expect(page.get_by_text("traces of JPEG compression").filter(visible=True)).to_be_visible()
    page.get_by_role("button", name="Use that model").click()
    wait_for(page, made(site.models["large-restoring"], worn, tmp_path / "5", output_format="webp"))
    expect(page.get_by_role("radio", name="Large restoring")).to_be_checked()
    expect(page.get_by_role("button", name="Use that model")).to_be_hidden()
    expect(page.locator(".detail")).to_be_hidden()


def test_nothing_is_wider_than_a_phone(browser: Browser, site: Served) -> None:
    with visited(browser, site.address, viewport={"width": 360, "height": 740}, locale="de-DE") as page:
        for tab in ("Skizze zu Foto", "Tag zu Nacht", "Vergrößern"):
            go_to(page, tab)
            expect(page.get_by_text(re.compile(r"herunterladen$")).filter(visible=True)).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
