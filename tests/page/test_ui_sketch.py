"""The sketch canvas in a real browser: draw, and look at the photo that follows. Every wait has a deadline."""

import base64
import re
import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from statistics import median
from time import monotonic

import numpy as np
import pytest
from browsing import PATIENCE_MS, SLOW_PICTURES, Held, Served, carry, served, visited
from PIL import Image
from playwright.sync_api import Browser, Page, Request, expect

from translate.cli.main import main
from translate.inference.models import shipped
from translate.pictures.lines import draw_lines

pytestmark = pytest.mark.browser

SHOE = [(0.1, 0.65), (0.35, 0.62), (0.5, 0.42), (0.62, 0.45), (0.65, 0.62), (0.9, 0.7), (0.9, 0.78), (0.1, 0.78)]


def stroke(page: Page, points: Sequence[tuple[float, float]], steps: int = 5) -> None:
    """Draw through points given as shares of the sheet's sides."""
    box = page.locator("canvas").bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=steps)
    page.mouse.up()


def photo(page: Page) -> np.ndarray | None:
    """The photo that is shown, (H, W, 3)."""
    address = page.locator(".studio .result img").get_attribute("src")
    if not address or not page.locator(".studio .result img").is_visible():
        return None
    read = "async (a) => btoa(String.fromCharCode(...new Uint8Array(await (await fetch(a)).arrayBuffer())))"
    data = base64.b64decode(page.evaluate(read, address))
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether equally much is drawn; a stroke is smoothed a little when the pen is lifted."""
    return abs(ink(one) - ink(other)) < 0.05 * ink(other)


def wait_until(page: Page, check: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Wait for a photo that passes the check."""
    deadline = monotonic() + PATIENCE_MS / 1000
    while True:
        try:
            found_HWC = photo(page)
        except Exception:  # replaced while it was read
            found_HWC = None
        if found_HWC is not None and check(found_HWC):
            return found_HWC
        assert monotonic() < deadline, found_HWC
        page.wait_for_timeout(30)


def download(page: Page, name: str) -> tuple[str, bytes]:
    with page.expect_download() as begun:
        page.get_by_role("button", name=name).click()
    return begun.value.suggested_filename, begun.value.path().read_bytes()


def said(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator(".status")).to_have_text(text, timeout=PATIENCE_MS)


def ink(inverted_HWC: np.ndarray) -> float:
    return float((inverted_HWC[..., 0] > 128).mean())


def ends_at(inverted_HWC: np.ndarray, x: float, y: float) -> bool:
    """Whether a stroke that ends here is in the photo, which shows the strokes while they are drawn."""
    height, width = inverted_HWC.shape[:2]
    return bool(inverted_HWC[round(y * height), round(x * width) - 1, 0] > 128)


def test_draw_undo_and_download(page: Page, site: Served, tmp_path: Path) -> None:
    # A first visit shows a finished example, which makes room for what is drawn.
    wait_until(page, lambda found: found.shape == (64, 64, 3) and abs(found - 155).max() < 3)
    expect(page.locator(".hint")).to_have_text(re.compile("^An example"))
    stroke(page, [(0.2, 0.5), (0.8, 0.5)])
    one = wait_until(page, lambda found: ends_at(found, 0.8, 0.5) and ink(found) < 0.02)
    rows, columns = np.nonzero(one[..., 0] > 128)
    assert one.shape == (512, 512, 3)
    assert np.ptp(rows) < 8
    assert abs(columns.mean() - 256) < 8
    assert 290 < np.ptp(columns) < 330

    page.keyboard.press("3")
    expect(page.get_by_role("button", name="Thick pen")).to_have_attribute("aria-pressed", "true")
    stroke(page, [(0.2, 0.2), (0.8, 0.2)])
    two = wait_until(page, lambda found: ends_at(found, 0.8, 0.2) and ink(found) > 2.5 * ink(one))
    name, drawn = download(page, "Save the sketch")
    assert name == "sketch.png"
    name, made = download(page, "Download the photo")
    assert name == "sketch-invert.png"
    (tmp_path / "sketch.png").write_bytes(drawn)
    result = tmp_path / "out" / "sketch.png"
    model, out = site.models["invert"], tmp_path / "out"
    assert main(["convert", str(tmp_path / "sketch.png"), str(out), "--model", str(model)]) == 0
    assert made == result.read_bytes()
    assert ink(np.asarray(Image.open(BytesIO(made)).convert("RGB"))) == pytest.approx(ink(two), rel=0.1)

    page.keyboard.press("Control+z")
    wait_until(page, lambda found: alike(found, one))
    page.keyboard.press("Control+Shift+Z")
    wait_until(page, lambda found: alike(found, two))
    page.keyboard.press("e")
    stroke(page, [(0.2, 0.2), (0.8, 0.2)])
    wait_until(page, lambda found: alike(found, one))
    page.keyboard.press("Delete")
    expect(page.locator(".studio .result img")).to_be_hidden()
    page.get_by_role("button", name="Download the photo").click()
    said(page, "The sheet is empty: draw something or open a picture first.")
    page.get_by_role("button", name="Undo").click()
    wait_until(page, lambda found: alike(found, one))


def test_open_a_sketch_or_a_photo_or_trace_it(page: Page, site: Served, tmp_path: Path) -> None:
    photo_HWC = np.full((160, 120, 3), 255, np.uint8)
    photo_HWC[40:120, 30:90] = (200, 30, 30)
    Image.fromarray(photo_HWC).save(tmp_path / "red thing.png")
    Image.fromarray(draw_lines(photo_HWC)).save(tmp_path / "lines.tif")  # which browsers cannot show
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    lines_HWC = 255 - draw_lines(photo_HWC).astype(int)

    def near(expected_HWC: np.ndarray) -> Callable[[np.ndarray], bool]:
        return lambda found: found.shape == expected_HWC.shape and abs(found - expected_HWC).mean() < 3

    chosen = page.locator("input.file")
    chosen.set_input_files(tmp_path / "red thing.png")
    wait_until(page, near(lines_HWC))
    expect(page.get_by_label("Lines of a photo")).to_be_checked()
    expect(page.locator(".opened .name")).to_have_text("red thing.png. These lines are what the model sees.")
    assert download(page, "Download the photo")[0] == "red thing-invert.png"

    page.locator(".opened").get_by_text("Drawing").click()
    wait_until(page, near(255 - photo_HWC.astype(int)))
    page.get_by_text("Trace it").click()
    expect(page.locator(".underlay")).to_be_visible()
    expect(page.locator(".studio .result img")).to_be_hidden()
    stroke(page, [(0.2, 0.5), (0.8, 0.5)])
    traced = wait_until(page, lambda found: ink(found) > 0)
    assert np.median(traced) == 0  # the picture underneath is not part of the drawing
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".underlay")).to_be_visible()
    expect(page.locator(".studio .result img")).to_be_hidden()
    for _ in range(3):  # the clearing, the line, and the choice to trace
        page.get_by_role("button", name="Undo").click()
    wait_until(page, near(255 - photo_HWC.astype(int)))
    expect(page.locator(".underlay")).to_be_hidden()
    expect(page.get_by_label("Drawing", exact=True)).to_be_checked()

    chosen.set_input_files(tmp_path / "lines.tif")
    wait_until(page, near(lines_HWC))
    expect(page.get_by_label("Drawing", exact=True)).to_be_checked()
    name, made = download(page, "Download the photo")
    assert name == "lines-invert.tif"
    out = tmp_path / "out"
    assert main(["convert", str(tmp_path / "lines.tif"), str(out), "--model", str(site.models["invert"])]) == 0
    assert made == (out / "lines.tif").read_bytes()
    page.locator(".format").select_option("WebP")
    assert download(page, "Download the photo")[0] == "lines-invert.webp"
    stroke(page, [(0.2, 0.5), (0.8, 0.5)])
    expect(page.locator(".opened .name")).to_have_text(re.compile(r"sheet of 480 x 640 pixels\.$"))

    chosen.set_input_files(tmp_path / "broken.png")
    said(page, re.compile(r"^broken\.png: not a PNG"))
    expect(page.locator(".status")).to_have_class(re.compile("bad"))


def test_drop_and_paste(page: Page, tmp_path: Path) -> None:
    wait_until(page, lambda found: True)
    for event, kind, target in (("drop", "DragEvent", "canvas"), ("paste", "ClipboardEvent", "")):
        Image.new("L", (80, 40), 30).save(tmp_path / f"{event}.png")
        carry(page, event, kind, tmp_path / f"{event}.png", target)
        expect(page.locator(".opened .name")).to_have_text(re.compile(rf"^{event}\.png"), timeout=PATIENCE_MS)
        page.locator(".opened").get_by_text("Drawing").click()
        wait_until(page, lambda found: found.shape == (40, 80, 3) and abs(found - 225).max() < 3)


def test_looks(page: Page) -> None:

    def style_of(request: Request) -> str:
        found = re.search(r"[?&]style=([^&]*)", request.url)
        return found[1].replace("%2C", ",") if found else ""

    def asks_for(page: Page, act: Callable[[], object], style: str) -> None:
        """Requests of what was done before may come in between."""
        with page.expect_request(lambda one: "/sketch/live/" in one.url and re.fullmatch(style, style_of(one))):
            act()

    wait_until(page, lambda found: True)  # the example: nothing moves any more
    page.get_by_label("Model").filter(visible=True).select_option("Colours")
    stroke(page, SHOE)
    wait_until(page, lambda found: True)
    sliders = page.get_by_role("slider")
    expect(sliders).to_have_count(5)
    expect(page.get_by_label("Brightness")).to_have_value("0.5")
    expect(page.get_by_label("Hue")).to_have_css("background-image", re.compile("^linear-gradient"))
    asks_for(page, lambda: page.get_by_label("Brightness").press("ArrowRight"), "0.55,1,0,0,-0.5")
    asks_for(page, lambda: page.get_by_label("Hue").fill("90"), "0.55,0,1,0,-0.5")
    page.get_by_role("button", name="Copy as a command").click()
    command = "translate convert sketch.png results --model colours/model.onnx --label shoe --style=0.55,0,1,0,-0.5"
    said(page, re.compile(re.escape(command) + "$"))
    page.get_by_label("Format").filter(visible=True).select_option("webp")
    page.get_by_role("button", name="Copy as a command").click()
    said(page, re.compile(re.escape(f"{command} --format webp") + "$"))
    asks_for(page, lambda: page.keyboard.press("0"), "")
    expect(page.get_by_label("Brightness")).to_have_value("0.5")
    vector = r"(-?\d(\.\d+)?,){4}-?\d(\.\d+)?"
    asks_for(page, lambda: page.get_by_role("button", name="Random look").click(), vector)

    page.get_by_role("button", name="Six variations").click()
    sixth = page.get_by_role("button", name="Variation 6")
    expect(sixth).to_be_enabled(timeout=PATIENCE_MS)
    asks_for(page, sixth.click, vector)
    with page.expect_request(re.compile("/sketch/live/.*label=handbag")):
        page.get_by_text("Handbag", exact=True).click()

    page.get_by_label("Model").select_option("Numbered")
    expect(page.get_by_label("Brightness")).to_be_hidden()
    expect(page.get_by_text("Handbag", exact=True)).to_be_hidden()
    number = page.get_by_label("Style number")
    number.fill("42")
    asks_for(page, lambda: number.press("Enter"), "42")
    number.fill("0.5")
    number.press("Enter")
    said(page, re.compile(r"^style is '0\.5'; give a whole number"))
    page.get_by_label("Model").select_option("Invert")
    expect(number).to_be_hidden()
    expect(page.get_by_role("button", name="Random look")).to_be_hidden()
    wait_until(page, lambda found: ink(found) < 2)


def test_what_comes_late_is_for_the_model_it_was_asked_for(page: Page, tmp_path: Path) -> None:
    wait_until(page, lambda found: True)
    models = page.get_by_label("Model").filter(visible=True)
    models.select_option("Colours")
    stroke(page, SHOE)
    page.get_by_text("Handbag", exact=True).click()
    page.locator(".result[aria-busy=false]").wait_for()
    # Six variations, while another model is chosen that has no styles: the rest is not asked for.
    live = Held(page, "**/sketch/live/**")
    page.get_by_role("button", name="Six variations").click()
    first = live.next()
    page.get_by_text("Shoe", exact=True).click()
    live.next().continue_()
    first.continue_()
    second = live.next()  # for the label that the first was for
    assert "label=handbag" in second.request.url
    models.select_option("Invert")
    live.next().continue_()
    with page.expect_response(lambda answer: answer.url == second.request.url):
        second.continue_()
    models.select_option("Numbered")
    last = live.next()
    assert "model=6" in last.request.url, "no third variation"
    last.continue_()
    live.end()
    said(page, "")
    # A look like that of a photograph, while a model is chosen that has numbers.
    models.select_option("Colours")
    Image.new("RGB", (40, 40), (200, 90, 20)).save(tmp_path / "leather.png")
    matched = Held(page, "**/sketch/look**")
    page.locator("input.likeness").set_input_files(tmp_path / "leather.png")
    answered = matched.next()
    models.select_option("Numbered")
    answered.continue_()
    expect(page.locator(".studio")).to_have_attribute("aria-busy", "false")
    expect(page.get_by_label("Style number")).to_have_value("0")
    # What was wrong is not said any more once something right was asked for.
    page.locator(".result[aria-busy=false]").wait_for()
    live = Held(page, "**/sketch/live/**")
    number = page.get_by_label("Style number")
    for style in ("0.5", "42"):
        number.fill(style)
        number.press("Enter")
    live.next().continue_()
    live.next().continue_()
    live.end()
    page.locator(".result[aria-busy=false]").wait_for()
    said(page, "")


def test_what_was_opened_last_stays(page: Page, tmp_path: Path) -> None:
    wait_until(page, lambda found: True)
    for name, level in (("slow", 30), ("quick", 60)):
        Image.new("L", (80, 40), level).save(tmp_path / f"{name}.png")
    reads = Held(page, "**/sketch/picture**")
    for name in ("slow", "quick"):
        page.locator("input.file").set_input_files(tmp_path / f"{name}.png")
    slow, quick = reads.next(), reads.next()
    quick.continue_()
    opened = page.locator(".opened .name")
    expect(opened).to_have_text(re.compile(r"^quick\.png"))
    expect(page.locator(".studio")).to_have_attribute("aria-busy", "true")
    slow.continue_()
    expect(page.locator(".studio")).to_have_attribute("aria-busy", "false")
    expect(opened).to_have_text(re.compile(r"^quick\.png"))
    # An example brings its label, but not to a model that has no labels.
    models = page.get_by_label("Model").filter(visible=True)
    models.select_option("Colours")
    tile = page.get_by_role("button", name="handbag 1")
    expect(tile.locator("img")).to_have_js_property("complete", True)
    examples = Held(page, "**/sketch/sample/*/0")
    tile.click()
    example = examples.next()
    models.select_option("Numbered")
    example.continue_()
    expect(page.locator(".studio")).to_have_attribute("aria-busy", "false")
    page.get_by_role("button", name="Copy as a command").click()
    said(page, re.compile("translate convert handbag-1.png results --model numbered/model.onnx$"))
    # A cleared sheet has no photo, not even one that was on its way.
    result = page.locator(".studio .result")
    expect(result).to_have_attribute("aria-busy", "false")
    page.evaluate(SLOW_PICTURES)
    with page.expect_response(re.compile("/sketch/live/")) as answer:
        stroke(page, SHOE[:2])
    answer.value.finished()
    page.evaluate("new Promise((done) => setTimeout(done))")
    page.keyboard.press("Delete")
    page.evaluate("window.late()")
    expect(result).to_have_attribute("aria-busy", "false")
    expect(result.locator("img")).to_be_hidden()


def test_a_page_without_its_program_says_so(page: Page) -> None:
    wait_until(page, lambda found: True)
    page.route("**/sketch/live/**", lambda route: route.abort())
    stroke(page, SHOE)
    said(page, "The program behind this page does not answer. Is it still running?")


@pytest.mark.skipif(not shipped(), reason="no model is shipped")
def test_the_photo_follows_the_pen(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    with served("sketch-to-photo") as address, visited(browser, address) as page:
        result = page.locator(".studio .result")
        expect(result).to_have_attribute("data-pictures", "1", timeout=PATIENCE_MS)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url) if "/sketch/live/" in request.url else None)
        times: list[int] = []
        for start in range(len(SHOE) - 1):
            stroke(page, SHOE[start : start + 2], steps=3)
            expect(result).to_have_attribute("aria-busy", "false", timeout=PATIENCE_MS)
            times.append(int(result.get_attribute("data-milliseconds") or 0))
        quiet = len(sent)
        # Six strokes at once: some are left out, the last is not.
        for number in range(6):
            stroke(page, [(0.2, 0.1 + 0.03 * number), (0.8, 0.1 + 0.03 * number)], steps=1)
        expect(result).to_have_attribute("aria-busy", "false", timeout=PATIENCE_MS)
        with capsys.disabled():
            sys.stdout.write(
                f"\npen-up to picture: median {median(times):.0f} ms, most {max(times)} ms of {times}; "
                f"{quiet} requests for {len(times)} strokes, {len(sent) - quiet} for 6 quick ones\n"
            )
        page.set_viewport_size({"width": 360, "height": 740})
        page.emulate_media(color_scheme="dark")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_drawing_without_a_mouse(page: Page) -> None:
    wait_until(page, lambda found: True)
    page.locator("canvas").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".mark")).to_be_visible()
    page.keyboard.press("Space")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")  # with the pen lifted
    drawn_HWC = wait_until(page, lambda found: found.shape[0] == 512 and ends_at(found, 0.78, 0.5))
    rows, columns = np.nonzero(drawn_HWC[..., 0] > 128)
    assert np.ptp(rows) < 8
    assert 0.28 * 512 < np.ptp(columns) < 0.33 * 512
    assert columns.min() == pytest.approx(0.48 * 512, abs=4)
    page.keyboard.press("Control+z")
    expect(page.locator(".studio .result img")).to_be_hidden()
    page.keyboard.press("Tab")
    expect(page.locator(".mark")).to_be_hidden()
