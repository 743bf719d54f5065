"""Damages files so that readers get far with them: structure is kept in most places and broken in a few."""

import json
import random
import struct
import zlib
from collections.abc import Sequence
from typing import Any

NUMBERS = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
ODD_TEXTS = (
    "", " ", "0", "-1", "nan", "inf", "1e999", "9" * 5000, "\u0661", "\xb2", "\0", "a\0b", "..", "../../etc/passwd",
    "/", "\\",
    "C:x", "CON", "a" * 300, "\ud800", "\ud800\udc00", "\u202e", "é", "{}", "{stem}", "%s", "%00", "a\nb", "[", "<b>",
    "null", "true", "2-1", "1,2", "1," * 40 + "1", "\x1b[31m", "*", "**", "a/../b", ".png", "a.zip", "all", "first",
    "a/" * 3000 + "a.png",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 8, 16, 0.5, -0.5, 1e308, float("nan"), float("inf"), 2**31, 2**63, 2**64, 10**40,
    [], {}, [[]], [None], {"": None}, ["a", 1], [1.5, float("nan")], {"a": {"b": []}}, *ODD_TEXTS,
)  # fmt: skip
MOST_BYTES = 1 << 16


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Data of any kind with one to four damages, at most `MOST_BYTES` long."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        ways = [_flip, _flip, _number, _number, _cut, _drop, _repeat, _overwrite]
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            ways += [_png] * 8
        elif data[4:8] == b"ftyp":
            ways += [_box] * 8
        elif data.lstrip()[:1] in (b"{", b"["):
            ways += [_json_lines] * 16
        elif data.startswith((b"GET ", b"POST ")):
            ways += [_request] * 12
        elif data[8:9] == b"{":
            ways += [_safetensors] * 12
        data = dice.choice(ways)(data, dice)[:MOST_BYTES]
    return data


def any_json(dice: random.Random, depth: int = 0) -> Any:
    """A value of JSON."""
    kind = dice.randrange(8 if depth < 3 else 5)
    if kind < 5:
        return dice.choice(ODD_VALUES)
    values = [any_json(dice, depth + 1) for _ in range(dice.randrange(4))]
    return values if kind < 7 else {dice.choice(ODD_TEXTS): value for value in values}


def _place(data: bytes, dice: random.Random) -> int:
    """A position, more often near the beginning, where headers are."""
    end = len(data) if dice.randrange(2) else min(len(data), 256)
    return dice.randrange(max(1, end))


def _flip(data: bytes, dice: random.Random) -> bytes:
    changed, place = bytearray(data), _place(data, dice)
    if changed:
        changed[place] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _number(data: bytes, dice: random.Random) -> bytes:
    """Tags, sizes and offsets of TIFF, boxes, chunks and archives are numbers of 2 or 4 bytes, in both orders."""
    size, order = dice.choice((1, 2, 4, 4, 8)), dice.choice("<>")
    form = order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
    place = _place(data, dice) & ~(dice.choice((0, 1)))
    if place + size > len(data):
        return data
    (old,) = struct.unpack_from(form, data, place)
    new = dice.choice((*NUMBERS, old + 1, old - 1, old * 2, len(data), dice.randrange(1 << 32)))
    return data[:place] + struct.pack(form, new % (1 << 8 * size)) + data[place + size :]


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _span(data: bytes, dice: random.Random) -> tuple[int, int]:
    start = _place(data, dice)
    return start, min(len(data), start + dice.choice((1, 2, 4, 8, 12, 30, dice.randrange(1, 400))))


def _drop(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice)
    return data[:start] + data[end:]


def _repeat(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice)
    return data[:end] + data[start:end] * dice.choice((1, 1, 2, 20)) + data[end:]


def _overwrite(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice)
    length = end - start
    return data[:start] + dice.choice((bytes(length), b"\xff" * length, dice.randbytes(length))) + data[end:]


def _png(data: bytes, dice: random.Random) -> bytes:
    """Chunks repeated, dropped, moved or changed, with right checksums."""
    chunks: list[bytes] = []
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append(data[at + 4 : at + 8 + length])
        at += 12 + length
    if not chunks:
        return data
    place = dice.randrange(len(chunks))
    way = dice.randrange(5)
    if way == 0:
        del chunks[place]
    elif way == 1:
        chunks.insert(dice.randrange(len(chunks)), chunks[place])
    else:
        body = chunks[place][4:]
        if way == 2 and body:
            with_pixels = dice.randrange(2) and chunks[place][:4] in (b"IDAT", b"fdAT", b"iCCP", b"zTXt", b"iTXt")
            body = zlib.compress(_flip(body, dice)) if with_pixels else _flip(body, dice)
        else:
            body = dice.choice((_number, _cut, _drop, _repeat))(body, dice)
        chunks[place] = chunks[place][:4] + body
    return data[:8] + b"".join(
        struct.pack(">I", max(0, len(one) - 4)) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks
    )


_BOXES = (
    b"ftyp", b"meta", b"hdlr", b"pitm", b"iloc", b"iinf", b"infe", b"iprp", b"ipco", b"ispe", b"pixi", b"colr", b"av1C",
    b"hvcC", b"ipma", b"irot", b"mdat", b"moov", b"mvhd", b"trak", b"tkhd", b"mdia", b"mdhd", b"minf", b"stbl", b"stsd",
    b"stts", b"stsc", b"stsz", b"stco", b"udta", b"edts", b"elst", b"ctts", b"stss", b"avc1", b"avcC", b"iref", b"dimg",
)  # fmt: skip


def _box(data: bytes, dice: random.Random) -> bytes:
    """Boxes of ISOBMFF with another size, dropped, repeated, or changed inside."""
    found = [place - 4 for name in _BOXES if (place := data.find(name)) >= 4]
    if not found:
        return data
    start = dice.choice(found)
    size = int.from_bytes(data[start : start + 4], "big")
    end = min(len(data), start + max(8, size))
    box, way = data[start:end], dice.randrange(5)
    if way == 0:
        size = dice.choice((*NUMBERS, size - 1, size + 1, size * 2))
        box = struct.pack(">I", size % (1 << 32)) + box[4:]
    elif way == 1:
        box = b""
    elif way == 2:
        box += box
    else:
        inner = dice.choice((_flip, _number, _overwrite))(box[8:], dice)
        box = struct.pack(">I", 8 + len(inner)) + box[4:8] + inner
    return data[:start] + box + data[end:]


def _json_lines(data: bytes, dice: random.Random) -> bytes:
    """JSON, or lines of it, with other values, names and depths."""
    try:
        lines = data.decode("utf-8").split("\n") if data.count(b"\n") else [data.decode("utf-8")]
        place = dice.randrange(len(lines))
        lines[place] = json.dumps(_other(json.loads(lines[place]), dice), ensure_ascii=dice.randrange(2) == 0)
    except (ValueError, RecursionError):
        return _flip(data, dice)
    if len(lines) > 1 and not dice.randrange(4):
        lines.insert(dice.randrange(len(lines)), lines[place])
    if not dice.randrange(40):
        lines[place] = "[" * 30_000 + lines[place]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _other(value: Any, dice: random.Random) -> Any:
    """The value with one change in it."""
    if isinstance(value, dict) and value and dice.randrange(8):
        name = dice.choice(list(value))
        way = dice.randrange(8)
        if way == 0:
            return {key: one for key, one in value.items() if key != name}
        if way == 1:
            return {**value, dice.choice(ODD_TEXTS): value[name]}
        return {**value, name: _other(value[name], dice)}
    if isinstance(value, list) and value and dice.randrange(4):
        place = dice.randrange(len(value))
        return [*value[:place], _other(value[place], dice), *value[place + dice.randrange(2) :]]
    return any_json(dice)


def _safetensors(data: bytes, dice: random.Random) -> bytes:
    """Another header, with its right length."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = _json_lines(data[8:end], dice)
    try:  # the metadata are texts, some of which hold JSON
        found = json.loads(header)
        texts = found["__metadata__"]
        name = dice.choice(list(texts))
        texts[name] = _json_lines(texts[name].encode(), dice).decode("utf-8", "replace")
        header = json.dumps(found).encode()
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        pass
    return struct.pack("<Q", len(header)) + header + data[end:]


def _request(data: bytes, dice: random.Random) -> bytes:
    """A request with other values in its query, headers or body; see `page_requests`."""
    head, blank, body = data.partition(b"\n\n")
    first, *headers = head.split(b"\n")
    odd = dice.choice(ODD_TEXTS).encode("utf-8", "surrogatepass").replace(b"\n", b"%0A").replace(b" ", b"+")
    way = dice.randrange(6)
    if way < 3 and b"=" in first:
        pairs = first.split(b"&")
        place = dice.randrange(len(pairs))
        pairs[place] = pairs[place].partition(b"=")[0] + b"=" + odd
        first = b"&".join(pairs)
    elif way == 3:
        parts = first.split(b"/")
        place = dice.randrange(len(parts))
        first = b"/".join([*parts[:place], odd, *parts[place + 1 :]])
    elif way == 4 and headers:
        place = dice.randrange(len(headers))
        headers[place] = headers[place].partition(b":")[0] + b": " + odd
    elif body:
        body = mutated(body, dice)
    return b"\n".join([first, *headers]) + blank + body


def crossed(seeds: Sequence[bytes], dice: random.Random, kept: int = 0) -> bytes:
    """A damaged seed, its first `kept` bytes as they were; sometimes its beginning is another's."""
    seed = dice.choice(seeds)
    data = seed[:kept] + mutated(seed[kept:], dice)
    if not dice.randrange(20):
        other = dice.choice(seeds)
        data = other[: dice.randrange(len(other) + 1)] + data[dice.randrange(len(data) + 1) :]
    return data[:MOST_BYTES]
