"""Whole-or-nothing file writes, and folders that cannot be listed."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from translate.errors import DataError

PROCESS = secrets.token_hex(4)
"""In the name of every temporary file of this process, so that what a killed one has left can be told."""


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    A reader sees the old file or the new one, never a part. The data is on disk (fsync) before the name is.

    Raises:
        OSError: as the file system says; callers turn it into their own one-line error.
    """
    # A short name of our own: prefixing the target's name could pass the file system's 255-byte limit.
    temporary = path.parent / f".{PROCESS}{secrets.token_hex(4)}.part{path.suffix}"
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, process: str) -> None:
    """Remove the temporary files of a process that was killed, in a folder and all below."""
    for path in folder.rglob(f".{process}*.part*"):
        path.unlink(missing_ok=True)


def refuse_unlistable(error: OSError) -> None:
    """`onerror` of `os.walk`: skipping the folder, as it would, leaves pictures out without a word.

    Raises:
        DataError: always.
    """
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); give yourself the right to read it")
