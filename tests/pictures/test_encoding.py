"""Picture -> bytes and files, and what is left of it when read again."""

import io
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_files import ADOBE_RGB, DISPLAY_P3, XMP, exif, icc_profile, read_exif, saved, smooth
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from translate.errors import ImageError
from translate.pictures.formats import as_markdown
from translate.pictures.icc import srgb_profile
from translate.pictures.operations import WRITABLE, Picture, decode, encode, read_picture, with_bits, write_picture

P3 = icc_profile(DISPLAY_P3, None)
LOSSLESS = [(".png", 8), (".png", 16), (".tif", 8), (".tiff", 16), (".webp", 8), (".bmp", 8)]
HOLD_ALPHA = [".png", ".webp", ".avif", ".tif"]
HOLD_FACTS = [*HOLD_ALPHA, ".jpg"]


def noise(bits: int) -> Picture:
    """(24, 40) with every alpha from 0 to white, and colours under the transparent ones."""
    rgba_HWC = np.random.default_rng(0).integers(0, 2**bits, (24, 40, 4), dtype=np.uint8 if bits == 8 else np.uint16)
    rgba_HWC[0, :2, 3] = (0, 2**bits - 1)
    return Picture.from_array(rgba_HWC)


def as_pillow_sees(data: bytes) -> Image.Image:
    """Another reader than ours."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize(("suffix", "bits"), LOSSLESS)
@pytest.mark.parametrize("alpha", [False, True])
def test_lossless(tmp_path: Path, suffix: str, bits: int, alpha: bool) -> None:
    picture = noise(bits) if alpha else replace(noise(bits), alpha_HW=None)
    path = tmp_path / f"a{suffix}"
    write_picture(path, picture, lossless=True)
    found = read_picture(path, bits=16)
    if suffix == ".bmp" and alpha:
        picture = Picture.from_array(np.asarray(Image.open(path)))  # on white: below
    assert np.array_equal(found.to_array(), picture.to_array())
    assert found.bits == bits
    assert (found.icc, found.exif, found.xmp, found.notes) == (None, None, None, ())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp", ".avif"])
@pytest.mark.parametrize("bits", [8, 16])
def test_lossy(suffix: str, bits: int) -> None:
    picture = Picture(smooth(bits))
    found = decode(encode(picture, suffix, quality=95), bits=16)
    assert found.bits == 8
    assert np.abs(found.rgb_HWC.astype(int) - with_bits(picture, 8).rgb_HWC).max() <= 12
    assert len(encode(picture, suffix, quality=20)) < len(encode(picture, suffix, quality=95))


@pytest.mark.parametrize("suffix", HOLD_ALPHA)
def test_alpha_is_kept(suffix: str) -> None:
    picture = Picture(smooth(), smooth(channels=4)[..., 3])
    found = decode(encode(picture, suffix))
    assert found.alpha_HW is not None
    assert picture.alpha_HW is not None
    assert np.abs(found.alpha_HW.astype(int) - picture.alpha_HW).max() <= (2 if suffix == ".avif" else 0)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
@pytest.mark.parametrize("bits", [8, 16])
def test_alpha_is_laid_on_white(suffix: str, bits: int) -> None:
    """Black of a quarter, a half and all opacity."""
    alpha_HW = np.repeat(np.array([[0, 64, 128, 255]], np.uint8), 16, axis=1).repeat(16, axis=0)
    picture = with_bits(Picture(np.zeros((16, 64, 3), np.uint8), alpha_HW), bits)  # pyright: ignore[reportArgumentType]
    found = decode(encode(picture, suffix, quality=100))
    assert found.alpha_HW is None
    assert found.rgb_HWC[8, [8, 24, 40, 56], 1].tolist() == pytest.approx([255, 191, 127, 0], abs=2)


@pytest.mark.parametrize("suffix", HOLD_FACTS)
def test_facts_come_back(suffix: str) -> None:
    """EXIF byte for byte, but in TIFF files, which keep it in another order, and AVIF, which takes one entry out."""
    xmp = XMP.replace(b'"6"', b'"1"')
    picture = Picture(smooth(), None, P3, exif(), xmp)
    data = encode(picture, suffix)
    found = decode(data)
    assert found.xmp is not None
    assert b"Thumbnails" not in found.xmp
    assert found.xmp.count("Müller".encode()) == 1
    assert found.icc == srgb_profile()
    assert np.abs(found.rgb_HWC.astype(int) - smooth()).max() <= (0 if suffix in (".png", ".tif") else 16)
    assert found.exif is not None
    tags = read_exif(found.exif)
    assert tags.get_ifd(0x8769)[0xA001] == 1
    plain = decode(encode(replace(picture, icc=None), suffix))
    assert (plain.exif == picture.exif) == (suffix not in (".tif", ".avif"))
    assert tags[0x010F].encode("latin-1").decode() == "Müller"
    assert tags.get_ifd(0x8769)[0x927C] == b"maker's own offsets " * 3
    assert [float(number) for number in tags.get_ifd(0x8825)[2]] == [52, 31, 42.42]
    theirs = as_pillow_sees(data)
    assert theirs.getexif().get(0x0112, 1) == 1
    assert theirs.getexif().get_ifd(0x8769)[0xA002] == 40
    assert theirs.info["icc_profile"] == srgb_profile()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_holds_the_facts_in_its_own_directory(bits: int, order: str) -> None:
    picture = with_bits(Picture(smooth(), None, P3, exif(order=order), XMP), bits)  # pyright: ignore[reportArgumentType]
    image = TiffImageFile(io.BytesIO(encode(picture, ".tif")), "a.tif")
    assert image.tag_v2[0x010F].encode("latin-1").decode() == "Müller"
    assert image.getexif().get_ifd(0x8825)[29] == "2024:02:29"
    assert image.tag_v2[258] == (bits, bits, bits)
    assert b"<rdf:RDF" in image.tag_v2[700]
    assert np.array_equal(decode(encode(picture, ".tif"), bits=16).rgb_HWC, picture.rgb_HWC)


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_without_location(suffix: str) -> None:
    picture = Picture(smooth(), None, P3, exif(), XMP)
    data = encode(picture, suffix, metadata="no-location")
    assert b"2024:02:29" not in data
    assert b"52,31.5N" not in data
    found = decode(data)
    if suffix != ".bmp":
        assert found.exif is not None
        assert found.xmp is not None
        assert read_exif(found.exif).get_ifd(0x8825) == {}
        assert read_exif(found.exif).get_ifd(0x8769)[0xA002] == 40
        assert b"GPS" not in found.xmp
        assert "Müller" in found.xmp.decode()


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_stripped(suffix: str) -> None:
    data = encode(Picture(smooth(), None, P3, exif(), XMP), suffix, metadata="strip")
    found = decode(data)
    assert (found.exif, found.xmp) == (None, None)
    assert "Müller".encode() not in data
    assert found.icc == (None if suffix == ".bmp" else srgb_profile())  # what the colours mean is no metadata


@pytest.mark.parametrize("suffix", HOLD_FACTS)
def test_size_of_the_result(suffix: str) -> None:
    large = np.repeat(np.repeat(smooth(), 2, axis=0), 2, axis=1)
    found = decode(encode(Picture(large, None, None, exif(), XMP), suffix))
    assert found.exif is not None
    assert found.xmp is not None
    inner = read_exif(found.exif).get_ifd(0x8769)
    assert (inner[0xA002], inner[0xA003]) == (80, 48)
    assert 0x9214 not in inner  # where the subject is, in the old pixels
    assert re.findall(rb"ImageWidth='(\d+)'|Dimension>(\d+)<", found.xmp) == [(b"80", b""), (b"", b"80"), (b"", b"48")]


def test_what_is_too_long_for_jpeg_is_left_out() -> None:
    long = Picture(smooth(), exif=exif() + bytes(66_000), xmp=XMP.replace(b"<dc:", b" " * 66_000 + b"<dc:", 1))
    found = decode(encode(long, ".jpg"))
    assert (found.exif, found.xmp) == (None, None)
    found = decode(encode(long, ".png"))
    assert found.exif == long.exif
    assert found.xmp is not None


def test_untagged_stays_untagged() -> None:
    for suffix in HOLD_FACTS:
        assert "icc_profile" not in as_pillow_sees(encode(Picture(smooth()), suffix)).info


@pytest.mark.parametrize("suffix", HOLD_FACTS)
@pytest.mark.parametrize("bits", [8, 16])
def test_source_profile_is_kept_when_asked(suffix: str, bits: int) -> None:
    """The stored numbers are the source's again, to 1 level of 255, and 3 more where the format is lossy."""
    stored_HWC = np.full((16, 16, 3), (180, 120, 90), np.uint8)
    icc = icc_profile(ADOBE_RGB, 563 / 256)
    source = saved(Image.fromarray(stored_HWC), "PNG", icc_profile=icc)
    picture = with_bits(decode(source), bits)  # pyright: ignore[reportArgumentType]
    assert np.abs(picture.rgb_HWC.astype(int) // (1 if bits == 8 else 257) - stored_HWC).max() > 5
    data = encode(picture, suffix, keep_profile=True, quality=100)
    if bits == 8 or suffix not in (".png", ".tif"):
        theirs = as_pillow_sees(data)
        assert theirs.info["icc_profile"] == icc
        assert np.abs(np.asarray(theirs).astype(int) - stored_HWC).max() <= (1 if suffix in (".png", ".tif") else 4)
    again = decode(data, bits=16)
    assert again.icc == icc
    white = 255 if again.bits == 8 else 65535
    assert np.abs(again.rgb_HWC / white - picture.rgb_HWC / (2**bits - 1)).max() <= 4 / 255


def test_profiles_without_a_way_back_become_srgb() -> None:
    for source in (
        saved(Image.new("L", (9, 9), 100), "PNG", icc_profile=icc_profile(None, 1.8)),
        saved(Image.new("RGB", (9, 9)), "BMP"),
    ):
        picture = decode(source)
        found = decode(encode(picture, ".png", keep_profile=True))
        assert np.array_equal(found.rgb_HWC, picture.rgb_HWC)
        assert found.icc == (picture.icc and srgb_profile())
    # BMP cannot say what its colours are, so they stay sRGB.
    picture = Picture(smooth(), None, P3)
    assert np.array_equal(decode(encode(picture, ".bmp", keep_profile=True)).rgb_HWC, smooth())


def test_same_bytes_every_time() -> None:
    picture = Picture(smooth(), None, P3, exif(), XMP)
    for suffix in WRITABLE:
        assert encode(picture, suffix) == encode(picture, suffix)


def test_one_pixel() -> None:
    for suffix in sorted(WRITABLE):
        for dtype in (np.uint8, np.uint16):
            assert decode(encode(Picture(np.zeros((1, 1, 3), dtype)), suffix)).rgb_HWC.shape == (1, 1, 3)


def test_big_tiff() -> None:
    """Facts go into the directory of a file beyond 4 GB too; a small one of that kind will do."""
    import pyvips

    from translate.pictures.metadata import exif as exif_tags

    image: Any = pyvips.Image.new_from_memory(smooth().tobytes(), 40, 24, 3, "uchar")
    data = exif_tags.into_tiff(image.tiffsave_buffer(bigtiff=True), exif=exif(order=">"), icc=P3, xmp=XMP)
    assert data[2] == 43
    found = decode(data)
    assert found.icc == P3
    assert found.exif is not None
    assert read_exif(found.exif).get_ifd(0x8769)[0xA002] == 40
    assert TiffImageFile(io.BytesIO(data), "a.tif").tag_v2[0x010F].encode("latin-1").decode() == "Müller"


def test_write_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    picture = Picture(smooth())
    for path, message in [
        (tmp_path / "a.gif", r"cannot write \.gif"),
        (tmp_path / "a", "cannot write a file without suffix"),
        (tmp_path / "file" / "a.png", "cannot be written"),
        (tmp_path / "missing" / "a.png", "cannot be written"),
    ]:
        with pytest.raises(ImageError, match=message) as caught:
            write_picture(path, picture)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
    for suffix in (".jpg", ".avif"):
        with pytest.raises(ImageError, match="cannot be lossless"):
            encode(picture, suffix, lossless=True)
    for name in ("a.jpg", "a.webp", "a.avif"):
        with pytest.raises(ImageError, match=re.escape(name)):
            write_picture(tmp_path / name, Picture(np.zeros((1, 70_000, 3), np.uint8)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_png_that_other_readers_take_too() -> None:
    """16 bits: chunks in the order that PNG wants, with right checksums."""
    data = encode(Picture(smooth(16), None, P3, exif(), XMP), ".png")
    kinds, place = [], 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kinds.append(data[place + 4 : place + 8])
        place += 12 + length
    assert kinds[:4] == [b"IHDR", b"iCCP", b"eXIf", b"iTXt"]
    assert kinds[-1] == b"IEND"
    theirs = as_pillow_sees(data)
    assert np.abs(np.asarray(theirs).astype(int) - smooth()).max() <= 1
    assert theirs.info["XML:com.adobe.xmp"].startswith("<?xpacket")


def test_the_document_has_the_table_of_formats() -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "convert.md"
    assert as_markdown() in document.read_text(encoding="utf-8")
