"""`translate` as a process of its own, and waiting for what it does."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 120.0


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """`translate` with the arguments; it is killed if it has not ended by the end."""
    command = [sys.executable, "-m", "translate.cli", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(happened: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Wait, without taking the process's core, until something has happened; it must not end before."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "nothing happened"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.005)
