"""The page: how long after the pen is lifted the photo of the drawing is on the screen.

Starts the page, draws strokes in a headless Chromium, one after the other, and compares the time from pen-up to the
decoded picture with that of the model alone, in the same process as this script and before the page is started.

    python benchmarks/page_latency.py
    python benchmarks/page_latency.py --model my.onnx --strokes 50 --chromium /usr/bin/chromium
"""

import argparse
import math
import shutil
import statistics
import time

import numpy as np
from playwright.sync_api import Page, expect, sync_playwright
from served import served

from translate.inference.engine import Engine
from translate.inference.models import resolve
from translate.pictures.operations import Picture

SIDE = 512
PATIENCE_MS = 20_000


def model_alone(model: str, runs: int) -> float:
    """Median milliseconds of a drawing through the model, without any browser."""
    engine = Engine(resolve(model))
    sheet_HWC = np.full((SIDE, SIDE, 3), 255, np.uint8)
    sheet_HWC[50:460, 50:54] = sheet_HWC[50:460, 458:462] = 0
    times: list[float] = []
    for _ in range(runs + 2):
        started = time.perf_counter()
        engine.apply(Picture(sheet_HWC))
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[2:])


def draw(page: Page, number: int, count: int) -> int:
    """Draw one petal of a flower; milliseconds from pen-up to the picture."""
    box = page.locator("canvas").bounding_box()
    assert box is not None
    middle, radius = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), 0.4 * box["width"]
    turn = 2 * math.pi * number / count
    for step in range(13):
        reach, angle = radius * math.sin(math.pi * step / 12), turn + 0.05 * step
        place = middle[0] + reach * math.cos(angle), middle[1] + reach * math.sin(angle)
        page.mouse.move(*place)
        if step == 0:
            page.mouse.down()
    page.mouse.up()
    result = page.locator(".result")
    expect(result).to_have_attribute("aria-busy", "false", timeout=PATIENCE_MS)
    return int(result.get_attribute("data-milliseconds") or 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sketch-to-photo", help="a model whose input is drawn")
    parser.add_argument("--strokes", type=int, default=30)
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="default: the one on the PATH")
    options = parser.parse_args()
    alone = model_alone(options.model, 20)
    with served("--model", options.model) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url) if "/live/" in request.url else None)
        page.goto(f"{address}/")
        expect(page.locator("canvas")).to_be_visible(timeout=PATIENCE_MS)
        draw(page, 0, options.strokes)  # the first makes room and warms up
        sent.clear()
        times = sorted(draw(page, number, options.strokes) for number in range(options.strokes))
        browser.close()
    middle = statistics.median(times)
    print(f"pen-up to picture, {len(times)} strokes: median {middle:.0f} ms, longest {times[-1]} ms")
    print(f"requests a stroke: {len(sent) / len(times):.1f}")
    print(f"the model alone: {alone:.0f} ms; ratio {middle / alone:.2f}")


if __name__ == "__main__":
    main()
