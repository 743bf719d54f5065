"""Files and bytes -> Picture."""

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from made_files import (
    ADOBE_RGB,
    DISPLAY_P3,
    XMP,
    exif,
    heic,
    icc_profile,
    png,
    png_chunks,
    png_of_levels,
    saved,
    smooth,
    whole_files,
)
from PIL import Image

from translate.errors import ImageError
from translate.pictures.band_reader import RowReader
from translate.pictures.metadata.tiff_tags import Tiff
from translate.pictures.operations import READABLE, Picture, decode, encode, read_picture, with_bits

P3 = icc_profile(DISPLAY_P3, None)


def tiff(pixels: np.ndarray, interpretation: str, **options: Any) -> bytes:
    """(H, W, N) uint8 or uint16 by libvips, which writes what Pillow cannot."""
    height, width, bands = pixels.shape
    form = "uchar" if pixels.dtype == np.uint8 else "ushort"
    image: Any = pyvips.Image.new_from_memory(pixels.tobytes(), width, height, bands, form)
    return image.copy(interpretation=interpretation).tiffsave_buffer(**options)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "HEIC"])
def test_what_the_bytes_are_decides(tmp_path: Path, kind: str) -> None:
    image = Image.fromarray(smooth())
    (tmp_path / "a.xyz").write_bytes(heic(image) if kind == "HEIC" else saved(image, kind))
    found = read_picture(tmp_path / "a.xyz")
    assert found.alpha_HW is None
    # 4:2:0 of JPEG, WebP and AVIF.
    tolerance = 0 if kind in ("PNG", "TIFF", "BMP") else 12
    assert np.abs(found.rgb_HWC.astype(int) - smooth()).max() <= tolerance


def test_gif_and_other_animations_give_their_first_frame() -> None:
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    for kind in ("GIF", "PNG", "WEBP", "TIFF", "AVIF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = saved(red, kind, save_all=True, append_images=[blue], **options)
        assert decode(data).rgb_HWC[0, 0].tolist() == pytest.approx([255, 0, 0], abs=2)
    seen = Image.new("P", (2, 1))
    seen.putpalette([255, 0, 0, 0, 255, 0])
    seen.putpixel((1, 0), 1)
    assert decode(saved(seen, "GIF", transparency=0)).to_array().tolist() == [[[255, 0, 0, 0], [0, 255, 0, 255]]]


def odd_modes() -> dict[str, tuple[Image.Image, str]]:
    """Mode -> picture and a format that holds it."""
    rgb, alpha = Image.fromarray(smooth()), Image.fromarray(smooth(channels=4)[..., 3])
    with_alpha = {mode: rgb.convert(mode) for mode in ("RGBA", "LA", "PA")}
    for image in with_alpha.values():
        image.putalpha(alpha)
    found = {mode: (rgb.convert(mode), "PNG") for mode in ("1", "L", "P", "RGB")}
    found |= {"RGBA": (with_alpha["RGBA"], "PNG"), "LA": (with_alpha["LA"], "PNG"), "PA": (with_alpha["PA"], "TIFF")}
    found |= {"CMYK": (rgb.convert("CMYK"), "JPEG"), "RGBX": (rgb.convert("RGBX"), "TIFF")}
    return found | {f"{mode} in TIFF": (image, "TIFF") for mode, (image, _) in found.items()}


@pytest.mark.parametrize("mode", odd_modes())
def test_modes_become_rgb(mode: str) -> None:
    image, kind = odd_modes()[mode]
    found = decode(saved(image, kind, **({"quality": 100} if kind == "JPEG" else {})))
    expected = np.asarray(image.convert("RGBA"))
    assert np.abs(found.rgb_HWC.astype(int) - expected[..., :3]).max() <= (8 if kind == "JPEG" else 0)
    assert (found.alpha_HW is not None) == (mode.split()[0] in ("RGBA", "LA", "PA"))
    if found.alpha_HW is not None:
        assert np.array_equal(found.alpha_HW, expected[..., 3])


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_palette_transparency(transparency: int | bytes) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    found = decode(saved(image, "PNG", transparency=transparency))
    assert found.to_array().tolist() == [[[255, 0, 0, 255], [0, 255, 0, 0]]]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_transparent_level_of_few_bits(depth: int) -> None:
    found = decode(png_of_levels(range(2**depth), depth, transparent=1))
    assert found.rgb_HWC[0, :, 0].tolist() == [level * 255 // (2**depth - 1) for level in range(2**depth)]
    assert found.alpha_HW is not None
    assert np.flatnonzero(found.alpha_HW == 0).tolist() == [1]


def test_transparent_colour() -> None:
    rgb_HWC = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8)
    for dtype, levels in ((np.uint8, (1, 2, 3)), (np.uint16, (1, 2, 3))):
        found = decode(png(rgb_HWC.astype(dtype), 2, (b"tRNS", struct.pack(">3H", *levels))), bits=16)
        assert found.alpha_HW is not None
        assert (found.alpha_HW > 0).tolist() == [[False, True]]


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bit_png(colour_type: int, channels: int) -> None:
    stored = np.random.default_rng(0).integers(0, 65536, (24, 40, channels), dtype=np.uint16)
    stored[0, :4, 0] = (0, 257, 32896, 65535)
    data = png(stored, colour_type)
    colours = stored[..., [0, 0, 0]] if channels < 3 else stored[..., :3]
    found = decode(data, bits=16)
    assert np.array_equal(found.rgb_HWC, colours)
    eight = decode(data)
    assert np.array_equal(eight.rgb_HWC, np.rint(colours / 257).astype(np.uint8))
    assert eight.rgb_HWC[0, :4, 0].tolist() == [0, 1, 128, 255]
    if channels in (2, 4):
        assert found.alpha_HW is not None
        assert eight.alpha_HW is not None
        assert np.array_equal(found.alpha_HW, stored[..., -1])
        assert np.array_equal(eight.alpha_HW, np.rint(stored[..., -1] / 257).astype(np.uint8))
    else:
        assert found.alpha_HW is None


def test_16_bit_grey_with_a_transparent_level() -> None:
    grey_HW = np.array([[0, 256, 257, 65535]], np.uint16)
    alpha_HW = decode(png(grey_HW, 0, (b"tRNS", struct.pack(">H", 257)))).alpha_HW
    assert alpha_HW is not None
    assert alpha_HW.tolist() == [[255, 255, 0, 255]]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw", "predictor": "horizontal"},
        {"compression": "deflate", "tile": True, "tile_width": 16, "tile_height": 16},
        {"compression": "lzw", "bigtiff": True},
        {"compression": "packbits", "tile": True},
    ],
)
def test_tiff(bits: int, options: dict[str, Any]) -> None:
    for channels, interpretation in ((1, "b-w"), (3, "rgb"), (4, "rgb")):
        pixels = smooth(bits, channels)
        kind = {("b-w", 16): "grey16", ("rgb", 16): "rgb16", ("rgb", 8): "srgb"}.get((interpretation, bits), "b-w")
        found = decode(tiff(pixels, kind, **options), bits=16)
        assert found.bits == bits
        assert np.array_equal(found.rgb_HWC, pixels[..., [0, 0, 0]] if channels == 1 else pixels[..., :3])
        assert (found.alpha_HW is not None) == (channels == 4)
        eight = decode(tiff(pixels, kind, **options))
        assert np.array_equal(eight.rgb_HWC, with_bits(found, 8).rgb_HWC)


def test_tiff_of_big_endian_planes() -> None:
    """Colours one after the other, big-endian, 16 bits: written by hand, as few programs do."""
    pixels_HWC = smooth(16)
    planes = [pixels_HWC[..., channel].astype(">u2").tobytes() for channel in range(3)]
    offsets = [200 + sum(map(len, planes[:channel])) for channel in range(3)]
    tags = [(256, 3, 1, 40), (257, 3, 1, 24), (258, 3, 3, 150), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 3, 160)]
    tags += [(277, 3, 1, 3), (278, 3, 1, 24), (279, 4, 3, 172), (284, 3, 1, 2)]
    lines = b""
    for tag, kind, count, value in tags:
        lines += struct.pack(
            ">HHLHH" if (kind, count) == (3, 1) else ">HHLL",
            tag,
            kind,
            count,
            *([value, 0] if (kind, count) == (3, 1) else [value]),
        )
    head = b"MM\0*" + struct.pack(">LH", 8, len(tags)) + lines + bytes(4)
    sizes = struct.pack(">3L", *map(len, planes))
    data = (
        head.ljust(150, b"\0") + struct.pack(">3H", 16, 16, 16).ljust(10, b"\0") + struct.pack(">3L", *offsets) + sizes
    )
    found = decode(data.ljust(200, b"\0") + b"".join(planes), bits=16)
    assert np.array_equal(found.rgb_HWC, pixels_HWC)


def test_tiff_of_premultiplied_colours() -> None:
    """Divided by the opacity again, to 1 / opacity and a rounding."""
    rgba = smooth(16, 4)
    rgba[..., 3] = 30_000
    found = decode(tiff(rgba, "rgb16", premultiply=True), bits=16)
    assert found.alpha_HW is not None
    assert (found.alpha_HW == 30_000).all()
    assert np.abs(found.rgb_HWC.astype(int) - rgba[..., :3]).max() <= 3


def test_tiff_that_is_no_picture() -> None:
    for image, message in (
        (Image.new("F", (3, 3)), "holds float values, expected 8 or 16 bits"),
        (Image.new("I", (3, 3)), "holds int values"),
        (Image.new("LAB", (3, 3)), "holds Lab colours"),
    ):
        with pytest.raises(ImageError, match=message):
            decode(saved(image, "TIFF"), "a.tif")
    with pytest.raises(ImageError, match="has 5 channels"):
        decode(tiff(np.zeros((3, 3, 5), np.uint8), "b-w"))


def ycbcr(compression: str) -> bytes:
    """Red, 200 and 50 and 20, in a TIFF whose colours have as many pixels as its luma."""
    return saved(Image.new("RGB", (16, 16), (200, 50, 20)).convert("YCbCr"), "TIFF", compression=compression)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd"])
def test_tiff_of_luma_and_chroma(compression: str) -> None:
    found = decode(ycbcr(compression), bits=16)
    assert found.rgb_HWC[3, 3].tolist() == pytest.approx([200, 50, 20], abs=2)
    assert (found.alpha_HW, found.notes) == (None, ())


def test_tiff_of_luma_and_chroma_that_cannot_be_read(tmp_path: Path) -> None:
    """Pillow reads none without compression, and libvips takes it for RGB."""
    with pytest.raises(ImageError, match=r"a\.tif: holds YCbCr colours, expected grey, RGB or CMYK; convert it"):
        decode(ycbcr("raw"), "a.tif")
    for compression in ("raw", "tiff_lzw"):
        with pytest.raises(ImageError, match=r"a\.tif: too large .* its YCbCr colours cannot be read row by row"):
            RowReader(ycbcr(compression), "a.tif", tmp_path)
    with RowReader(ycbcr("jpeg"), "a.tif", tmp_path) as reader:
        assert next(reader.bands()).rgb_HWC[3, 3].tolist() == pytest.approx([200, 50, 20], abs=2)


@pytest.mark.parametrize("bits", [10, 12, 24])
def test_tiff_of_odd_bits_is_not_called_damaged(tmp_path: Path, bits: int) -> None:
    data = bytearray(saved(Image.new("L", (8, 8)), "TIFF"))
    (entry,) = [one for one in Tiff(data).entries(Tiff(data).first)[0] if one.tag == 258]
    data[entry.where : entry.where + 2] = bits.to_bytes(2, "little")
    message = rf"a\.tif: holds {bits} bits a channel, expected 8 or 16; convert it"
    with pytest.raises(ImageError, match=message):
        decode(bytes(data), "a.tif")
    with pytest.raises(ImageError, match=message):
        RowReader(bytes(data), "a.tif", tmp_path)


def test_facts_behind_the_pixels() -> None:
    """PNG may have EXIF and XMP at its end."""
    for bits in (8, 16):
        data = encode(with_bits(Picture(smooth()), bits), ".png")  # pyright: ignore[reportArgumentType]
        added = png_chunks((b"eXIf", exif()), (b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP))[8:]
        found = decode(data[:-12] + added + data[-12:])
        assert found.exif == exif()
        assert found.xmp is not None


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_profiles_are_converted(suffix: str) -> None:
    """Adobe RGB's red 200, 60, 60 is sRGB's 230, 58, 58."""
    stored = Picture(np.full((16, 16, 3), (200, 60, 60), np.uint8), icc=icc_profile(ADOBE_RGB, 563 / 256))
    kind = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".avif": "AVIF", ".tif": "TIFF"}[suffix]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {} if kind == "TIFF" else {"quality": 100}
    data = saved(Image.fromarray(stored.rgb_HWC), kind, icc_profile=stored.icc, **options)
    found = decode(data)
    assert found.icc == stored.icc
    assert found.notes == ()
    assert np.abs(found.rgb_HWC.astype(int) - [230, 58, 58]).max() <= (1 if suffix in (".png", ".webp", ".tif") else 4)


def test_profile_of_cmyk_and_of_grey() -> None:
    inks = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    icc = bytes(pyvips.Image.profile_load("cmyk"))
    plain, managed = (decode(saved(inks, "TIFF", **options)) for options in ({}, {"icc_profile": icc}))
    assert plain.rgb_HWC[0, 0].tolist() == [0, 255, 255]
    assert managed.rgb_HWC[0, 0].tolist() == pytest.approx([0, 153, 228], abs=3)
    jpeg = decode(saved(inks, "JPEG", icc_profile=icc, quality=100))
    assert jpeg.rgb_HWC[0, 0].tolist() == pytest.approx([0, 153, 228], abs=4)
    grey = decode(saved(Image.new("L", (16, 16), 128), "PNG", icc_profile=icc_profile(None, 1.8)))
    assert grey.rgb_HWC[0, 0].tolist() == pytest.approx([146] * 3, abs=1)


def test_unusable_profiles_lose_no_picture() -> None:
    for icc in (b"nonsense", P3[:200], icc_profile(None, 1.8), bytes(pyvips.Image.profile_load("cmyk"))):
        found = decode(saved(Image.fromarray(smooth()), "PNG", icc_profile=icc))
        assert np.array_equal(found.rgb_HWC, smooth())
        assert found.icc is None
        assert found.notes == ("its colour profile is unusable and was left out",)


def test_threads() -> None:
    files = list(whole_files().values())
    alone = [decode(data, bits=16).rgb_HWC for data in files]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda data: decode(data, bits=16).rgb_HWC, files * 3))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 3, together, strict=True))


def test_readable() -> None:
    assert {".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif"} < READABLE
    assert {".jfif", ".jpe", ".mpo", ".apng", ".jp2", ".tga", ".ppm", ".pgm", ".pcx", ".qoi", ".ico"} < READABLE
    assert not {".svg", ".pdf", ".eps", ".psd", ".dng"} & READABLE
