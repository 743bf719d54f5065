"""The segments of a JPEG file (ITU T.81, B.1.1)."""

from collections.abc import Iterator

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
"""Markers: start and end of the picture, start of a scan."""
_TEM, _FIRST_RST = 0x01, 0xD0


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker of each segment of the first picture in a file, and its content without the length.

    Coded pixels and markers without content are passed over. The last is `EOI`, where something follows it.
    """
    place = 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        marker = data[place + 1]
        if marker == EOI:
            yield marker, b""
            return
        if marker == 0xFF:  # padding
            place += 1
        elif marker in (0x00, _TEM) or _FIRST_RST <= marker <= SOI:  # a coded FF, or no content follows
            place += 2
        else:
            length = int.from_bytes(data[place + 2 : place + 4], "big")
            yield marker, data[place + 4 : place + 2 + length]
            place += 2 + length
