"""Atomic file writes, and errors for folders that cannot be listed."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from translate.errors import DataError

PROCESS = secrets.token_hex(4)
"""Part of the name of every temporary file of this process, to identify the leftovers of a killed one."""


@contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Yield a temporary path next to `path`; on success it replaces `path`, on failure it is removed.

    A reader sees either the old file or the new one, never a part. The data is synced to disk before the rename.

    Raises:
        OSError: from the file system; callers convert it to their own one-line error.
    """
    # A short new name: prefixing the target's name could exceed the file system's limit of 255 bytes.
    temporary = path.parent / f".{PROCESS}{secrets.token_hex(4)}.part{path.suffix}"
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, process: str) -> None:
    """Remove the temporary files of a killed process from a folder and its subfolders."""
    for path in folder.rglob(f".{process}*.part*"):
        path.unlink(missing_ok=True)


def refuse_unlistable(error: OSError) -> None:
    """`onerror` callback for `os.walk`, which would otherwise silently skip the folder.

    Raises:
        DataError: always.
    """
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions")
