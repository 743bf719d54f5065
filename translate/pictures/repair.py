"""Damage that leaves the pixels sound: bad checksums of what lies beside them, and a missing end.

Called only after a file was refused, so sound files cost nothing. What is returned is decoded like any other file.
"""

import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator

from translate.pictures.jpeg_segments import EOI, SOS, segments
from translate.pictures.libvips import vips
from translate.pictures.metadata.png import SIGNATURE

_PIECE = 1 << 20
"""Bytes unpacked at once."""
_END = bytes([0xFF, EOI])
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_COEFFICIENTS = 64


def repaired(data: bytes, kind: str) -> tuple[bytes, str] | None:
    """Return the file without its damage, and a note about it; None if its pixels may be damaged, or nothing is found.

    Args:
        data: the file.
        kind: name of its format.
    """
    if kind == "PNG":
        return without_damaged_chunks(data) or _with_checksums(data)
    if kind == "JPEG":
        return _with_end(data)
    return None


def without_damaged_chunks(data: bytes) -> tuple[bytes, str] | None:
    """Leave out the ancillary chunks of a PNG file whose checksum is wrong, as libpng and browsers do (PNG, 13.1)."""
    parts, left_out = [SIGNATURE], list[str]()
    end = len(SIGNATURE)
    for kind, start, end in _chunks(data):
        if kind.isalpha() and kind[0] & 0x20 and not _is_sound(data, start, end):
            left_out.append(kind.decode("ascii"))
        else:
            parts.append(data[start:end])
    if not left_out:
        return None
    parts.append(data[end:])
    names = ", ".join(dict.fromkeys(left_out))
    chunk = "chunk has a wrong checksum and was" if len(left_out) == 1 else "chunks have wrong checksums and were"
    return b"".join(parts), f"its {names} {chunk} left out; the pixels are sound"


def _with_checksums(data: bytes) -> tuple[bytes, str] | None:
    """Correct the checksums of a PNG file's pixels, if the one over all of them, in their zlib stream, is right."""
    changed, wrong, unpacker = bytearray(data), False, zlib.decompressobj()
    for kind, start, end in _chunks(data):
        if kind != b"IDAT":
            continue
        if not _is_sound(data, start, end):
            wrong = True
            changed[end - 4 : end] = struct.pack(">I", zlib.crc32(data[start + 4 : end - 4]))
        rest = data[start + 8 : end - 4]
        try:
            while rest and not unpacker.eof:
                unpacker.decompress(rest, _PIECE)
                rest = unpacker.unconsumed_tail
        except zlib.error:
            return None
    if not wrong or not unpacker.eof:
        return None
    return bytes(changed), "a checksum of its pixels is wrong; the pixels are sound, as another shows"


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, beginning and end of each whole chunk of a PNG file."""
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        end = place + 12 + _number(data, place)
        if end > len(data):
            return
        yield data[place + 4 : place + 8], place, end
        place = end


def _is_sound(data: bytes, start: int, end: int) -> bool:
    return zlib.crc32(data[start + 4 : end - 4]) == _number(data, end - 4)


def _number(data: bytes, place: int) -> int:
    return struct.unpack_from(">I", data, place)[0]


def _with_end(data: bytes) -> tuple[bytes, str] | None:
    """Add the end marker to a JPEG file that has all its scans, each to its last block."""
    if not _has_every_scan(data):
        return None
    short = data.rstrip(b"\0")
    bodies = [data.removesuffix(b"\xff"), short, data[: len(short) + 1]]  # the last byte of a scan may be a zero
    for body in dict.fromkeys(bodies):
        try:
            # The decoder warns about each block it has no data for.
            vips().Image.jpegload_buffer(body + _END, access="sequential", fail_on="warning").avg()
        except vips().Error:
            continue
        return body + _END, "its end marker is missing; the pixels are complete"
    return None


def _has_every_scan(data: bytes) -> bool:
    """Whether the scans of a JPEG file without an end bring every coefficient in full (ITU T.81, G.1.1.1)."""
    bits_left: dict[int, list[int | None]] = defaultdict(lambda: [None] * _COEFFICIENTS)
    components: set[int] = set()
    progressive = False
    for marker, body in segments(data):
        if marker == EOI:
            return False  # it has its end, so something else is wrong
        if marker in (*_SEQUENTIAL, _PROGRESSIVE) and len(body) >= 6:
            progressive = marker == _PROGRESSIVE
            components = set(body[6::3])
        if marker == SOS and len(body) >= 1 and len(body) >= 4 + 2 * body[0]:
            first, last, shift = body[1 + 2 * body[0] :][:3]
            first, last, shift = (first, last, shift & 15) if progressive else (0, 63, 0)
            for component in body[1 : 1 + 2 * body[0] : 2]:
                bits_left[component][first : last + 1] = [shift] * (min(last, 63) + 1 - first)
    return bool(components) and all(not any(left != 0 for left in bits_left[one]) for one in components)
