"""IPTC records (IPTC-NAA Information Interchange Model, version 4.2) and the wrapper that Photoshop gave them.

In JPEG they are in a segment APP13, in PNG in a text as ImageMagick writes it, in TIFF in a tag of their own.
"""

import struct
from collections.abc import Iterator

PHOTOSHOP = b"Photoshop 3.0\0"
"""What the segment APP13 begins with."""
_RESOURCE, _RECORDS = b"8BIM", 0x0404
_MARK = 0x1C
_LOCATION = {(2, number) for number in (26, 27, 90, 92, 95, 100, 101)}
"""Content location, city, sublocation, province, country; of the first two there is a code and a name."""


def wrapped(iptc: bytes) -> bytes:
    """Return a Photoshop image resource with these records."""
    return _RESOURCE + struct.pack(">HHI", _RECORDS, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)


def unwrapped(data: bytes) -> bytes | None:
    """Return the records in these Photoshop image resources, or in this that has no wrapper; None if there are none."""
    data = data.removeprefix(PHOTOSHOP)
    if data[:1] == bytes([_MARK]):
        return data
    place = 0
    while data[place : place + 4] == _RESOURCE and place + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, place + 4)
        place += 6 + (data[place + 6] + 2) // 2 * 2  # with a name, whose length makes it even
        if place + 4 > len(data):
            break
        (size,) = struct.unpack_from(">I", data, place)
        body = data[place + 4 : place + 4 + size]
        if number == _RECORDS:
            return body if body[:1] == bytes([_MARK]) else None
        place += 4 + size + size % 2
    return None


def in_order(data: bytes) -> bytes:
    """Return the records of a TIFF tag, which some take for numbers of 32 bits and write the wrong way round."""
    if data[:1] != bytes([_MARK]) and data[3:4] == bytes([_MARK]):
        data = data[: len(data) // 4 * 4]
        return b"".join(data[place : place + 4][::-1] for place in range(0, len(data), 4))
    return data


def without_location(iptc: bytes) -> bytes | None:
    """Return the records without the names of places; None if nothing is left, or they are damaged."""
    try:
        kept = b"".join(data for name, data in _datasets(iptc) if name not in _LOCATION)
    except (ValueError, IndexError, struct.error):
        return None
    return kept or None


def _datasets(iptc: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """(record, number), and its bytes with the head; ValueError if damaged."""
    place = 0
    while place < len(iptc):
        if iptc[place] != _MARK:
            if not iptc[place:].strip(b"\0"):  # TIFF rounds up to four bytes
                return
            raise ValueError("no data set")
        (length,) = struct.unpack_from(">H", iptc, place + 3)
        end = place + 5
        if length & 0x8000:  # the length of the length
            end += length & 0x7FFF
            length = int.from_bytes(iptc[place + 5 : end], "big")
        end += length
        if end > len(iptc):
            raise ValueError("cut off")
        yield (iptc[place + 1], iptc[place + 2]), iptc[place:end]
        place = end
