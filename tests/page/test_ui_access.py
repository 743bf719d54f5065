"""Everybody can use the page: what axe-core finds, what the Tab key reaches, and which language it speaks."""

import re
from importlib.resources import files
from typing import Any

import pytest
from browsing import PATIENCE_MS, Served, visited
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

TABS = ("Sketch to photo", "Day to night", "Super resolution")
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
    const own = event.target.matches(".own button, .own select, .own canvas, .own [type=number], .own .stage");
    if (own && style.outlineStyle === "none") window.reached.add("no outline: " + event.target.outerHTML.slice(0, 160));
  });
  window.missed = () => [
    ...[...document.querySelectorAll(inside)]
      .filter((one) => seen(one) && one.tabIndex >= 0 && !window.reached.has(key(one)))
      .map((one) => one.outerHTML.slice(0, 200)),
    ...[...window.reached].filter((one) => typeof one === "string" && one.startsWith("no outline")),
  ];
}"""


def go_to(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click(timeout=PATIENCE_MS)
    finished = page.locator(".after .shown, .studio .result img").filter(visible=True)
    expect(finished).to_be_visible(timeout=PATIENCE_MS)


def findings(page: Page) -> Any:
    return page.evaluate(FOUND, RULES)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(scheme: str, browser: Browser, site: Served) -> None:
    with visited(browser, site.address, color_scheme=scheme) as page:
        page.add_script_tag(content=AXE)
        for tab in TABS:
            go_to(page, tab)
            expect(page.locator(".pending, .generating").filter(visible=True)).to_have_count(0, timeout=PATIENCE_MS)
            assert findings(page) == [], tab
            if tab == "Super resolution":
                page.keyboard.press("c")
                assert findings(page) == [], "side by side"
                page.keyboard.press("?")
                expect(page.get_by_role("dialog")).to_be_visible()
                assert findings(page) == [], "shortcuts"


def test_tab_reaches_every_control(page: Page) -> None:
    for tab in TABS:
        go_to(page, tab)
        page.evaluate(CONTROLS)
        page.get_by_role("tab", name=tab).focus()
        for _ in range(80):
            page.keyboard.press("Tab")
        assert page.evaluate("window.missed()") == [], tab


def test_shortcuts_are_listed(page: Page) -> None:
    go_to(page, "Day to night")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Zoom in")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_german(browser: Browser, site: Served) -> None:
    with visited(browser, site.address, locale="de-AT") as page:
        expect(page.get_by_role("tab")).to_have_text(
            ["Skizze zu Foto", "Tag zu Nacht", "Vergrößern"], timeout=PATIENCE_MS
        )
        expect(page.get_by_role("button", name="Foto herunterladen")).to_be_visible()
        go_to(page, "Tag zu Nacht")
        expect(page.get_by_role("button", name="square-2-night.png herunterladen")).to_be_visible(timeout=PATIENCE_MS)
        expect(page.get_by_text("Das Ergebnis ist so groß wie das Bild.").filter(visible=True)).to_be_visible()
        english = re.compile(r"\b(the|picture|download|model|undo)\b", re.IGNORECASE)
        own = page.locator(".own, .intro, .about").filter(visible=True).all_inner_texts()
        assert [text for text in own if english.search(text)] == []
    with visited(browser, site.address, locale="fr-FR") as page:
        expect(page.get_by_role("tab").first).to_have_text("Sketch to photo", timeout=PATIENCE_MS)
