"""What is done, crash-safe: one JSON line a picture, beside the results.

A line is added when its result stands whole at its place. After a crash the worst is a result without a line, which is
made again, or a last line that is torn, which is passed over. Lines say too when a process has begun and ended, so that
the temporary files of one that was killed can be removed.
"""

import json
import os
import platform
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from translate.errors import DataError
from translate.files import PROCESS, remove_leftovers

FILE_NAME = ".translate.jsonl"


@dataclass(frozen=True, kw_only=True)
class Done:
    """A picture that has been converted."""

    source: str
    """Its name below the source folder, with slashes."""
    size: int
    """Of the source file, in bytes."""
    modified_ns: int
    """When the source file was last changed, in nanoseconds since 1970."""
    input: str
    """SHA-256 of the source file, hexadecimal."""
    made_by: str
    """Digest of the model and of every option that changes results."""
    target: str
    """Name of the result below the destination folder, with slashes."""


class Manifest:
    """The lines of a destination folder; safe in threads, and several processes may add to one file.

    Only where each line begins is kept in memory, a tenth of a kilobyte a picture.
    """

    def __init__(self, folder: Path) -> None:
        """Read what is there.

        Raises:
            DataError: the file cannot be read or written.
        """
        path = folder / FILE_NAME
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None
        self._lock = threading.Lock()
        self._places: dict[str, tuple[int, int]] = {}
        self._load(folder)

    def __enter__(self) -> "Manifest":
        self._write({"begun": PROCESS, "host": platform.node(), "pid": os.getpid()})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._write({"ended": PROCESS})
        os.close(self._file)

    def find(self, target: str) -> Done | None:
        """The last line about a result of this name; whether the file is still there is not asked."""
        with self._lock:
            place = self._places.get(target)
            if place is None:
                return None
            os.lseek(self._file, place[0], os.SEEK_SET)
            return _done(_json(os.read(self._file, place[1])))

    def add(self, done: Done) -> None:
        """Write a line. A disk that refuses it costs only that the picture is made again another time."""
        with self._lock:
            place = self._write(asdict(done))
            if place is not None:
                self._places[done.target] = place

    def _write(self, facts: dict[str, Any]) -> tuple[int, int] | None:
        """Add a line; its place, or None where the disk refuses it."""
        line = line_of(facts)
        try:
            os.write(self._file, line)  # in one piece, at the end
        except OSError:
            return None
        end = os.lseek(self._file, 0, os.SEEK_CUR)  # of this line, though others may have added more
        return end - len(line), len(line)

    def _load(self, folder: Path) -> None:
        position, line = 0, b""
        running: dict[str, tuple[str, int]] = {}
        with os.fdopen(os.dup(self._file), "rb") as lines:
            for line in lines:
                found = _json(line)
                done = _done(found)
                if done is not None:
                    self._places[done.target] = (position, len(line))
                elif "begun" in found:
                    running[str(found["begun"])] = (str(found.get("host")), int(found.get("pid", 0)))
                elif "ended" in found:
                    running.pop(str(found["ended"]), None)
                position += len(line)
        if line and not line.endswith(b"\n"):
            os.write(self._file, b"\n")  # what follows a torn line must not be lost with it
        for process, (host, number) in running.items():
            if host == platform.node() and not _alive(number):
                remove_leftovers(folder, process)
                self._write({"ended": process})


def line_of(facts: dict[str, Any]) -> bytes:
    """Facts as a line of the file."""
    return json.dumps(facts, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"


def _json(line: bytes) -> dict[str, Any]:
    try:
        found: Any = json.loads(line.decode("utf-8", "surrogateescape"))
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _done(found: dict[str, Any]) -> Done | None:
    try:
        return Done(**found)
    except TypeError:
        return None


def _alive(process: int) -> bool:
    """Whether a process of this machine runs; where that cannot be asked without harm, yes."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
