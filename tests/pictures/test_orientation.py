"""One table: whatever file says how its pixels lie, and wherever, the picture comes out upright, once."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_files import XMP, exif, heic, png, saved
from PIL import Image

from translate.pictures.band_reader import RowReader
from translate.pictures.metadata import xmp as xmp_packet
from translate.pictures.metadata.tiff_tags import Value, pack
from translate.pictures.operations import Picture, decode, encode

# Stored pixels of an upright picture, by orientation (EXIF 2.32, 4.6.4).
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda x: np.rot90(x, 1),
    7: lambda x: np.rot90(x, 2).T,
    8: lambda x: np.rot90(x, -1),
}
LOSSY = 6


def bare_exif(number: int) -> bytes:
    """EXIF with the orientation and nothing else."""
    return b"MM\0*\0\0\0\x08" + pack({0x0112: Value(3, struct.pack(">H", number))}, 8, ">")


def packet(number: int) -> bytes:
    return XMP.replace(b'tiff:Orientation="6"', b'tiff:Orientation="%d"' % number)


def by_pillow(
    kind: str, name: str, value: Callable[[int], bytes], **options: Any
) -> Callable[[np.ndarray, int], bytes]:
    def make(stored_HWC: np.ndarray, number: int) -> bytes:
        return saved(Image.fromarray(stored_HWC), kind, **{name: value(number)}, **options)

    return make


def in_png(chunk: Callable[[int], tuple[bytes, bytes]], bits: int) -> Callable[[np.ndarray, int], bytes]:
    def make(stored_HWC: np.ndarray, number: int) -> bytes:
        return png(stored_HWC if bits == 8 else stored_HWC.astype(np.uint16) * 257, 2, chunk(number))

    return make


def old_text(number: int) -> tuple[bytes, bytes]:
    return b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n  10\n" + exif(number).hex().encode())


def xmp_text(number: int) -> tuple[bytes, bytes]:
    return b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + packet(number)


def tiff(stored_HWC: np.ndarray, tag: int | None = None, xmp: int | None = None, **options: Any) -> bytes:
    """With no tag that describes the picture but these."""
    tags = {} if tag is None else {0x0112: tag}
    tags |= {} if xmp is None else {0x02BC: packet(xmp)}
    return saved(Image.fromarray(stored_HWC), "TIFF", tiffinfo=tags, **options)


def deep_tiff(stored_HWC: np.ndarray, number: int) -> bytes:
    pyvips = pytest.importorskip("pyvips")
    image = pyvips.Image.new_from_array(stored_HWC.astype(np.uint16) * 257, interpretation="rgb16")
    image.set_type(pyvips.GValue.gint_type, "orientation", number)
    return image.tiffsave_buffer()


JPEG, WEBP = {"quality": 100, "subsampling": 0}, {"lossless": True}
CARRIERS: dict[str, Callable[[np.ndarray, int], bytes]] = {
    "JPEG EXIF": by_pillow("JPEG", "exif", lambda number: b"Exif\0\0" + exif(number), **JPEG),
    "JPEG EXIF alone": by_pillow("JPEG", "exif", lambda number: b"Exif\0\0" + bare_exif(number), **JPEG),
    "JPEG XMP": by_pillow("JPEG", "xmp", packet, **JPEG),
    "PNG EXIF": in_png(lambda number: (b"eXIf", exif(number)), 8),
    "PNG EXIF alone, 16 bits": in_png(lambda number: (b"eXIf", bare_exif(number)), 16),
    "PNG XMP": in_png(xmp_text, 8),
    "PNG XMP, 16 bits": in_png(xmp_text, 16),
    "PNG old text": in_png(old_text, 8),
    "PNG old text, 16 bits": in_png(old_text, 16),
    "WebP EXIF": by_pillow("WEBP", "exif", exif, **WEBP),
    "WebP XMP": by_pillow("WEBP", "xmp", packet, **WEBP),
    "AVIF boxes": by_pillow("AVIF", "exif", bare_exif, quality=100, subsampling="4:4:4"),
    "HEIC boxes": lambda stored_HWC, number: heic(Image.fromarray(stored_HWC), exif=bare_exif(number)),
    "HEIC boxes and XMP": lambda stored_HWC, number: heic(Image.fromarray(stored_HWC), xmp=packet(number)),
    "TIFF tag": lambda stored_HWC, number: tiff(stored_HWC, number),
    "TIFF tag, 16 bits": deep_tiff,
    "TIFF tag and resolution": lambda stored_HWC, number: tiff(stored_HWC, number, dpi=(300, 300)),
    "TIFF tag, deflated": lambda stored_HWC, number: tiff(stored_HWC, number, compression="tiff_deflate"),
    "BigTIFF tag": lambda stored_HWC, number: tiff(stored_HWC, number, big_tiff=True),
    "TIFF XMP": lambda stored_HWC, number: tiff(stored_HWC, xmp=number),
    "Zstandard TIFF tag": lambda stored_HWC, number: tiff(stored_HWC, number, compression="zstd"),
    "Zstandard TIFF XMP": lambda stored_HWC, number: tiff(stored_HWC, xmp=number, compression="zstd"),
}
CONTRADICTED: dict[str, Callable[[np.ndarray], bytes]] = {
    "JPEG, EXIF is right": lambda HWC: saved(
        Image.fromarray(HWC), "JPEG", exif=b"Exif\0\0" + bare_exif(1), xmp=packet(6), **JPEG
    ),
    "PNG, EXIF is right": lambda HWC: png(HWC, 2, (b"eXIf", bare_exif(1)), xmp_text(6)),
    "TIFF, its tag is right": lambda HWC: tiff(HWC, 1, 6),
    "AVIF, its boxes are right": lambda HWC: saved(Image.fromarray(HWC), "AVIF", xmp=packet(6), quality=100),
}


def corners() -> np.ndarray:
    """Upright (16, 32, 3): a bright corner top left, a grey one top right."""
    found_HWC = np.zeros((16, 32, 3), np.uint8)
    found_HWC[:8, :8] = 255
    found_HWC[:8, 24:] = 128
    return found_HWC


def stored(number: int) -> np.ndarray:
    planes = [TURNS[number](plane_HW) for plane_HW in corners().transpose(2, 0, 1)]
    return np.ascontiguousarray(np.stack(planes, axis=-1))


def assert_upright(found: Picture) -> None:
    assert found.rgb_HWC.shape == (16, 32, 3)
    assert np.abs(found.rgb_HWC.astype(int) - corners()).max() <= LOSSY
    if found.xmp is not None:
        assert xmp_packet.orientation(found.xmp) in (0, 1)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("carrier", CARRIERS)
def test_upright(carrier: str, number: int) -> None:
    data = CARRIERS[carrier](stored(number), number)
    found = decode(data)
    assert_upright(found)
    # Not turned once more by whoever reads the result.
    for suffix in (".png", ".jpg", ".webp", ".avif", ".tif"):
        result = encode(found, suffix, quality=100)
        assert_upright(decode(result))
        with Image.open(io.BytesIO(result)) as image:
            assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("number", [1, 3, 6, 7])
@pytest.mark.parametrize("carrier", [name for name in CARRIERS if not name.startswith(("AVIF", "HEIC", "Zstandard"))])
def test_upright_row_by_row(tmp_path: Path, carrier: str, number: int) -> None:
    with RowReader(CARRIERS[carrier](stored(number), number), carrier, tmp_path) as reader:
        found_HWC = np.concatenate([band.rgb_HWC for band in reader.bands()])
        assert (reader.height, reader.width) == (16, 32)
    assert_upright(Picture(found_HWC, xmp=reader.facts.xmp))


@pytest.mark.parametrize("case", CONTRADICTED)
def test_contradictions(tmp_path: Path, case: str) -> None:
    """XMP counts only where nothing better says it."""
    data = CONTRADICTED[case](corners())
    assert_upright(decode(data))
    if not case.startswith("AVIF"):
        with RowReader(data, case, tmp_path) as reader:
            assert (reader.height, reader.width) == (16, 32)
