"""The protocol between a program and the process that reads its pictures: JSON, then raw bytes; nothing is unpickled.

The program checks everything it receives against its own limits before it allocates memory: a hostile file may have
taken over the other side.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np

from translate.pictures.metadata.facts import PhysicalSize, Text
from translate.pictures.picture import Picture, Pixels

MOST_HEADER_BYTES = 64 << 20
"""Length of the JSON of a message: texts in a picture may be long."""
MOST_BLOB_BYTES = 64 << 20
"""Length of a colour profile, of EXIF, XMP or IPTC."""
MOST_NOTES = 100
_BLOBS = ("icc", "exif", "xmp", "iptc")
_DTYPES: Mapping[str, Any] = {"uint8": np.uint8, "uint16": np.uint16}

Message = dict[str, Any]


class Broken(Exception):  # noqa: N818 - users see another message
    """What was received is not a message, not the expected one, or larger than allowed."""


@dataclass(frozen=True)
class Channel:
    """Two streams, one in each direction."""

    source: BinaryIO
    target: BinaryIO

    def send(self, message: Message, *parts: bytes | memoryview) -> None:
        """Write a message, and the bytes that it announces.

        Raises:
            OSError: nobody reads.
        """
        body = json.dumps(message).encode()
        self.target.write(len(body).to_bytes(4, "little") + body)
        for part in parts:
            self.target.write(part)
        self.target.flush()

    def receive(self) -> Message | None:
        """Read a message; None at the end of the stream.

        Raises:
            Broken: it is none.
        """
        head = self.source.read(4)
        if not head:
            return None
        length = int.from_bytes(head, "little")
        if len(head) < 4 or length > MOST_HEADER_BYTES:
            raise Broken
        try:
            message = json.loads(self.read(length))
        except (ValueError, RecursionError):
            raise Broken from None
        return table(message)

    def read(self, length: int) -> bytearray:
        """Read so many bytes; `Broken` if they do not come."""
        made = bytearray(length)
        self._fill(memoryview(made))
        return made

    def _fill(self, room: memoryview) -> None:
        """Read into all of this memory."""
        place = 0
        while place < len(room):
            count = cast(Any, self.source).readinto(room[place:])
            if not count:
                raise Broken
            place += count

    # --- the file to read

    def send_request(self, what: str, data: bytes | Path, **more: Any) -> None:
        """Ask for something about a file: its bytes are sent, or its path."""
        if isinstance(data, Path):
            self.send({"do": what, "path": str(data.absolute()), **more})
        else:
            self.send({"do": what, "length": len(data), **more}, data)

    def read_file(self, request: Message) -> bytes | Path:
        """The file of a request."""
        return Path(request["path"]) if "path" in request else bytes(self.read(request["length"]))

    # --- pictures

    def send_picture(self, picture: Picture, **more: Any) -> None:
        """Send a picture with all that is known of it."""
        blobs = {name: getattr(picture, name) for name in _BLOBS}
        planes = [np.ascontiguousarray(one) for one in (picture.rgb_HWC, picture.alpha_HW) if one is not None]
        message: Message = {
            "shape": picture.rgb_HWC.shape[:2],
            "dtype": picture.rgb_HWC.dtype.name,
            "alpha": picture.alpha_HW is not None,
            "blobs": {name: len(blob) for name, blob in blobs.items() if blob is not None},
            "notes": picture.notes,
            "size": asdict(picture.size) if picture.size is not None else None,
            "texts": [[one.keyword, one.text, one.language, one.translated] for one in picture.texts],
            "pages": picture.pages,
            **more,
        }
        pixels = [plane.data.cast("B") for plane in planes]
        self.send(message, *[blob for blob in blobs.values() if blob is not None], *pixels)

    def read_picture(self, message: Message, most_pixels: int, bits: Literal[8, 16]) -> Picture:
        """Read the picture that a message announces.

        Args:
            message: what `receive` returned.
            most_pixels: maximum height * width.
            bits: the most bits a channel that were asked for.

        Raises:
            Broken: it is larger, or not what was asked for.
        """
        height, width = pair(message.get("shape"))
        dtype = str(message.get("dtype"))
        if height < 1 or width < 1 or height * width > most_pixels or dtype not in _DTYPES:
            raise Broken
        if bits == 8 and dtype != "uint8":
            raise Broken
        facts = _facts(message)
        blobs = {name: bytes(self.read(length)) for name, length in _blob_lengths(message)}
        rgb_HWC = self._pixels((height, width, 3), dtype)
        alpha_HW = self._pixels((height, width), dtype) if message.get("alpha") is True else None
        return replace(facts, rgb_HWC=rgb_HWC, alpha_HW=alpha_HW, **cast(Any, blobs))

    def _pixels(self, shape: tuple[int, ...], dtype: str) -> Pixels:
        pixels = np.empty(shape, _DTYPES[dtype])
        self._fill(pixels.data.cast("B"))
        return pixels


def whole(value: Any) -> int:
    """Return a whole number that is not negative; raise `Broken` for anything else."""
    if type(value) is not int or value < 0:
        raise Broken
    return value


def pair(value: Any) -> tuple[int, int]:
    """Return height and width; raise `Broken` for anything but a list of two such numbers."""
    height, width = items(value, least=2, most=2)
    return whole(height), whole(width)


def items(value: Any, *, least: int = 0, most: float = math.inf) -> list[Any]:
    """Return a list of `least` to `most` values; raise `Broken` for anything else."""
    if not isinstance(value, list) or not least <= len(cast(list[Any], value)) <= most:
        raise Broken
    return cast(list[Any], value)


def table(value: Any) -> Message:
    """Return a dictionary; raise `Broken` for anything else."""
    if not isinstance(value, dict):
        raise Broken
    return cast(Message, value)


def _blob_lengths(message: Message) -> list[tuple[str, int]]:
    found = table(message.get("blobs"))
    lengths = [(name, whole(found[name])) for name in _BLOBS if name in found]
    if any(length > MOST_BLOB_BYTES for _, length in lengths):
        raise Broken
    return lengths


def _facts(message: Message) -> Picture:
    """A picture without pixels, of what a message says."""
    size = message.get("size")
    return Picture(
        np.empty((0, 0, 3), np.uint8),
        notes=tuple(map(_text, items(message.get("notes"), most=MOST_NOTES))),
        size=None if size is None else _size(table(size)),
        texts=tuple(Text(*map(_text, items(one, least=4, most=4))) for one in items(message.get("texts"))),
        pages=max(1, whole(message.get("pages"))),
    )


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Broken
    return value


def _size(found: Message) -> PhysicalSize:
    sides: list[Any] = [found.get(name) for name in ("height", "width")]
    if not all(type(side) in (int, float) and math.isfinite(side) and side > 0 for side in sides):
        raise Broken
    return PhysicalSize(float(sides[0]), float(sides[1]), found.get("absolute") is True)
