"""Take pictures of the page: every tab, on a desktop and on a phone, light and dark, each with a finished example.

    python benchmarks/screenshots.py --out screenshots

Prints one line per picture. Needs playwright and a Chromium on the machine; asks no other host for anything.
"""

import argparse
import io
import re
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from served import served

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"desktop": (1280, 900), "phone": (360, 740)}
SCHEMES = ("light", "dark")
PATIENCE_MS = 180_000
# Something is finished in the tab that is open, or it has nothing that could be.
READY = """() => {
  const shown = (part) => part.offsetParent !== null;
  const of = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const busy = of("[aria-busy=true], .progress-text, .eta-bar");
  const results = of(".studio, .compare");
  const done = of(".studio .result img, .compare .after .shown").filter((image) => image.naturalWidth);
  return !busy.length && done.length === results.length;
}"""


def take(page: Page, name: str, out: Path) -> None:
    """Store what is visible of the page, as a WebP file."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(400)  # for what fades in
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    path = out / f"{name}.webp"
    picture.save(path, quality=82, method=6)
    print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size // 1000} kB")


def tour(page: Page, out: Path, languages: str) -> None:
    """All tabs in all sizes and schemes; tabs are waited for once."""
    tabs = page.get_by_role("tab")
    tabs.first.wait_for(timeout=PATIENCE_MS)
    names = [text.strip() for text in tabs.all_inner_texts()]
    for number, name in enumerate(names):
        width, height = SIZES["desktop"]
        page.set_viewport_size({"width": width, "height": height})
        tabs.nth(number).click()
        page.wait_for_function(READY, timeout=PATIENCE_MS)
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + languages
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                take(page, f"{slug}-{size}-{scheme}", out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "screenshots", help="folder for the pictures")
    parser.add_argument("--address", help="of a page that runs already; otherwise one is started")
    parser.add_argument("--locale", default="en", help="language of the browser")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        sys.exit("no browser found; install Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(locale=options.locale).new_page()
        page.on("pageerror", lambda error: print(f"error on the page: {error}"))
        suffix = "" if options.locale == "en" else f"-{options.locale}"
        if options.address:
            page.goto(options.address)
            tour(page, options.out, suffix)
        else:
            with served("--device", "cpu") as address:
                page.goto(address)
                tour(page, options.out, suffix)
        browser.close()


if __name__ == "__main__":
    main()
