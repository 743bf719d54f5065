"""Boxes of AVIF files: the colours that they say in numbers (ISO/IEC 14496-12, 8.11 and 12.1.5; ISO/IEC 23008-12)."""

import os
from collections.abc import Iterator
from typing import BinaryIO

_MOST_BYTES = 4 << 20
"""A meta box is a few hundred bytes; with thousands of tiles some hundred thousand."""

Nclx = tuple[int, int]
"""Code points of primaries and of the transfer function (ITU-T H.273)."""


def read_nclx(file: BinaryIO) -> Nclx | None:
    """Return what the primary picture's box `colr` says; None if it says nothing in numbers, or is damaged.

    Where only the tiles that the picture is made of say it, that counts.
    """
    try:
        return _nclx(_meta(file))
    except (ValueError, IndexError):
        return None


def _meta(file: BinaryIO) -> bytes:
    """Content of the box `meta`."""
    file.seek(0)
    place, end = 0, file.seek(0, os.SEEK_END)
    while place + 8 <= end:
        file.seek(place)
        head = file.read(16)
        length, start = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), 16
        length = length or end - place
        if length < start:
            break
        if head[4:8] == b"meta":
            file.seek(place + start)
            return file.read(min(length - start, _MOST_BYTES))
        place += length
    raise ValueError("no meta box")


def _nclx(meta: bytes) -> Nclx | None:
    boxes = dict(_boxes(meta[4:]))
    properties = dict(_boxes(boxes.get(b"iprp", b"")))
    found: dict[int, Nclx] = {}
    for number, (kind, body) in enumerate(_boxes(properties.get(b"ipco", b"")), 1):
        if kind == b"colr" and body[:4] == b"nclx":
            found[number] = int.from_bytes(body[4:6], "big"), int.from_bytes(body[6:8], "big")
    primary = boxes.get(b"pitm", b"")
    item = int.from_bytes(primary[4:6] if primary[:1] == b"\0" else primary[4:8], "big")
    mine = _associations(properties.get(b"ipma", b"")).get(item, [])
    return next((found[number] for number in mine if number in found), next(iter(found.values()), None))


def _associations(body: bytes) -> dict[int, list[int]]:
    """Item -> the numbers of its properties."""
    if not body:
        return {}
    width, wide = (2 if body[0] < 1 else 4), bool(body[3] & 1)
    found: dict[int, list[int]] = {}
    place = 8
    for _ in range(int.from_bytes(body[4:8], "big")):
        if place + width >= len(body):
            break
        item, count = int.from_bytes(body[place : place + width], "big"), body[place + width]
        place += width + 1
        size = 2 if wide else 1
        numbers = (int.from_bytes(body[at : at + size], "big") for at in range(place, place + size * count, size))
        found[item] = [number & (0x7FFF if wide else 0x7F) for number in numbers]
        place += size * count
    return found


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        length, start = int.from_bytes(data[place : place + 4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(data[place + 8 : place + 16], "big"), 16
        length = length or len(data) - place
        if length < start:
            return
        yield data[place + 4 : place + 8], data[place + start : place + length]
        place += length
