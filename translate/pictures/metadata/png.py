"""Chunks of PNG files: what they say beside the pixels (PNG 3rd edition, 11.3)."""

import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_XMP = b"XML:com.adobe.xmp"
_HEX_EXIF = b"Raw profile type exif"
_COLOURS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")
_READ = (*_COLOURS, b"iCCP", b"eXIf", b"iTXt", b"zTXt", b"tEXt")
_MOST_BYTES = 16 << 20
"""What unpacks to more is no profile."""


@dataclass(frozen=True)
class PngFacts:
    """Colour profile, EXIF (beginning with its TIFF header) and XMP, as they are in the file."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    colours: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    """Chunks that say in numbers what the colours are: name -> body."""


def is_16_bit(head: bytes) -> bool:
    """Tell it by the first 25 bytes."""
    return head[:8] == SIGNATURE and head[12:16] == b"IHDR" and head[24:25] == b"\x10"


def read_facts(data: bytes) -> PngFacts:
    """Read what a file says; what is damaged is left out."""
    icc = exif = xmp = old_exif = None
    colours: dict[bytes, bytes] = {}
    for kind, body in _chunks(data):
        try:
            if kind in _COLOURS:
                colours[kind] = body
            elif kind == b"iCCP":
                icc = _unpack(body[body.index(b"\0") + 2 :])
            elif kind == b"eXIf":
                exif = body
            elif kind == b"iTXt" and body.startswith(_XMP + b"\0"):
                xmp = _international_text(body)
            elif kind in (b"tEXt", b"zTXt") and body.startswith(_HEX_EXIF + b"\0"):
                start = len(_HEX_EXIF) + 1
                old_exif = raw_profile(_unpack(body[start + 1 :]) if kind == b"zTXt" else body[start:])
        except (ValueError, IndexError, zlib.error):
            continue
    return PngFacts(icc, exif or old_exif, xmp, colours)


def read_colours(file: BinaryIO) -> dict[bytes, bytes]:
    """Read the chunks before the pixels that say in numbers what the colours are: name -> body."""
    found: dict[bytes, bytes] = {}
    file.seek(len(SIGNATURE))
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        length = int.from_bytes(head[:4], "big")
        if head[4:] in _COLOURS:
            found[head[4:]] = file.read(length)
            length = 0
        file.seek(length + 4, os.SEEK_CUR)
    return found


def raw_profile(text: bytes) -> bytes:
    """Bytes of a text `Raw profile type ...`, as ImageMagick writes them: name, length, and hexadecimal digits.

    Raises:
        ValueError: damaged.
    """
    return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode())


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
        if kind in _READ and length <= _MOST_BYTES:
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
