"""Everybody can use the page: what axe-core finds, what the Tab key reaches, and which language it speaks."""

import re
import shutil
from collections.abc import Generator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from browsing import PATIENCE_MS, Served, served_tiny, visited
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

RESULT = ".after .shown, .studio .result img"
TABS = {
    "Sketch to photo": RESULT,
    "Day to night": RESULT,
    "Super resolution": RESULT,
    "Batch": ".batch .none",
    "Models": ".models-tab article",
    "Train": ".train .needs",
}
"""The tabs, and what is there when they are complete."""
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
FOUND = """async (rules) => {
  const changing = document.getAnimations().filter((one) => one instanceof CSSTransition);
  await Promise.allSettled(changing.map((one) => one.finished));  // colours on their way are no colours to judge
  const found = await axe.run(document, {runOnly: rules, resultTypes: ["violations"]});
  return found.violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`));
}"""

CONTROLS = """() => {
  const inside = 'a[href], button:not(:disabled), input:not([type=hidden]), select, textarea, [tabindex="0"]';
  const seen = (one) => one.offsetParent !== null && getComputedStyle(one).visibility !== "hidden";
  window.reached = new Set();
  const key = (one) => (one.type === "radio" ? `radio ${one.name}` : one);  // Tab goes to one of a group
  document.addEventListener("focusin", (event) => {
    window.reached.add(key(event.target));
    const style = getComputedStyle(event.target);
    const own = event.target.closest(".own, .batch, .models-tab, .train")
      && event.target.matches("button, select, canvas, [type=number], .stage");
    if (own && style.outlineStyle === "none") window.reached.add("no outline: " + event.target.outerHTML.slice(0, 160));
  });
  window.missed = () => [
    ...[...document.querySelectorAll(inside)]
      .filter((one) => seen(one) && one.tabIndex >= 0 && !window.reached.has(key(one)))
      .map((one) => one.outerHTML.slice(0, 200)),
    ...[...window.reached].filter((one) => typeof one === "string" && one.startsWith("no outline")),
  ];
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Generator[Served]:
    """The page with all its tabs and switches."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(photos, folder / "data" / "boxes")
    training = ["--allow-training", "--data-root", folder / "data", "--runs-dir", folder / "runs"]
    with served_tiny(folder, [*training, "--credentials", "on"]) as site:
        yield site


def go_to(page: Page, tab: str, complete: str) -> None:
    page.get_by_role("tab", name=tab).click(timeout=PATIENCE_MS)
    expect(page.locator(complete).filter(visible=True).first).to_be_visible(timeout=PATIENCE_MS)


def findings(page: Page) -> Any:
    """What axe finds serious in the page as it is now."""
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(content=AXE)
    return page.evaluate(FOUND, RULES)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(scheme: str, browser: Browser, site: Served) -> None:
    with visited(browser, site.address, color_scheme=scheme) as page:
        for tab, complete in TABS.items():
            go_to(page, tab, complete)
            expect(page.locator(".pending, .generating").filter(visible=True)).to_have_count(0, timeout=PATIENCE_MS)
            assert findings(page) == [], tab
            if tab == "Super resolution":
                page.keyboard.press("c")
                assert findings(page) == [], "side by side"
                page.keyboard.press("?")
                expect(page.get_by_role("dialog")).to_be_visible()
                assert findings(page) == [], "shortcuts"
                page.keyboard.press("Escape")
            elif tab == "Batch":
                page.locator(".batch input[type=file]").set_input_files(
                    site.models["large"].parent / "samples/street-1.png"
                )
                page.get_by_role("button", name="Convert 1 file").click()
                expect(page.locator(".job .grid img")).to_be_visible(timeout=PATIENCE_MS)
                page.locator(".job .facts summary").click()
                assert findings(page) == [], "a finished batch"
            elif tab == "Train":
                page.get_by_role("button", name="Look at the pictures").click()
                expect(page.get_by_role("button", name="Start training")).to_be_visible(timeout=4 * PATIENCE_MS)
                assert findings(page) == [], "pictures that were looked at"


def test_tab_reaches_every_control(page: Page) -> None:
    for tab, complete in TABS.items():
        go_to(page, tab, complete)
        page.evaluate(CONTROLS)
        page.get_by_role("tab", name=tab).focus()
        for _ in range(80):
            page.keyboard.press("Tab")
        assert page.evaluate("window.missed()") == [], tab


def test_shortcuts_are_listed(page: Page) -> None:
    go_to(page, "Day to night", RESULT)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Zoom in")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    go_to(page, "Sketch to photo", TABS["Sketch to photo"])
    page.keyboard.press("?")
    page.keyboard.press("e")  # whoever tries a key while the list is open does not change the drawing behind it
    expect(page.locator("[data-eraser]")).to_have_attribute("aria-pressed", "false")


def test_german(browser: Browser, site: Served) -> None:
    with visited(browser, site.address, locale="de-AT") as page:
        tabs = ["Skizze zu Foto", "Tag zu Nacht", "Vergrößern", "Stapel", "Modelle", "Trainieren"]
        expect(page.get_by_role("tab")).to_have_text(tabs, timeout=PATIENCE_MS)
        expect(page.get_by_role("button", name="Foto herunterladen")).to_be_visible()
        english = re.compile(r"\b(the|picture|pictures|download|model|undo|delete|start)\b", re.IGNORECASE)
        own = ".own, .intro, .about, .batch, .models-tab p, .models-tab dt, .models-tab button, .train"
        for tab, complete in zip(tabs, TABS.values(), strict=True):
            go_to(page, tab, complete)
            texts = page.locator(own).filter(visible=True).all_inner_texts()
            assert [text for text in texts if english.search(text)] == [], tab
            if tab == "Tag zu Nacht":
                name = "square-2-night.png herunterladen"
                expect(page.get_by_role("button", name=name)).to_be_visible(timeout=PATIENCE_MS)
                expect(page.get_by_text("Das Ergebnis ist so groß wie das Bild.").filter(visible=True)).to_be_visible()
            if tab == "Stapel":
                count = "[1, 2].map((n) => word('batch.pictures', {n}))"
                assert page.evaluate(count) == ["1 Bild", "2 Bilder"]
    with visited(browser, site.address, locale="fr-FR") as page:
        expect(page.get_by_role("tab").first).to_have_text("Sketch to photo", timeout=PATIENCE_MS)
