"""Disks that are full or read-only: real ones where this user may mount, and system calls that fail."""

import errno
import os
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *options: str) -> Generator[None]:
    """Mount on a folder; the test is skipped where that is not allowed."""
    try:
        done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no mount here: {error}")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Generator[None]:
    """A disk of this size, such as `300k`."""
    with mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        yield


@contextmanager
def read_only(folder: Path) -> Generator[None]:
    """The folder as it is, read-only also for root, whom permissions do not stop."""
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield


def refusing(number: int, after: int = 0) -> Callable[[int], None]:
    """In place of `os.fsync`, where disks say late that they are full: it fails after so many calls."""
    calls: list[int] = []

    def refuse(file: int) -> None:
        calls.append(file)
        if len(calls) > after:
            raise OSError(number, os.strerror(number))

    return refuse


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""After these nothing can be written any more."""
