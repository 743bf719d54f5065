"""Damage that leaves the pixels sound: they are read, with a note. Missing pixels stay an error."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_files import DISPLAY_P3, XMP, exif, icc_profile, saved, smooth
from PIL import Image

from translate.data.reading import PixelFormat, read_pixels
from translate.errors import ImageError
from translate.pictures.band_reader import RowReader
from translate.pictures.operations import Picture, decode, encode

Chunk = tuple[bytes, bytes, bytes]
"""Kind, data and checksum."""


def chunks(data: bytes) -> list[Chunk]:
    place, found = 8, list[Chunk]()
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 12 + length
        found.append((data[place + 4 : place + 8], data[place + 8 : end - 4], data[end - 4 : end]))
        place = end
    return found


def joined(parts: list[Chunk]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + crc for kind, data, crc in parts
    )


def png_parts(bits: int) -> list[Chunk]:
    picture = Picture(smooth(bits), None, icc_profile(DISPLAY_P3, None), exif(6), XMP)
    parts = chunks(encode(picture, ".png", keep_profile=True))
    for kind, data in ((b"tEXt", b"Title\0a"), (b"tIME", bytes(7))):
        parts.insert(1, (kind, data, struct.pack(">I", zlib.crc32(kind + data))))
    return parts


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [b"tEXt", b"tIME", b"iCCP", b"eXIf", b"iTXt"])
def test_a_bad_checksum_beside_the_pixels(bits: Any, kind: bytes) -> None:
    parts = png_parts(bits)
    found = decode(joined([(name, data, b"bad!" if name == kind else crc) for name, data, crc in parts]), bits=bits)
    expected = decode(joined([part for part in parts if part[0] != kind]), bits=bits)
    assert np.array_equal(found.rgb_HWC, expected.rgb_HWC)
    assert (found.icc, found.exif, found.xmp) == (expected.icc, expected.exif, expected.xmp)
    assert found.notes == (f"its {kind.decode()} chunk has a wrong checksum and was left out; the pixels are sound",)


def test_several_bad_checksums_are_one_note() -> None:
    parts = [(name, data, b"bad!" if name in (b"tEXt", b"tIME") else crc) for name, data, crc in png_parts(8)]
    assert decode(joined(parts)).notes == (
        "its tIME, tEXt chunks have wrong checksums and were left out; the pixels are sound",
    )


def test_a_bad_checksum_of_sound_pixels() -> None:
    """Pillow, which reads 8 bits, looks only at the checksum inside the pixels."""
    parts = png_parts(16)
    found = decode(joined([(name, data, b"bad!" if name == b"IDAT" else crc) for name, data, crc in parts]), bits=16)
    assert np.array_equal(found.rgb_HWC, decode(joined(parts), bits=16).rgb_HWC)
    assert found.notes == ("a checksum of its pixels is wrong; the pixels are sound, as another shows",)
    for place in (40, -3):
        damaged = [
            (name, data[:place] + bytes([data[place] ^ 1]) + data[place:][1:] if name == b"IDAT" else data, crc)
            for name, data, crc in parts
        ]
        with pytest.raises(ImageError, match="damaged picture"):
            decode(joined(damaged), bits=16)


@pytest.mark.parametrize("bits", [8, 16])
def test_png_without_its_end_or_with_more_behind_it(bits: Any) -> None:
    parts = png_parts(bits)
    whole = joined(parts)
    for data in (joined(parts[:-1]), whole[:-6], whole + b"more" * 9):
        assert np.array_equal(decode(data, bits=bits).rgb_HWC, decode(whole, bits=bits).rgb_HWC)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_without_some_pixels_is_an_error(bits: Any) -> None:
    parts = [(name, data, b"bad!" if name == b"tEXt" else crc) for name, data, crc in png_parts(bits)]
    data = joined(parts)
    with pytest.raises(ImageError, match="damaged picture"):
        decode(data[: data.index(b"IDAT") + 40])


def jpeg(kind: str) -> bytes:
    image = Image.effect_noise((64, 48), 90).convert("RGB")
    options = {"baseline": {}, "progressive": {"progressive": True}, "grey": {"progressive": True}}
    return saved(image.convert("L") if kind == "grey" else image, "JPEG", **options[kind])


@pytest.mark.parametrize("kind", ["baseline", "progressive", "grey"])
@pytest.mark.parametrize("end", [b"", b"\xff", bytes(40)])
def test_a_missing_end_marker(tmp_path: Path, kind: str, end: bytes) -> None:
    whole = jpeg(kind)
    data = whole.removesuffix(b"\xff\xd9") + end
    found = decode(data)
    assert np.array_equal(found.rgb_HWC, decode(whole).rgb_HWC)
    assert found.notes in ((), ("its end marker is missing; the pixels are complete",))
    assert found.notes or kind == "baseline"
    (tmp_path / "a.jpg").write_bytes(data)
    assert np.array_equal(read_pixels(tmp_path / "a.jpg", PixelFormat()), found.rgb_HWC)


@pytest.mark.parametrize("kind", ["baseline", "progressive"])
def test_a_missing_end_marker_in_bands(tmp_path: Path, kind: str) -> None:
    data = jpeg(kind)[:-2]
    (tmp_path / "a.jpg").write_bytes(data)
    for source in (data, tmp_path / "a.jpg"):
        with RowReader(source, "a.jpg", tmp_path) as reader:
            assert reader.facts.notes == ("its end marker is missing; the pixels are complete",)
            rgb_HWC = np.concatenate([band.rgb_HWC for band in reader.bands()])
        assert np.abs(rgb_HWC.astype(int) - decode(data).rgb_HWC).max() <= 1
    for damaged in (data[:-300], data[:-8]):
        with (
            RowReader(damaged, "a.jpg", tmp_path) as reader,
            pytest.raises(ImageError, match=r"a\.jpg: damaged picture"),
        ):
            list(reader.bands())
    with RowReader(jpeg(kind) + bytes(1 << 17), "a.jpg", tmp_path) as reader:
        assert reader.facts.notes == ()
        list(reader.bands())


@pytest.mark.parametrize("kind", ["baseline", "progressive", "grey"])
def test_a_jpeg_without_some_pixels_is_an_error(kind: str) -> None:
    whole = jpeg(kind)
    for missing in (3, 4, 10, 300, 900):
        with pytest.raises(ImageError, match="truncated"):
            decode(whole[:-missing])


def test_a_progressive_jpeg_without_its_last_scans_is_an_error() -> None:
    """Cut exactly between two scans: no decoder misses anything, but all pixels are coarse."""
    whole = jpeg("progressive")
    places = [place for place in range(len(whole)) if whole[place : place + 2] == b"\xff\xc4"]
    for place in places[1:]:
        with pytest.raises(ImageError, match="damaged picture"):
            decode(whole[:place])


def test_bytes_behind_the_end_marker() -> None:
    for kind in ("baseline", "progressive"):
        assert decode(jpeg(kind) + b"more" * 9).notes == ()
