"""Crash-safe record of finished results: one line of JSON per picture, in a file next to the results.

A line is appended once its result is complete, and another one before a result with a line is replaced. The worst that
a crash can leave is a result without a line, which is converted again, or an incomplete last line, which is ignored.
Further lines mark the start and end of each process, so that the temporary files of a killed process can be removed.
"""

import json
import os
import platform
import re
import sys
import threading
from dataclasses import asdict, dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from translate.errors import DataError
from translate.files import MANIFEST_NAME, PROCESS, remove_leftovers

FILE_NAME = MANIFEST_NAME

REPLACED = "replaced"
"""Field of a line that says that the result of this name was about to be replaced."""


@dataclass(frozen=True, kw_only=True)
class ManifestEntry:
    """A picture that has been converted."""

    source: str
    """Path relative to the source folder, with forward slashes."""
    size: int
    """Size of the source file in bytes."""
    modified_ns: int
    """When the source file was last modified, in nanoseconds since 1970."""
    input: str
    """SHA-256 of the source file, hexadecimal."""
    made_by: str
    """SHA-256 of the model file and of every option that affects results."""
    target: str
    """Path of the result relative to the destination folder, with forward slashes."""


_KINDS = {field.name: field.type for field in fields_of(ManifestEntry)}
_PROCESS = re.compile("[0-9a-f]{8}")
_CLOSED = -1
"""No file has this number."""


class Manifest:
    """The manifest of a destination folder. Thread-safe; lines that several processes append to one file stay whole.

    Only the offset of each line is kept in memory, about 100 bytes per picture.
    """

    def __init__(self, folder: Path, *, writable: bool = True) -> None:
        """Read the existing entries.

        Args:
            folder: the destination; if `writable`, this process holds its lock.
            writable: False only looks, also while another process writes: nothing is written or removed.

        Raises:
            DataError: the file cannot be read or written.
        """
        path = folder / FILE_NAME
        try:
            self._file = os.open(path, (os.O_RDWR | os.O_CREAT | os.O_APPEND) if writable else os.O_RDONLY, 0o666)
        except OSError as error:
            verb = "written" if writable else "read"
            raise DataError(f"{path}: cannot be {verb} ({error.strerror}); choose another folder") from None
        self._writable = writable
        self._lock = threading.Lock()
        self._torn = False
        """Whether the last line is incomplete."""
        self._offsets: dict[str, tuple[int, int]] = {}
        self._load(folder)

    def __enter__(self) -> "Manifest":
        with self._lock:
            self._write({"begun": PROCESS, "host": platform.node(), "pid": os.getpid()})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._write({"ended": PROCESS})
            os.close(self._file)
            # After a second Ctrl-C, threads may still finish pictures; the number may be that of a result by then.
            self._file = _CLOSED

    def find(self, target: str) -> ManifestEntry | None:
        """The latest entry for a result of this name; does not check that the file still exists."""
        with self._lock:
            place = self._offsets.get(target)
            if place is None:
                return None
            os.lseek(self._file, place[0], os.SEEK_SET)
            return parse_entry(parse_line(os.read(self._file, place[1])))

    def add(self, entry: ManifestEntry) -> None:
        """Append an entry. If the write fails, the only cost is that the picture is converted again next time."""
        with self._lock:
            place = self._write(asdict(entry))
            if place is not None:
                self._offsets[entry.target] = place

    def drop(self, target: str) -> bool:
        """Forget the entry of a result that is about to be replaced; whether there was one.

        If this process is killed between the new result and its line, the old line must not speak for it.
        """
        with self._lock:
            known = self._offsets.pop(target, None) is not None
            if known:
                self._write({REPLACED: target})
            return known

    def _write(self, fields: dict[str, Any]) -> tuple[int, int] | None:
        """Append a line; returns its offset and length, or None if the write fails."""
        line = format_line(fields)
        start = b"\n" if self._torn else b""  # so that it does not become part of the incomplete one
        try:
            written = os.write(self._file, start + line)  # in one call, to the end of the file
        except OSError:
            return None
        self._torn = written < len(start + line)  # a full disk may take a part
        if self._torn:
            return None
        end = os.lseek(self._file, 0, os.SEEK_CUR)  # the end of this line, even if others have appended since
        return end - len(line), len(line)

    def _load(self, folder: Path) -> None:
        position, line, damaged = 0, b"", False
        running: dict[str, tuple[str, object]] = {}
        with os.fdopen(os.dup(self._file), "rb") as lines:
            for line in lines:
                fields = parse_line(line)
                damaged |= not fields
                target, entry = parse_result(fields)
                if entry is not None:
                    self._offsets[target] = (position, len(line))
                elif target:
                    self._offsets.pop(target, None)
                elif "begun" in fields:
                    running[str(fields["begun"])] = (str(fields.get("host")), fields.get("pid"))
                elif "ended" in fields:
                    running.pop(str(fields["ended"]), None)
                position += len(line)
        self._torn = line != b"" and not line.endswith(b"\n")
        if not self._writable:
            return
        if damaged:  # it may have named a process that was killed; none writes here now, the folder is locked
            remove_leftovers(folder)
        for process, (host, number) in running.items():
            known = _PROCESS.fullmatch(process) and host == platform.node()
            if known and isinstance(number, int) and not _alive(number):
                remove_leftovers(folder, process)
                self._write({"ended": process})


def format_line(fields: dict[str, Any]) -> bytes:
    """Fields -> a line of the file."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"


def parse_line(line: bytes) -> dict[str, Any]:
    """A line of the file -> its fields; empty if the line is damaged."""
    try:
        found: Any = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def parse_entry(fields: dict[str, Any]) -> ManifestEntry | None:
    """The fields of a line -> an entry; None for any other kind of line."""
    if any(type(fields.get(name)) is not kind for name, kind in _KINDS.items()):
        return None
    try:
        return ManifestEntry(**fields)
    except TypeError:
        return None


def parse_result(fields: dict[str, Any]) -> tuple[str, ManifestEntry | None]:
    """Fields of a line -> name of the result and its entry. None: it is being replaced; `""`: the line names none."""
    entry = parse_entry(fields)
    return (str(fields.get(REPLACED, "")), None) if entry is None else (entry.target, entry)


def _alive(process: int) -> bool:
    """Whether a process is running on this machine; True on systems where checking could do harm."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
