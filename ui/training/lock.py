"""The lock that a training process holds: whether one runs, which one, and by what number.

The file is locked by the server and inherited by the process that it starts. The system releases the lock when that
process ends in whatever way, so nothing can be left behind, and a number of a process is never confused with another's.
"""

import contextlib
import json
import os
import sys
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

from ui.refused import Refused

SUPPORTED = sys.platform != "win32"
"""Whether this system has locks that a process inherits."""

if sys.platform != "win32":
    import fcntl


@dataclass(frozen=True)
class Holder:
    """The process that holds the lock."""

    run: str
    """Name of its run."""
    process: int
    """Its number; 0 while it is being started."""
    stopping: bool = False
    """Whether it has been asked to stop."""


_LENGTH = 512
"""Bytes in the file."""


class TrainingLock:
    """A file that at most one training process holds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def holder(self) -> Holder | None:
        """Who holds it, or None."""
        with self._opened() as file:
            if _lock(file, shared=True):
                return None
            return _read(file)

    @contextlib.contextmanager
    def taken(self, run: str) -> Generator[int]:
        """Take it, and yield the file descriptor to pass on to the process, which then keeps it.

        Raises:
            Refused: another training is running.
        """
        with self._opened() as file:
            if not _lock(file, shared=False):
                raise Refused("train.busy", name=_read(file).run or "?")
            self.note(Holder(run, 0))
            yield file

    def note(self, holder: Holder) -> None:
        """Write down who holds it."""
        text = json.dumps(asdict(holder)).ljust(_LENGTH).encode()
        with self._opened() as file:
            os.pwrite(file, text, 0)  # at once, and always as long: a reader sees the old text or the new one

    @contextlib.contextmanager
    def _opened(self) -> Generator[int]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield file
        finally:
            os.close(file)


def _lock(file: int, *, shared: bool) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> Holder:
    try:
        return Holder(**json.loads(os.pread(file, _LENGTH, 0)))
    except (ValueError, TypeError):  # not written yet
        return Holder("", 0)
