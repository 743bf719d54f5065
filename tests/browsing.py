"""The page in a real browser, as its own process: started as a user starts it, and ended as a user ends it."""

import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, Playwright

PATIENCE_MS = 20_000
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def served(*models: Path | str, options: Sequence[object] = ()) -> Generator[str]:
    """The page of `models`, as a process; it must end quietly with status 0 on Ctrl-C."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "translate.cli", "ui", "--model", *map(str, models), "--port", port]
    process = subprocess.Popen(
        [*command, "--no-open", "--device", "cpu", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
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
        # That a request was answered with an error is for the page to say, and for the test to look at.
        refused = "Failed to load resource"
        page.on(
            "console",
            lambda entry: troubles.append(entry.text) if entry.type == "error" and refused not in entry.text else None,
        )
        page.goto(address)
        yield page
        assert troubles == []
    finally:
        context.close()
