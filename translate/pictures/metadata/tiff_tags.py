"""Directories of tags as TIFF has them and EXIF took over (TIFF 6.0, section 2; BigTIFF; EXIF 2.32, 4.6.2).

Values stay the bytes they are, so nothing is lost by reading and writing them.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Type -> bytes of one value."""
BYTE, SHORT, LONG, RATIONAL, UNDEFINED, IFD8 = 1, 3, 4, 5, 7, 18

_PARTS = {5: 4, 10: 4}
"""Types whose value has several numbers -> bytes of one number."""
_MOST_ENTRIES = 4096


@dataclass(frozen=True)
class Value:
    """`data`: the values in the byte order of their file."""

    type: int
    data: bytes


Directory = Mapping[int, "Value | Directory"]
"""Tag -> value, or the directory it points to."""


@dataclass(frozen=True)
class Entry:
    """One line of a directory: where it lies, and where its value lies, in bytes from the beginning."""

    place: int
    tag: int
    type: int
    count: int
    where: int

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return self.count * SIZES[self.type]


class Tiff:
    """Bytes with a TIFF header.

    `order` is its order of bytes as `struct` names it, `byteorder` as `int.to_bytes` does; `big` says whether it is a
    BigTIFF.

    Raises:
        ValueError: no TIFF header.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self.data = data
        order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
        if order is None or len(data) < 8:
            raise ValueError("no TIFF header")
        self.order = order
        self.byteorder: Literal["little", "big"] = "little" if order == "<" else "big"
        version = self.numbers("H", 2)[0]
        if version not in (42, 43):
            raise ValueError("no TIFF header")
        self.big = version == 43

    @property
    def first(self) -> int:
        """Offset of the first directory."""
        return self.numbers("Q", 8)[0] if self.big else self.numbers("L", 4)[0]

    def numbers(self, form: str, offset: int) -> tuple[int, ...]:
        """Unpack numbers there; ValueError beyond the end."""
        try:
            return struct.unpack_from(self.order + form, self.data, offset)
        except (struct.error, OverflowError):  # BigTIFF has offsets that no memory has
            raise ValueError("cut off") from None

    def entries(self, offset: int) -> tuple[list[Entry], int]:
        """Read the directory at `offset`: its entries and where its pointer to the next one lies.

        Entries of unknown types, or with values beyond the end, are left out.

        Raises:
            ValueError: cut off, or no directory.
        """
        (count,) = self.numbers("Q" if self.big else "H", offset)
        if count > _MOST_ENTRIES:
            raise ValueError("too many entries")
        place = offset + (8 if self.big else 2)
        length, room = (20, 8) if self.big else (12, 4)
        found: list[Entry] = []
        for _ in range(count):
            tag, kind, amount = self.numbers("HHQ" if self.big else "HHL", place)
            (pointer,) = self.numbers("Q" if self.big else "L", place + length - room)
            if kind in SIZES:
                inside = amount * SIZES[kind] <= room
                entry = Entry(place, tag, kind, amount, place + length - room if inside else pointer)
                if entry.where + entry.size <= len(self.data):
                    found.append(entry)
            place += length
        self.numbers("Q" if self.big else "L", place)
        return found, place

    def value(self, entry: Entry) -> Value:
        """The value's bytes."""
        return Value(entry.type, bytes(self.data[entry.where : entry.where + entry.size]))

    def integers(self, entry: Entry) -> tuple[int, ...]:
        """Value of whole numbers; () of anything else."""
        form = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q"}.get(entry.type)
        return self.numbers(f"{entry.count}{form}", entry.where) if form else ()

    def fraction(self, entry: Entry) -> float:
        """First value of a number, be it whole or a fraction; ValueError if it is none."""
        if entry.type == RATIONAL and entry.count:
            numerator, denominator = self.numbers("2L", entry.where)
            return numerator / denominator if denominator else 0.0
        whole = self.integers(entry)
        if not whole:
            raise ValueError("no number")
        return float(whole[0])

    def directory(self, offset: int) -> dict[int, Value]:
        """Tag -> value of the directory there; ValueError if there is none."""
        return {entry.tag: self.value(entry) for entry in self.entries(offset)[0]}


def swapped(value: Value) -> Value:
    """The same value in the other byte order."""
    step = _PARTS.get(value.type, SIZES[value.type])
    data = b"".join(value.data[place : place + step][::-1] for place in range(0, len(value.data), step))
    return Value(value.type, data) if step > 1 else value


def pack(directory: Directory, offset: int, order: str, big: bool = False) -> bytes:
    """Write a directory and those below it for a place `offset` bytes from the beginning; there is no next one."""
    pointer, length, room = ("Q", 20, 8) if big else ("L", 12, 4)
    head = struct.pack(order + ("Q" if big else "H"), len(directory))
    behind = offset + len(head) + length * len(directory) + room
    lines, values = b"", b""
    for tag, value in sorted(directory.items(), key=lambda item: item[0]):
        if isinstance(value, Value):
            kind, count, data = value.type, len(value.data) // SIZES[value.type], value.data
        else:
            kind, count, data = IFD8 if big else LONG, 1, b""
        lines += struct.pack(order + ("HHQ" if big else "HHL"), tag, kind, count)
        if isinstance(value, Value) and len(data) <= room:
            lines += data.ljust(room, b"\0")
            continue
        lines += struct.pack(order + pointer, behind + len(values))
        values += data if isinstance(value, Value) else pack(value, behind + len(values), order, big)
        values += bytes(len(values) % 2)  # values begin at even places
    return head + lines + bytes(room) + values
