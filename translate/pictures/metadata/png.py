"""Chunks of PNG files: what they say beside the pixels (PNG 3rd edition, 11.3)."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_XMP = b"XML:com.adobe.xmp"
_HEX_EXIF = b"Raw profile type exif"
_MOST_BYTES = 16 << 20
"""What unpacks to more is no profile."""


@dataclass(frozen=True)
class PngFacts:
    """Colour profile, EXIF (beginning with its TIFF header) and XMP, as they are in the file."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


def is_16_bit(head: bytes) -> bool:
    """Tell it by the first 25 bytes."""
    return head[:8] == SIGNATURE and head[12:16] == b"IHDR" and head[24:25] == b"\x10"


def read_facts(data: bytes) -> PngFacts:
    """Read what a file says; what is damaged is left out."""
    icc = exif = xmp = old_exif = None
    for kind, body in _chunks(data):
        try:
            if kind == b"iCCP":
                icc = _unpack(body[body.index(b"\0") + 2 :])
            elif kind == b"eXIf":
                exif = body
            elif kind == b"iTXt" and body.startswith(_XMP + b"\0"):
                xmp = _international_text(body)
            elif kind == b"zTXt" and body.startswith(_HEX_EXIF + b"\0"):
                old_exif = bytes.fromhex(b"".join(_unpack(body[len(_HEX_EXIF) + 2 :]).split(b"\n")[3:]).decode())
        except (ValueError, IndexError, zlib.error):
            continue
    return PngFacts(icc, exif or old_exif, xmp)


def with_facts(data: bytes, facts: PngFacts) -> bytes:
    """Return the file with these facts; it must have none of them yet."""
    end = len(SIGNATURE) + 12 + struct.unpack_from(">I", data, len(SIGNATURE))[0]  # of IHDR
    added: list[bytes] = []
    if facts.icc:
        added.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(facts.icc)))
    if facts.exif:
        added.append(_chunk(b"eXIf", facts.exif))
    if facts.xmp:
        added.append(_chunk(b"iTXt", _XMP + bytes(5) + facts.xmp))
    return b"".join([data[:end], *added, data[end:]])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind = data[place + 4 : place + 8]
        if kind in (b"iCCP", b"eXIf", b"iTXt", b"zTXt") and length <= _MOST_BYTES:
            yield kind, data[place + 8 : place + 8 + length]
        place += 12 + length


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _international_text(body: bytes) -> bytes:
    """Text of an iTXt chunk: keyword, whether packed, how, language, translated keyword, text."""
    place = body.index(b"\0")
    packed = body[place + 1] == 1
    text = body[place + 3 :].split(b"\0", 2)[2]
    return _unpack(text) if packed else text


def _unpack(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    found = unpacker.decompress(packed, _MOST_BYTES)
    if not unpacker.eof:
        raise ValueError
    return found
