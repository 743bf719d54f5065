"""Picture files and parts of them, put together byte by byte: what libraries cannot write."""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from translate.pictures.metadata.facts import PhysicalSize, Text
from translate.pictures.metadata.tiff_tags import Directory, Value, pack
from translate.pictures.operations import Picture, encode, with_bits

D50 = (0.9642, 1.0, 0.8249)


def _columns(*primaries: tuple[float, float]) -> np.ndarray:
    """XYZ of red, green and blue with these chromaticities and white D65, as seen under D50 (Bradford): columns."""

    def xyz(x: float, y: float) -> np.ndarray:
        return np.array([x / y, 1, (1 - x - y) / y])

    cones = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    white = xyz(0.3127, 0.3290)
    full = np.stack([xyz(*place) for place in primaries], axis=1)
    adapted = np.linalg.inv(cones) @ np.diag(cones @ D50 / (cones @ white)) @ cones
    return adapted @ (full * np.linalg.solve(full, white))


SRGB = _columns((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
DISPLAY_P3 = _columns((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
ADOBE_RGB = _columns((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def heic(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pytest.importorskip("pillow_heif").from_pillow(image).save(buffer, quality=100, chroma=444, **options)
    return buffer.getvalue()


def smooth(bits: int = 8, channels: int = 3) -> np.ndarray:
    """(24, 40, channels) without hard edges, every channel different."""
    rows, columns = np.mgrid[:24, :40]
    planes = [rows * 9, columns * 6, 255 - rows * 4 - columns * 3, rows * 2 + columns * 5][:channels]
    found = np.stack(planes, axis=-1)
    return found.astype(np.uint8) if bits == 8 else np.minimum(found * 257 + 13, 65535).astype(np.uint16)


def png_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def png(image: np.ndarray, colour_type: int, *extra: tuple[bytes, bytes]) -> bytes:
    """Encode (H, W) or (H, W, C) uint8 or uint16."""
    bits = 8 * image.dtype.itemsize
    rows = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in image)
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], bits, colour_type, 0, 0, 0)
    return png_chunks((b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


def bomb(side: int = 60_000) -> bytes:
    """A small file that says it is a huge picture, black and white."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return png_chunks((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))


def png_of_levels(levels: Sequence[int], depth: int, transparent: int) -> bytes:
    """One row of grey levels of 1, 2 or 4 bits, one of them transparent."""
    digits = "".join(format(level, f"0{depth}b") for level in levels)
    digits = digits.ljust(-(-len(digits) // 8) * 8, "0")
    row = b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")
    header = struct.pack(">IIBBBBB", len(levels), 1, depth, 0, 0, 0, 0)
    transparency = (b"tRNS", struct.pack(">H", transparent))
    return png_chunks((b"IHDR", header), transparency, (b"IDAT", zlib.compress(row)), (b"IEND", b""))


def icc_profile(columns: np.ndarray | None, gamma: float | None) -> bytes:
    """A colour profile (ICC version 4): RGB of these columns, or grey; `gamma` None is sRGB's curve."""
    name = (
        b"mluc"
        + bytes(4)
        + struct.pack(">II", 1, 12)
        + b"enUS"
        + struct.pack(">II", 8, 28)
        + "test".encode("utf-16-be")
    )
    curve = b"curv" + bytes(4) + struct.pack(">IHH", 1, round((gamma or 1) * 256), 0)
    if gamma is None:
        numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed(numbers)
    tags = {b"desc": name, b"cprt": name, b"wtpt": b"XYZ " + bytes(4) + _fixed(D50)}
    if columns is None:
        tags[b"kTRC"] = curve
    else:
        for letter, column in zip("rgb", columns.T, strict=True):
            tags[f"{letter}XYZ".encode()] = b"XYZ " + bytes(4) + _fixed(column)
            tags[f"{letter}TRC".encode()] = curve
    table, body = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        value += bytes(-len(value) % 4)
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(value))
        body += value
    space = b"GRAY" if columns is None else b"RGB "
    head = struct.pack(">I4sI", 128 + len(table) + len(body), b"test", 0x04200000) + b"mntr" + space + b"XYZ "
    head += bytes(12) + b"acsp" + bytes(28) + _fixed(D50)
    return head.ljust(128, b"\0") + table + body


def _fixed(numbers: Sequence[float]) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def exif(orientation: int = 1, *, order: str = "<", height: int = 24, width: int = 40, thumbnail: bytes = b"") -> bytes:
    """EXIF with a maker, a size, Adobe RGB, a place and a maker's note, beginning with its TIFF header."""

    def short(*numbers: int) -> Value:
        return Value(3, struct.pack(f"{order}{len(numbers)}H", *numbers))

    def long(number: int) -> Value:
        return Value(4, struct.pack(order + "L", number))

    place = {
        1: Value(2, b"N\0"),
        2: Value(5, struct.pack(order + "6L", 52, 1, 31, 1, 4242, 100)),
        29: Value(2, b"2024:02:29\0"),
    }
    inner: Directory = {
        0x927C: Value(7, b"maker's own offsets " * 3),
        0x9214: short(10, 10, 5, 5),
        0xA001: short(0xFFFF),
        0xA002: long(width),
        0xA003: short(height),
        0xA005: {1: Value(2, b"R03\0")},
    }
    main: Directory = {0x010F: Value(2, "Müller\0".encode()), 0x0112: short(orientation), 0x8769: inner, 0x8825: place}
    head = b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"
    data = bytearray(head + pack(main, 8, order))
    if thumbnail:
        pointer = 8 + 2 + 12 * len(main)
        data[pointer : pointer + 4] = struct.pack(order + "L", len(data))
        second = {0x0201: long(len(data) + 2 + 2 * 12 + 4), 0x0202: long(len(thumbnail))}
        data += pack(second, len(data), order) + thumbnail
    return bytes(data)


def read_exif(data: bytes) -> Image.Exif:
    """What Pillow makes of it: a reader that is not ours."""
    found = Image.Exif()
    found.load(data)
    return found


XMP = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 tiff:Orientation="6" tiff:ImageWidth='40' exif:ColorSpace="65535" exif:GPSLatitude="52,31.5N"
 exif:GPSProcessingMethod="it's GPS" dc:format="image/jpeg">
<exif:PixelXDimension>40</exif:PixelXDimension><exif:PixelYDimension>24</exif:PixelYDimension>
<exif:GPSLongitude>13,24E</exif:GPSLongitude><exif:GPSVersionID/>
<xmp:Thumbnails><rdf:Alt><rdf:li>AAAA</rdf:li></rdf:Alt></xmp:Thumbnails>
<dc:creator>M\xc3\xbcller</dc:creator>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def whole_files() -> dict[str, bytes]:
    picture = Picture(
        smooth(),
        smooth(channels=4)[..., 3],
        icc_profile(DISPLAY_P3, None),
        exif(6),
        XMP,
        size=PhysicalSize(1, 2),
        iptc=b"\x1c\x02\x05\0\5Title\x1c\x02\x5a\0\6Berlin",
        texts=(Text("Comment", "hello"), Text("Title", "木", "ja", "題")),
    )
    found = {
        suffix: encode(picture, suffix, keep_profile=True)
        for suffix in (".png", ".jpg", ".webp", ".avif", ".tif", ".bmp")
    }
    found |= {
        f"16 bits{suffix}": encode(with_bits(picture, 16), suffix, keep_profile=True) for suffix in (".png", ".tif")
    }
    image = Image.fromarray(smooth())
    found |= {".gif": saved(image.convert("P"), "GIF"), ".heic": heic(image, exif=exif(6), xmp=XMP)}
    return found | {f"{kind}.tif": saved(image, "TIFF", compression=kind) for kind in ("jpeg", "tiff_lzw", "packbits")}
