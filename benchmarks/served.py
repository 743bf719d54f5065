"""The page, started for what measures it or takes its picture."""

import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

PATIENCE_SECONDS = 120


@contextmanager
def served(*options: str) -> Generator[str]:
    """Run `translate ui` with these options on a free port of this machine, for the length of the `with` block.

    Yields:
        Its address, without a slash at the end.

    Raises:
        SystemExit: it does not start, or does not end with status 0.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "translate.cli", "ui", "--port", port, "--no-open", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or "is open at" not in process.stdout.readline():
                raise SystemExit("the page did not start")
            yield f"http://127.0.0.1:{port}"
            process.terminate()
            if process.wait(PATIENCE_SECONDS):
                raise SystemExit(f"the page ended with status {process.returncode}")
        finally:
            process.kill()
