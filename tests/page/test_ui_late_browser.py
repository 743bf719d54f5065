"""Results that come late, or beside those of others, in a real browser."""

import re
from pathlib import Path

import pytest
from browsing import Held, Served, visited
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from test_ui_browser import go_to, made, upload, visible, wait_for

pytestmark = pytest.mark.browser


def test_two_visitors_never_get_each_others_pictures(browser: Browser, site: Served, tmp_path: Path) -> None:
    expected: list[Path] = []
    for level in (40, 200):
        source = tmp_path / str(level) / "mine.png"
        source.parent.mkdir()
        Image.new("RGB", (32, 32), (level, 90, 90)).save(source)
        expected.append(made(site.models["dim"], source, tmp_path / f"out-{level}"))
    sources = [tmp_path / level / "mine.png" for level in ("40", "200")]
    with visited(browser, site.address) as one, visited(browser, site.address) as other:
        pages = (one, other)
        for page in pages:
            go_to(page, "Day to night")
            page.get_by_role("radio", name="Dim").click()
            expect(page.get_by_text("Download square-2-dim.png")).to_be_visible()
        for _ in range(2):
            for page, source in zip(pages, sources, strict=True):
                upload(page, source)
            for page, result in zip(pages, expected, strict=True):
                wait_for(page, result)
                strength = visible(page, ".strength input")
                strength.fill("0.5")  # which takes what was kept
            for page, source in zip(pages, sources, strict=True):
                half = made(site.models["dim"], source, tmp_path / "half" / source.parent.name, strength=0.5)
                wait_for(page, half)


def test_what_is_chosen_while_a_result_is_made(page: Page, site: Served, tmp_path: Path) -> None:
    night = site.models["night"]
    samples = night.parent / "samples"
    mine = tmp_path / "mine.png"
    Image.new("RGB", (32, 32), (120, 90, 60)).save(mine)
    page = page.context.new_page()
    asked = Held(page, "**/queue/join*")
    page.goto(site.address)
    asked.go()
    # A picture of one's own, while the example of the first look is made.
    page.get_by_role("tab", name="Day to night").click()
    asked.go()
    example = asked.next()
    upload(page, mine)
    own = asked.next()
    asked.go(example)
    expect(page.get_by_text("Download square-2-night.png")).to_be_visible()
    asked.go(own)
    wait_for(page, made(night, mine, tmp_path / "1", label="square"))
    page.get_by_role("radio", name="Street").click()
    asked.go()
    wait_for(page, made(night, mine, tmp_path / "2", label="street"))
    # Another picture, before the first is there.
    upload(page, samples / "street-1.png")
    first = asked.next()
    with page.expect_response(re.compile("/gradio_api/upload")):
        upload(page, mine)
    asked.go(first)
    expect(page.get_by_text("Download street-1-night.png")).to_be_visible()
    asked.go()
    wait_for(page, made(night, mine, tmp_path / "3", label="street"))
    # Another label, while an example is made that has a label of its own.
    page.locator(".samples:visible").get_by_role("button").nth(1).click()
    asked.go()
    example = asked.next()
    page.get_by_role("radio", name="Square").click()
    other = asked.next()
    asked.go(example)
    wait_for(page, made(night, samples / "street-1.png", tmp_path / "street", label="street"))
    asked.go(other)
    wait_for(page, made(night, samples / "street-1.png", tmp_path / "4", label="square"))
    expect(page.get_by_role("radio", name="Square")).to_be_checked()
    # Another format, while a result is made that is shown with its full strength, unlike the one before.
    visible(page, ".strength input").fill("0.4")
    asked.go()
    wait_for(page, made(night, samples / "street-1.png", tmp_path / "5", label="square", strength=0.4))
    upload(page, samples / "square-2.png")
    run = asked.next()
    page.locator(".format:visible input").click()
    page.get_by_role("option", name="WebP").click()
    file = asked.next()
    asked.go(run)
    wait_for(page, made(night, samples / "square-2.png", tmp_path / "6", label="square"))
    asked.go(file)
    wait_for(page, made(night, samples / "square-2.png", tmp_path / "7", label="square", output_format="webp"))
    expect(visible(page, ".after .shown")).to_have_css("opacity", "1")
    # Another model and back, before the first of them has its controls.
    page.get_by_role("radio", name="Dim").click()
    first = asked.next()
    page.get_by_role("radio", name="Night").click()
    first.continue_()
    asked.end()
    expect(page.get_by_role("radio", name="Street")).to_be_checked()
    wait_for(page, made(night, samples / "square-2.png", tmp_path / "8", label="street", output_format="webp"))
