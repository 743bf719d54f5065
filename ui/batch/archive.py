"""A zip archive that is written while it is sent: stored, with sizes known in advance, and always the same bytes.

Where it cannot go back, `zipfile` writes checksums behind the files ("data descriptors"), which some programs do not
read; so the few records of the format (PKWARE APPNOTE 6.3.9) are made here. There is no compression: pictures are
compressed already.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LARGE = 0xFFFFFFFF
"""Sizes and places from this on need the records for large archives (zip64)."""
_ELSEWHERE = 0xFFFFFFFF
"""Stands for a number that is in such a record."""
_CHUNK = 1 << 20
_UTF8 = 0x800
_DATE = 1 << 5 | 1
"""1 January 1980, the first date there is: an archive made again is the same."""
_FILE = 0o100644 << 16


@dataclass(frozen=True)
class Entry:
    """A file in the archive."""

    name: str
    """Path in the archive, with forward slashes."""
    content: Path | bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def chunks(self) -> Iterator[bytes]:
        """The content, piece by piece."""
        if isinstance(self.content, bytes):
            yield self.content
            return
        with self.content.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk


class Archive:
    """An archive of files whose sizes do not change any more.

    `size`: its length in bytes.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._files: list[tuple[Entry, int, int]] = []
        place = length = 0
        for entry in entries:
            size = entry.size
            self._files.append((entry, size, place))
            length += len(_central(entry.name, size, 0, place))
            place += len(_local(entry.name, size, 0)) + size
        self._last = _end(len(self._files), length, place)
        self.size = place + length + len(self._last)

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the archive. Every file is read twice, since its checksum comes before it.

        Raises:
            OSError: a file is gone, or has another size than before.
        """
        records: list[bytes] = []
        for entry, size, place in self._files:
            checksum = length = 0
            for chunk in entry.chunks():
                checksum, length = zlib.crc32(chunk, checksum), length + len(chunk)
            if length != size:
                raise OSError(f"{entry.name} has changed")
            records.append(_central(entry.name, size, checksum, place))
            yield _local(entry.name, size, checksum)
            yield from entry.chunks()
        yield b"".join(records)
        yield self._last


def _local(name: str, size: int, checksum: int) -> bytes:
    """The record before a file."""
    path, large = _encoded(name), size >= LARGE
    extra = struct.pack("<2H2Q", 1, 16, size, size) if large else b""
    shown = _ELSEWHERE if large else size
    head = (b"PK\3\4", 45 if large else 20, _UTF8, 0, 0, _DATE, checksum, shown, shown, len(path), len(extra))
    return struct.pack("<4s5H3L2H", *head) + path + extra


def _central(name: str, size: int, checksum: int, place: int) -> bytes:
    """The record of a file in the list at the end."""
    path, large = _encoded(name), size >= LARGE or place >= LARGE
    extra = struct.pack("<2H3Q", 1, 24, size, size, place) if large else b""
    shown, at = (_ELSEWHERE, _ELSEWHERE) if large else (size, place)
    version = 45 if large else 20
    head = (b"PK\1\2", 3 << 8 | version, version, _UTF8, 0, 0, _DATE, checksum, shown, shown)
    return struct.pack("<4s6H3L5H2L", *head, len(path), len(extra), 0, 0, 0, _FILE, at) + path + extra


def _end(count: int, length: int, place: int) -> bytes:
    """What comes last: number of files, and length and place of the list of them."""
    if place + length < LARGE and count < 0xFFFF:
        return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, length, place, 0)
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 3 << 8 | 45, 45, 0, 0, count, count, length, place)
    large += struct.pack("<4sLQL", b"PK\6\7", 0, place + length, 1)
    return large + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, _ELSEWHERE, _ELSEWHERE, 0)


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "replace")
