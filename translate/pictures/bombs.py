"""Decompression bombs that Pillow and libvips do not stop: small files that cost hours or gigabytes. They are refused,
or the dangerous part is cut out, before a decoder sees them.

The sizes that a file states are checked where it is opened (`translate.pictures.found.check_size`).
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from translate.errors import ImageError
from translate.pictures.found import BYTES_PER_DECODED_PIXEL, BYTES_PER_WEBP_PIXEL, check_size
from translate.pictures.jpeg_segments import SOS, segments
from translate.pictures.metadata.png import SIGNATURE

MOST_SCANS = 100
"""Scans of a JPEG file, each of which decodes the whole picture again; 10 are usual. libvips has the same limit."""
_MOST_ICONS = 1000
_PIECE = 1 << 20
_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""PNG chunks that are needed for the pixels."""


def check_bomb(handle: BinaryIO, kind: str, name: str, max_pixels: int | None) -> None:
    """Check an open file without decoding it, and rewind it.

    Args:
        handle: the file.
        kind: name of its format.
        name: what errors call it.
        max_pixels: as in `translate.pictures.decode.decode`.

    Raises:
        ImageError: a JPEG file of too many scans.
        TooLarge: an icon that holds a larger picture than it says, or a WebP picture, whose reader takes memory for
            all pixels as soon as it is opened.
    """
    if kind == "WebP" and (sides := webp_sides(handle)) is not None:
        check_size(name, *sides, BYTES_PER_WEBP_PIXEL, max_pixels)
    if kind == "ICO":
        for height, width in _pictures_of_icon(handle):
            if max(height, width) > 256:
                check_size(name, height, width, BYTES_PER_DECODED_PIXEL, max_pixels)
    if kind == "JPEG" and _may_have_many_scans(handle):
        handle.seek(0)
        if sum(marker == SOS for marker, _ in segments(handle.read())) > MOST_SCANS:
            raise ImageError(f"{name}: a JPEG of more than {MOST_SCANS} scans, usual are 10; save it again")
    handle.seek(0)


def pixels_alone(data: bytes) -> bytes:
    """A PNG file with its pixels only: libvips would unpack all texts and profiles, however large."""
    parts, place = [SIGNATURE], len(SIGNATURE)
    while place + 8 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] in _NEEDED or end > len(data):
            parts.append(data[place:end])
        place = end
    return b"".join(parts)


def webp_sides(handle: BinaryIO) -> tuple[int, int] | None:
    """Height and width that a WebP file states (RFC 9649, 2.5 to 2.7); None: damaged."""
    handle.seek(12)
    head = handle.read(18)
    kind, body = head[:4], head[8:]
    if kind == b"VP8X" and len(body) == 10:
        return int.from_bytes(body[7:10], "little") + 1, int.from_bytes(body[4:7], "little") + 1
    if kind == b"VP8L" and body[:1] == b"\x2f":
        bits = int.from_bytes(body[1:5], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 " and body[3:6] == b"\x9d\1\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        return height & 0x3FFF, width & 0x3FFF
    return None


def webp_frames(handle: BinaryIO) -> int:
    """How many frames a WebP file has, without opening its reader (RFC 9649, 2.7)."""
    handle.seek(12)
    count = 0
    while len(head := handle.read(8)) == 8:
        count += head[:4] == b"ANMF"
        length = int.from_bytes(head[4:], "little")
        handle.seek(length + length % 2, os.SEEK_CUR)
    return max(1, count)


def _pictures_of_icon(handle: BinaryIO) -> Iterator[tuple[int, int]]:
    """Heights and widths that the pictures in an icon say they have, whatever its list says."""
    handle.seek(4)
    count = int.from_bytes(handle.read(2), "little")
    for number in range(min(count, _MOST_ICONS)):
        handle.seek(6 + 16 * number + 12)
        handle.seek(int.from_bytes(handle.read(4), "little"))
        head = handle.read(26)
        if head[:8] == SIGNATURE:
            yield int.from_bytes(head[20:24], "big"), int.from_bytes(head[16:20], "big")
        elif len(head) >= 12:
            width, height = struct.unpack_from("<ii", head, 4)
            yield abs(height) // 2, abs(width)  # a mask lies below the picture


def _may_have_many_scans(handle: BinaryIO) -> bool:
    """A quick look: no coded pixels have the two bytes that a scan begins with, but other data may."""
    handle.seek(0)
    count, last = 0, b""
    while (piece := handle.read(_PIECE)) and count <= MOST_SCANS:
        count += (last + piece).count(bytes([0xFF, SOS]))
        last = piece[-1:]
    return count > MOST_SCANS
