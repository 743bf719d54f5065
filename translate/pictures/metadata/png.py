"""Chunks of PNG files: what they say beside the pixels (PNG 3rd edition, 11.3)."""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from translate.pictures.metadata import iptc as iptc_records
from translate.pictures.metadata.facts import Density, Facts, Text

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_XMP = b"XML:com.adobe.xmp"
_RAW = "Raw profile type "
"""Keywords of texts in which ImageMagick keeps what PNG had no chunk for."""
_INCH = 0.0254
_LONG_TEXT = 1024
"""Longer ones are packed."""
_COLOURS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")
_READ = (*_COLOURS, b"iCCP", b"eXIf", b"pHYs", b"iTXt", b"zTXt", b"tEXt")
_MOST_BYTES = 16 << 20
"""What unpacks to more is no profile."""
_MOST_ALL = 64 << 20
"""Bytes of all chunks together, unpacked; Pillow's limit for texts."""


def is_16_bit(head: bytes) -> bool:
    """Tell it by the first 25 bytes."""
    return head[:8] == SIGNATURE and head[12:16] == b"IHDR" and head[24:25] == b"\x10"


def read_facts(data: bytes) -> Facts:
    """Read what a file says; what is damaged is left out."""
    icc = exif = xmp = density = None
    colours: dict[bytes, bytes] = {}
    texts: list[Text] = []
    unpacker = _Unpacker()
    for kind, body in _chunks(data):
        try:
            if kind in _COLOURS:
                colours[kind] = body
            elif kind == b"iCCP":
                icc = unpacker.unpack(body[body.index(b"\0") + 2 :])
            elif kind == b"eXIf":
                exif = body
            elif kind == b"pHYs":
                density = _density(body)
            elif kind == b"iTXt" and body.startswith(_XMP + b"\0"):
                xmp = _international_text(body, unpacker)[2]
            else:
                texts.append(_text(kind, body, unpacker))
        except (ValueError, IndexError, struct.error, zlib.error):
            continue
    old_exif, iptc, kept = sorted_texts(texts)
    return Facts(icc, exif or old_exif, xmp, density, iptc, kept, colours)


def sorted_texts(texts: Iterable[Text]) -> tuple[bytes | None, bytes | None, tuple[Text, ...]]:
    """Return EXIF and IPTC that ImageMagick put into texts, and the other texts."""
    exif = iptc = None
    kept: list[Text] = []
    for one in texts:
        if not one.keyword.startswith(_RAW):
            kept.append(one)
            continue
        try:
            profile = bytes.fromhex("".join(one.text.split("\n")[3:]))
        except ValueError:
            continue
        if one.keyword == _RAW + "exif":
            exif = profile
        elif one.keyword in (_RAW + "iptc", _RAW + "8bim"):
            iptc = iptc_records.unwrapped(profile) or iptc
    return exif, iptc, tuple(kept)


def unpacks_to_too_much(data: bytes) -> bool:
    """Whether texts and profiles of a file are more than is read of them; libvips would unpack all of them."""
    unpacker = _Unpacker()
    for kind, body in _chunks(data):
        try:
            if kind == b"iCCP":
                unpacker.unpack(body[body.index(b"\0") + 2 :])
            elif kind in (b"iTXt", b"zTXt"):
                _text(kind, body, unpacker)
        except (ValueError, IndexError, zlib.error):  # damaged, or too long by itself
            continue
    return unpacker.is_exhausted


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


def with_facts(data: bytes, facts: Facts) -> bytes:
    """Return the file with these facts; it must have none of them yet, but for a density, which is replaced."""
    end = len(SIGNATURE) + 12 + struct.unpack_from(">I", data, len(SIGNATURE))[0]  # of IHDR
    rest = data[end:]
    place = rest.find(b"pHYs") - 4  # libvips writes one, whether it knows the density or not
    if 0 <= place < max(rest.find(b"IDAT"), 0):
        rest = rest[:place] + rest[place + 21 :]
    return b"".join([data[:end], *_before_pixels(facts), *text_chunks(facts), rest])


def _before_pixels(facts: Facts) -> Iterator[bytes]:
    if facts.icc:
        yield chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(facts.icc))
    if facts.density is not None:
        x, y = facts.density.x / _INCH, facts.density.y / _INCH
        if not facts.density.absolute:
            x, y = facts.density.ratio(10_000)
        if max(x, y) < 1 << 31:
            yield chunk(b"pHYs", struct.pack(">IIB", round(x), round(y), facts.density.absolute))
    if facts.exif:
        yield chunk(b"eXIf", facts.exif)
    if facts.xmp:
        yield chunk(b"iTXt", _XMP + bytes(5) + facts.xmp)


def complete(file: BinaryIO, facts: Facts) -> None:
    """Put texts, IPTC and a density without a unit, or none, into a PNG file that libvips wrote without them."""
    if facts.density is None or not facts.density.absolute:
        _change_density(file, (1, 1) if facts.density is None else facts.density.ratio(10_000))
    chunks = b"".join(text_chunks(facts))
    if chunks:
        end = chunk(b"IEND", b"")
        file.seek(-len(end), os.SEEK_END)
        file.write(chunks + end)


def _change_density(file: BinaryIO, ratio: tuple[int, int]) -> None:
    """Make the chunk pHYs say only how width and height of a pixel relate."""
    file.seek(len(SIGNATURE))
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        if head[4:] == b"pHYs":
            file.seek(-8, os.SEEK_CUR)
            file.write(chunk(b"pHYs", struct.pack(">IIB", *ratio, 0)))
            return
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)


def text_chunks(facts: Facts) -> list[bytes]:
    """Chunks of the texts, and of IPTC as ImageMagick writes it; they may also stand behind the pixels."""
    texts = list(facts.texts)
    if facts.iptc:
        profile = iptc_records.wrapped(facts.iptc)
        lines = [profile[place : place + 36].hex() for place in range(0, len(profile), 36)]
        texts.append(Text(_RAW + "iptc", "\n".join(["", "iptc", f"{len(profile):8}", *lines, ""])))
    return [_text_chunk(one) for one in texts]


def _text_chunk(one: Text) -> bytes:
    keyword, text = one.keyword.encode("latin-1", "replace")[:79] + b"\0", one.text.replace("\0", "")
    try:
        body = text.encode("latin-1")
    except UnicodeEncodeError:
        body = None
    if body is None or one.language or one.translated:
        body = text.encode()
        packed = len(body) > _LONG_TEXT
        head = keyword + bytes([packed, 0]) + one.language.encode() + b"\0" + one.translated.encode() + b"\0"
        return chunk(b"iTXt", head + (zlib.compress(body) if packed else body))
    if len(body) > _LONG_TEXT:
        return chunk(b"zTXt", keyword + b"\0" + zlib.compress(body))
    return chunk(b"tEXt", keyword + body)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body; without those whose checksum is wrong, as libpng does (PNG, 13.1)."""
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind = data[place + 4 : place + 8]
        if kind in _READ and length <= _MOST_BYTES:
            end = place + 8 + length
            if zlib.crc32(data[place + 4 : end]) == int.from_bytes(data[end : end + 4], "big"):
                yield kind, data[place + 8 : end]
        place += 12 + length


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk: its length, its kind of four letters, its body and their checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _density(body: bytes) -> Density:
    x, y, unit = struct.unpack(">IIB", body)
    return Density(x * _INCH, y * _INCH) if unit == 1 else Density(x, y, absolute=False)


def _text(kind: bytes, body: bytes, unpacker: "_Unpacker") -> Text:
    keyword, rest = body.split(b"\0", 1)
    if kind == b"iTXt":
        language, translated, text = _international_text(body, unpacker)
        return Text(keyword.decode("latin-1"), text.decode(), language.decode(), translated.decode())
    text = unpacker.unpack(rest[1:]) if kind == b"zTXt" else rest
    return Text(keyword.decode("latin-1"), text.decode("latin-1"))


def _international_text(body: bytes, unpacker: "_Unpacker") -> tuple[bytes, bytes, bytes]:
    """Language, translated keyword and text of an iTXt chunk, which begins with a keyword and whether it is packed."""
    place = body.index(b"\0")
    packed = body[place + 1] == 1
    language, translated, text = body[place + 3 :].split(b"\0", 2)
    return language, translated, unpacker.unpack(text) if packed else text


class _Unpacker:
    """Unpacks the chunks of one file; there is an end to what it unpacks."""

    def __init__(self) -> None:
        self._left = _MOST_ALL

    @property
    def is_exhausted(self) -> bool:
        """Whether the end was reached."""
        return self._left <= 0

    def unpack(self, packed: bytes) -> bytes:
        """The whole content; ValueError if it is too long, or damaged."""
        most = min(_MOST_BYTES, self._left)
        if most <= 0:
            raise ValueError
        unpacker = zlib.decompressobj()
        found = unpacker.decompress(packed, most)
        self._left -= len(found)
        if not unpacker.eof:
            raise ValueError
        return found
