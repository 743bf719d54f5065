"""The page in a real browser, as its own process: started as a user starts it, and ended as a user ends it."""

import base64
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from conftest import INVERT, save_model
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Route, expect
from test_engine import save_sum

from translate.spec import ModelSpec

PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)  # Playwright's own patience is too short for a busy machine

COLOURS = ModelSpec(
    name="colours",
    task="sketch-to-photo",
    architecture="",
    labels=("shoe", "handbag"),
    style_size=5,
    default_style=(0.5, 1.0, 0.0, 0.0, -0.5),
)
NUMBERED = ModelSpec(name="numbered", task="sketch-to-photo", architecture="", style_size=8)
NIGHT = ModelSpec(name="night", task="day-to-night", architecture="", labels=("street", "square"), style_size=8)
DIM = ModelSpec(name="dim", task="day-to-night", architecture="")
LARGE = ModelSpec(name="large", task="super-resolution", architecture="", scale=2, detail=True)
RESTORING = ModelSpec(name="large-restoring", task="super-resolution", architecture="", scale=2, restores=True)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SLOW_PICTURES = """(onlyShown) => {
    const { decode } = Image.prototype;
    const late = new Promise((resolve) => (window.late = resolve));
    Image.prototype.decode = async function () {
        const { src } = this;
        if (!onlyShown || this.isConnected) await late;
        if (this.src !== src) throw new DOMException("The source image cannot be decoded.", "EncodingError");
        await decode.call(this);
    };
    window.fast = () => { Image.prototype.decode = decode; };
}"""
"""Pictures, or only those in the page, wait for `late()`; those that are asked for after `fast()` do not."""

_USUAL = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB"}


@dataclass(frozen=True)
class Served:
    """A page that runs."""

    address: str
    models: dict[str, Path]
    """Model files by name; each has a folder `samples` beside it, with what the first look shows."""


@contextmanager
def served(
    *models: Path | str, options: Sequence[object] = (), ended_by: signal.Signals = signal.SIGINT
) -> Generator[str]:
    """The page of `models`, as a process with its own batches. On Ctrl-C, or another signal, it must end quietly with
    status 0 and leave no drawings behind."""
    with tempfile.TemporaryDirectory() as jobs, tempfile.TemporaryDirectory() as drawings:
        environment = {**os.environ, "TMPDIR": drawings}
        with serving(Path(jobs), *models, options=options, environment=environment) as (address, process):
            yield address
            assert list(Path(drawings).glob("translate-ui-*")) != []
            process.send_signal(ended_by)
            assert process.communicate(timeout=30) == ("", "")
            assert process.returncode == 0
        assert list(Path(drawings).glob("translate-ui-*")) == []


@contextmanager
def serving(
    jobs: Path,
    *models: Path | str,
    options: Sequence[object] = (),
    environment: Mapping[str, str] | None = None,
) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """The page of `models` with the batches in a folder; it is killed if it has not ended by the end."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "translate.cli", "ui", "--model", *map(str, models), "--port", port]
    # Signed files are never the same bytes twice.
    command += ["--no-open", "--device", "cpu", "--jobs-dir", str(jobs), "--credentials", "off", *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        line = process.stdout.readline() if process.stdout else ""  # pytest-timeout is the deadline
        assert f"http://127.0.0.1:{port}/" in line, process.communicate(timeout=10)[1]
        yield f"http://127.0.0.1:{port}/", process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def served_tiny(folder: Path, options: Sequence[object] = ()) -> Generator[Served]:
    """The page of tiny models of every kind, stored in a folder; the order of its tabs is not theirs."""
    models: dict[str, Path] = {}
    picture_HWC = np.random.default_rng(0).integers(100, 164, (24, 40, 3), np.uint8)
    for spec in (LARGE, RESTORING, NIGHT, DIM, INVERT, COLOURS, NUMBERED):
        samples = folder / spec.name / "samples"
        samples.mkdir(parents=True)
        models[spec.name] = (save_model if spec == INVERT else save_sum)(folder / spec.name / "model.onnx", spec)
        if spec == INVERT:
            Image.new("L", (64, 64), 100).save(samples / "grey.png")
        elif spec == COLOURS:
            Image.fromarray(picture_HWC).save(samples / "handbag-1.png")
        elif spec.task != INVERT.task:
            for name in ("square-2", "street-1"):
                Image.fromarray(picture_HWC).save(samples / f"{name}.png")
    with served(*models.values(), options=options) as address:
        yield Served(address, models)


@contextmanager
def launched(playwright: Playwright, chromium: str) -> Generator[Browser]:
    """A browser, for any number of visits."""
    browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=ARGUMENTS)
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def visited(browser: Browser, address: str, **options: Any) -> Generator[Page]:
    """The page, by somebody who was never there; see `_watched`.

    `options`: of the browser's context, such as `locale`.
    """
    with _watched(browser.new_context(**_USUAL | options), address) as page:
        yield page


@contextmanager
def opened(browser: Browser, chromium: str, address: str, profile: Path) -> Generator[Page]:
    """The page in another browser of the same kind, which keeps what it knows in a folder."""
    context = browser.browser_type.launch_persistent_context(
        profile, executable_path=chromium, headless=True, args=ARGUMENTS, **_USUAL
    )
    with _watched(context, address) as page:
        yield page


@contextmanager
def _watched(context: BrowserContext, address: str) -> Generator[Page]:
    """The page in a browser; it must ask no other host for anything and report no error, in no tab of the browser.

    Another tab shows what a page loaded again shows, and does not break off what the first one waits for, which would
    be an error.
    """
    troubles: list[str] = []
    try:
        context.set_default_timeout(PATIENCE_MS)
        page = context.pages[0] if context.pages else context.new_page()
        own = (address, "blob:", "data:")
        context.on("request", lambda request: None if request.url.startswith(own) else troubles.append(request.url))
        context.on("weberror", lambda found: troubles.append(str(found.error)))
        # That a request was answered with an error is for the page to say, and for the test to look at.
        refused = "Failed to load resource"
        context.on(
            "console",
            lambda entry: troubles.append(entry.text) if entry.type == "error" and refused not in entry.text else None,
        )
        page.goto(address)
        yield page
        # Gradio's template asks for the manifest without password and prefix, and can do without.
        troubles = [trouble for trouble in troubles if "/manifest.json" not in trouble]
        assert troubles == [], troubles
    finally:
        context.close()


def carry(page: Page, event: str, kind: str, path: Path, target: str) -> None:
    """Drop a file on what is visible of `target`, or paste one (no target)."""
    page.evaluate(
        """([event, kind, name, data, target]) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), files = new DataTransfer();
            files.items.add(new File([bytes], name, {type: "image/png"}));
            const details = {bubbles: true, cancelable: true, dataTransfer: files, clipboardData: files};
            const places = target ? [...document.querySelectorAll(target)] : [document.body];
            const place = places.find((one) => one.offsetParent || one === document.body);
            place.dispatchEvent(new window[kind](event, details));
        }""",
        [event, kind, path.name, base64.b64encode(path.read_bytes()).decode(), target],
    )


class Held:
    """Requests of a page that wait until a test lets them go, in the order that it likes.

    Args:
        page: which asks.
        addresses: which requests wait, as for `Page.route`.
    """

    def __init__(self, page: Page, addresses: str) -> None:
        self._page, self._addresses = page, addresses
        self.waiting: list[Route] = []
        """What waits and was not taken."""
        page.route(addresses, self._hold)

    def _hold(self, route: Route) -> None:
        self.waiting.append(route)

    def go(self, route: Route | None = None) -> None:
        """Send a request, or the next, and wait for its answer."""
        sent = route or self.next()
        with self._page.expect_response(lambda answer: answer.request == sent.request):
            sent.continue_()

    def next(self) -> Route:
        """The next request, once there is one; `continue_` sends it."""
        deadline = monotonic() + PATIENCE_MS / 1000
        while not self.waiting:
            assert monotonic() < deadline, f"nothing asks for {self._addresses}"
            self._page.wait_for_timeout(20)
        return self.waiting.pop(0)

    def end(self) -> None:
        """Later requests are not held."""
        self._page.unroute(self._addresses)
