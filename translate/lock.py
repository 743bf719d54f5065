"""One process at a time writes to a folder: a lock that says who holds it.

It is a lock of the operating system on a small file in the folder, so it is released when its process ends, however it
ends: there are no stale locks. Locks of POSIX are used and not `filelock`, whose locks
(flock) are shared with forked processes: loaders of a killed training would keep its folder for some seconds.
"""

import errno
import json
import os
import platform
import re
import shlex
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from translate.errors import DataError, one_line

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

FILE_NAME = ".translate.lock"

_LONGEST_COMMAND = 200
_LENGTH = 4096
"""Maximum number of bytes in the file."""
_FAR = 1 << 20
"""The byte that is locked on Windows, where nobody may read a locked one."""
_TAKEN = {errno.EACCES, errno.EAGAIN, getattr(errno, "EDEADLOCK", errno.EAGAIN)}

_mine: set[str] = set()
"""Lock files that are held here: locks of POSIX do not tell threads of one process apart."""
_guard = threading.Lock()


@dataclass(frozen=True)
class Holder:
    """The process that holds a folder."""

    process: int
    host: str
    since: str
    """Date and time in that machine's own zone."""
    command: str


@contextmanager
def held(folder: Path) -> Generator[str]:
    """Hold a folder, which must exist, until the context ends.

    Yields:
        A note for the user, one line, if its disk has no locks, so that nothing is held; otherwise "".

    Raises:
        DataError: another process or thread holds the folder, or the file for the lock cannot be made.
    """
    path = folder / FILE_NAME
    key = os.path.realpath(path)
    with _guard:
        if key in _mine:
            raise _in_use(folder, _myself())
        _mine.add(key)
    try:
        file, locked = _opened_and_locked(folder, path)
        try:
            yield ("" if locked else f"{folder}: its disk has no locks, so do not let a second process write there")
        finally:
            with suppress(OSError):  # while it is still locked, so that nobody else's is removed
                path.unlink()
            os.close(file)
            if sys.platform == "win32":
                with suppress(OSError):
                    path.unlink()
    finally:
        with _guard:
            _mine.discard(key)


@contextmanager
def held_soon(folder: Path, seconds: float) -> Generator[str]:
    """As `held`, for a folder that others hold for moments only: wait for them.

    Raises:
        DataError: it was not free within that many seconds.
    """
    end = time.monotonic() + seconds
    with ExitStack() as holding:
        while True:
            try:
                note = holding.enter_context(held(folder))
                break
            except DataError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        yield note


def without_holder(text: str) -> str:
    """A message for those who should not learn what else runs on this computer."""
    return re.sub(r" is in use by process .*; wait until", " is in use by another process; wait until", text)


def _opened_and_locked(folder: Path, path: Path) -> tuple[int, bool]:
    """The open file, and whether it is locked."""
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None
        try:
            locked = _lock(file)
            if locked is False:
                raise _in_use(folder, _read(file))
            # The one that held it may have removed the file between our two steps.
            if not _is_at(path, file):
                os.close(file)
                continue
            with suppress(OSError):  # on a full disk nobody learns who holds it
                os.ftruncate(file, 0)
                os.write(file, json.dumps(asdict(_myself())).encode()[:_LENGTH])
        except BaseException:
            os.close(file)
            raise
        return file, bool(locked)


def _is_at(path: Path, file: int) -> bool:
    """Whether the open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: int) -> bool | None:
    """Whether the lock could be taken; None if this disk has no locks."""
    try:
        if sys.platform == "win32":
            os.lseek(file, _FAR, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _TAKEN else None
    return True


def _read(file: int) -> Holder | None:
    """Who has written the file; None if that is not known."""
    with suppress(OSError, ValueError, TypeError, RecursionError):
        os.lseek(file, 0, os.SEEK_SET)
        return Holder(**json.loads(os.read(file, _LENGTH)))
    return None


def _myself() -> Holder:
    program, *words = sys.argv or [""]
    name = "translate" if Path(program).name in ("__main__.py", "translate") else Path(program).name
    command = re.sub(r"(://[^/@:\s]*):[^/@\s]*@", r"\1@", shlex.join([name, *words]))  # without passwords
    command = command if len(command) <= _LONGEST_COMMAND else f"{command[:_LONGEST_COMMAND]} ..."
    return Holder(os.getpid(), platform.node(), time.strftime("%Y-%m-%d %H:%M:%S"), command)


def _in_use(folder: Path, holder: Holder | None) -> DataError:
    who = "another process"
    if holder is not None:
        who = f"process {holder.process} on {holder.host} since {holder.since} ({holder.command})"
    return DataError(one_line(f"{folder} is in use by {who}; wait until that has ended, or choose another folder"))
