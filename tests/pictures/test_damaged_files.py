"""What cannot be read, or is too large: one line that names the file, and nothing on the screen."""

import random
import re
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from made_files import heic, png_chunks, saved, smooth, whole_files
from PIL import Image

from translate.errors import ImageError
from translate.pictures import by_libvips, found
from translate.pictures.operations import Picture, decode, encode, read_picture


def truncated_jpeg(path: Path) -> None:
    Image.effect_noise((64, 64), 90).convert("RGB").save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-900])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated_jpeg, "truncated"),
        (lambda path: path.write_text("hello"), "not a PNG, JPEG, .* or TGA picture; convert it"),
        (lambda path: path.write_text("BM is not always a bitmap"), "not a PNG"),
        (lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "not a PNG"),
        (lambda path: path.write_bytes(b"\0\0\0\x14ftypisom\0\0\0\0mp42"), "not a PNG"),
        (lambda path: path.write_bytes(b""), "an empty file; replace it with a good copy or leave it out"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: None, "cannot be read"),
        (lambda path: path.write_bytes(b"GIF89a"), "damaged"),
        (lambda path: path.write_bytes(b"II*\0"), "damaged"),
        (lambda path: path.write_bytes(b"BM" + bytes(12) + b"\x28\0\0\0"), "damaged"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)), "damaged"),
        (lambda path: path.write_bytes(b"RIFF\0\0\0\0WEBP" + bytes(99)), "damaged"),
        (lambda path: path.write_bytes(b"\0\0\0\x14ftypavif\0\0\0\0avif"), "damaged"),
        (lambda path: path.write_bytes(b"\0\0\0\x14ftypmif1\0\0\0\0heic"), "damaged"),
        (lambda path: path.write_bytes(b"\xff\xd8\xff" + bytes(99)), "damaged"),
    ],
)
def test_unreadable(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "photo.png"
    make(path)
    with pytest.raises(ImageError, match=message) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_heic_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(Image.fromarray(smooth()))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"^a\.heic: a HEIC picture; pillow_heif not installed; .* '\.\[heif\]'$"):
        decode(data, "a.heic")


def test_damaged_metadata_is_ignored_without_a_warning() -> None:
    # One IFD entry that claims 1000 bytes at an offset beyond the end: Pillow warns about it.
    tags = b"II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\xe8\x03\0\0\xff\0\0\0\0\0\0\0"
    for data in (
        saved(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0" + tags),
        saved(Image.new("RGB", (8, 8)), "PNG", exif=tags),
    ):
        assert decode(data).rgb_HWC.shape == (8, 8, 3)
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    broken_animation = (b"acTL", bytes(8))
    data = png_chunks((b"IHDR", header), broken_animation, (b"IDAT", zlib.compress(b"\0\7")), (b"IEND", b""))
    assert decode(data).rgb_HWC.tolist() == [[[7, 7, 7]]]


def test_max_pixels(tmp_path: Path) -> None:
    for picture in (Picture(smooth()), Picture(smooth(16))):
        for suffix in (".png", ".tif"):
            (tmp_path / "a").write_bytes(encode(picture, suffix))
            assert read_picture(tmp_path / "a", max_pixels=960).width == 40
            with pytest.raises(ImageError, match="40 x 24 pixels is too large"):
                read_picture(tmp_path / "a", max_pixels=959)


@pytest.mark.parametrize("side", [10_000, 14_000])
@pytest.mark.parametrize(("depth", "needed"), [(1, 12), (16, 36)])
def test_our_limit_replaces_pillows(monkeypatch: pytest.MonkeyPatch, side: int, depth: int, needed: int) -> None:
    """Pillow warns above 89 megapixels and refuses above 179; here only our own limit speaks."""
    header = struct.pack(">IIBBBBB", side, side, depth, 0, 0, 0, 0)
    data = png_chunks((b"IHDR", header), (b"IDAT", b""), (b"IEND", b""))
    monkeypatch.setattr(found, "available_memory_bytes", lambda: needed * 10**6)
    with pytest.raises(ImageError, match=r"at most 1\.0 megapixels"):
        decode(data)
    if depth == 1:
        with pytest.raises(ImageError, match="damaged"):
            decode(data, max_pixels=side * side)
    else:  # the caller reckoned with less memory than 16 bits take
        with pytest.raises(ImageError, match=r"at most 1\.0 megapixels"):
            decode(data, max_pixels=side * side)


def test_files_larger_than_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_libvips, "available_memory_bytes", lambda: 500)
    with pytest.raises(ImageError, match=r"file of .* GB does not fit"):
        decode(encode(Picture(smooth()), ".tif"))


@pytest.mark.parametrize("kind", ["cut", "flipped"])
def test_damaged_files_are_refused_or_read_in_silence(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(0)
    messages: list[str] = []
    for name, data in whole_files().items():
        assert decode(data).rgb_HWC.size
        for _ in range(25):
            damaged = bytearray(data)
            if kind == "cut":
                del damaged[dice.randrange(len(data)) :]
            else:
                for _ in range(dice.choice((1, 4))):
                    damaged[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            try:
                found = decode(bytes(damaged), f"a{name}", max_pixels=10**6, bits=16)
            except ImageError as error:
                messages.append(str(error).removeprefix(f"a{name}: "))
            else:
                assert encode(found, ".png", metadata="no-location")
    assert len(messages) > (250 if kind == "cut" else 100)
    assert all(re.match("damaged picture|an empty file|not a PNG|.* too large|has |holds ", text) for text in messages)
    assert not any("\n" in text for text in messages)
    assert capfd.readouterr() == ("", "")
