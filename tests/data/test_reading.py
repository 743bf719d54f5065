"""Files of every kind become arrays of the wanted channels and bits, and damaged ones one line.

Shape suffixes: H height, W width, C channels.
"""

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_files import DISPLAY_P3, icc_profile
from PIL import Image

from translate.data import reading
from translate.data.reading import PixelFormat, parse_channels, read_pixels
from translate.errors import ConfigError, ImageError
from translate.pictures import by_libvips, found, libvips
from translate.pictures.decode import read_picture
from translate.pictures.picture import flatten

HEIGHT, WIDTH = 20, 30


def noise(channels: int, bits: int, seed: int = 0) -> np.ndarray:
    """(HEIGHT, WIDTH, channels) over the whole range."""
    random = np.random.default_rng(seed)
    return random.integers(0, 2**bits, (HEIGHT, WIDTH, channels), np.uint8 if bits == 8 else np.uint16)


def save(path: Path, image_HWC: np.ndarray) -> Path:
    """Write .npy, or RGB(A) or grey by OpenCV, whose order of colours is the other."""
    if path.suffix == ".npy":
        np.save(path, image_HWC)
    else:
        order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[image_HWC.shape[2]]
        assert cv2.imwrite(str(path), np.ascontiguousarray(image_HWC[..., order]))
    return path


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [
        ("3", (3, 8), (3, 8)),
        ("1:3", (1, 8), (3, 8)),
        ("1x16:3", (1, 16), (3, 8)),
        ("3:1x16", (3, 8), (1, 16)),
        ("8x16", (8, 16), (8, 16)),
        ("64x8:1", (64, 8), (1, 8)),
    ],
)
def test_channels_are_parsed(text: str, source: tuple, target: tuple) -> None:
    assert parse_channels(text) == (PixelFormat(*source), PixelFormat(*target))


@pytest.mark.parametrize("text", ["", "rgb", "3:", ":3", "3x12", "1:2:3", "-1", "3 ", "0", "65", "1:0", "1000"])
def test_other_channels_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--channels is ") as caught:
        parse_channels(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_was_written_is_read(tmp_path: Path, suffix: str, bits: int, channels: int) -> None:
    image_HWC = noise(channels, bits)
    found_HWC = read_pixels(save(tmp_path / f"a{suffix}", image_HWC), PixelFormat(channels, bits))
    assert found_HWC.dtype == image_HWC.dtype
    assert found_HWC.flags.c_contiguous
    assert np.array_equal(found_HWC, image_HWC)


@pytest.mark.parametrize("channels", [2, 5, 64])
def test_arrays_hold_any_number_of_channels(tmp_path: Path, channels: int) -> None:
    image_HWC = noise(channels, 16)
    for array in (image_HWC, np.asfortranarray(image_HWC), image_HWC.astype(">u2")):
        found_HWC = read_pixels(save(tmp_path / "a.npy", array), PixelFormat(channels, 16))
        assert found_HWC.dtype == np.uint16
        assert np.array_equal(found_HWC, image_HWC)
    flat = save(tmp_path / "flat.npy", image_HWC[..., 0])
    assert np.array_equal(read_pixels(flat, PixelFormat(1, 16)), image_HWC[..., :1])


def with_profile(path: Path, image_HWC: np.ndarray, orientation: int = 1) -> Path:
    """Write a picture in Display P3, as telephones have it, by libvips."""
    image = libvips.from_array(image_HWC, "srgb" if image_HWC.dtype == np.uint8 else "rgb16")
    image = libvips.with_profile(image, icc_profile(DISPLAY_P3, None))
    image.set_type(image.get_typeof("width"), "orientation", orientation)
    image.write_to_file(str(path))
    return path


@pytest.mark.parametrize(
    ("name", "bits", "orientation"),
    [("a.tif", 8, 1), ("a.tif", 16, 1), ("a.png", 16, 1), ("a.png", 8, 1), ("a.jpg", 8, 1), ("a.tif", 8, 6)],
)
def test_training_and_conversion_read_the_same_pixels(tmp_path: Path, name: str, bits: int, orientation: int) -> None:
    image_HWC = noise(3, bits)
    path = with_profile(tmp_path / name, image_HWC, orientation)
    found_HWC = read_pixels(path, PixelFormat(3, bits))
    assert np.array_equal(found_HWC, read_picture(path, bits=bits).rgb_HWC)
    assert found_HWC.shape == ((HEIGHT, WIDTH, 3) if orientation == 1 else (WIDTH, HEIGHT, 3))
    if orientation == 1:  # other numbers than in the file: the profile counts
        assert np.abs(found_HWC.astype(float) - image_HWC).max() > 20 * 2 ** (bits - 8)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_alpha_is_laid_on_white(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise(4, 8)).save(path)
    assert np.array_equal(read_pixels(path, PixelFormat()), flatten(read_picture(path)))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_bits_are_converted(tmp_path: Path, suffix: str) -> None:
    image_HWC = noise(3, 8)
    wide_HWC = read_pixels(save(tmp_path / f"a{suffix}", image_HWC), PixelFormat(3, 16))
    assert wide_HWC.dtype == np.uint16
    assert np.array_equal(wide_HWC, image_HWC.astype(np.uint16) * 257)
    levels = np.array([0, 128, 129, 257, 65406, 65407, 65535], np.uint16)
    deep = save(tmp_path / f"b{suffix}", np.repeat(levels[None, :, None], 3, axis=2))
    assert read_pixels(deep, PixelFormat())[0, :, 0].tolist() == [0, 0, 1, 1, 254, 255, 255]
    grey_HWC = noise(1, 16)
    narrow_HWC = read_pixels(save(tmp_path / f"c{suffix}", grey_HWC), PixelFormat(1, 8))
    assert np.abs(narrow_HWC.astype(float) - grey_HWC / 257).max() <= 0.5


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_is_bt_601_and_back(tmp_path: Path, bits: int) -> None:
    image_HWC = noise(3, bits)
    grey_HW1 = read_pixels(save(tmp_path / "a.png", image_HWC), PixelFormat(1, bits))
    assert grey_HW1.shape == (HEIGHT, WIDTH, 1)
    assert np.abs(grey_HW1[..., 0] - image_HWC @ [0.299, 0.587, 0.114]).max() < 2 ** (bits - 8) + 0.5
    save(tmp_path / "b.png", grey_HW1)
    again_HW3 = read_pixels(tmp_path / "b.png", PixelFormat(3, bits))
    assert np.array_equal(again_HW3, np.repeat(grey_HW1, 3, axis=2))
    save(tmp_path / "c.png", again_HW3)
    assert np.array_equal(read_pixels(tmp_path / "c.png", PixelFormat(1, bits)), grey_HW1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 16])
def test_alpha_is_laid_on_white_unless_wanted(tmp_path: Path, suffix: str, bits: int) -> None:
    white = 2**bits - 1
    image_HWC = noise(4, bits)
    image_HWC[0, :3, :3], image_HWC[0, :3, 3] = 0, [0, white, white // 2]
    path = save(tmp_path / f"a{suffix}", image_HWC)
    found_HWC = read_pixels(path, PixelFormat(3, bits))
    assert found_HWC[0, :3, 0].tolist() == [white, 0, white // 2 + 1]
    alpha = image_HWC[..., 3:] / white
    assert np.abs(found_HWC - (image_HWC[..., :3] * alpha + white * (1 - alpha))).max() <= 0.5
    assert read_pixels(path, PixelFormat(1, bits))[0, :3, 0].tolist() == [white, 0, white // 2 + 1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_png_of_16_bits_is_turned_upright_like_others(tmp_path: Path, orientation: int) -> None:
    grey_HW = noise(1, 16)[..., 0]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(grey_HW).save(tmp_path / "a.png", exif=exif)
    deep_HW1 = read_pixels(tmp_path / "a.png", PixelFormat(1, 16))
    flat_HW1 = read_pixels(tmp_path / "a.png", PixelFormat(1, 8))
    assert np.array_equal(((deep_HW1.astype(int) + 128) // 257), flat_HW1)


@pytest.mark.parametrize(
    ("name", "channels", "wanted", "message"),
    [
        ("a.png", 3, 4, "a.png: found 3 channels, expected 4; give --channels 3 or convert"),
        ("a.png", 3, 8, "a.png: found 3 channels, expected 8"),
        ("a.npy", 5, 3, "a.npy: found 5 channels, expected 3; give --channels 5"),
        ("a.npy", 4, 3, "a.npy: found 4 channels, expected 3"),
        ("a.tif", 1, 2, "a.tif: found 3 channels, expected 2"),
    ],
)
def test_other_numbers_of_channels_are_refused(
    tmp_path: Path, name: str, channels: int, wanted: int, message: str
) -> None:
    path = save(tmp_path / name, noise(channels, 8))
    with pytest.raises(ImageError, match=message):
        read_pixels(path, PixelFormat(wanted))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def broken_files(folder: Path) -> dict[str, str]:
    """Write files nobody can read; name -> what is said."""
    png, tif, npy = (save(folder / f"good{suffix}", noise(3, 16)).read_bytes() for suffix in (".png", ".tif", ".npy"))
    middle = len(png) // 2
    header = png[:33]
    contents = {
        "cut.png": (png[:middle], "damaged"),
        "flipped.png": (png[:middle] + bytes([png[middle] ^ 255]) + png[middle + 1 :], "damaged"),
        "head.png": (png[:30], "damaged"),
        "junk.png": (header + png_chunk(b"IDAT", b"no zlib at all") + png_chunk(b"IEND", b""), "damaged"),
        "short.png": (header + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b""), "damaged"),
        "cut.tif": (tif[: len(tif) // 2], "damaged"),
        "flipped.tif": (tif[:4] + bytes([tif[4] ^ 255]) + tif[5:], "damaged"),
        "cut.npy": (npy[:200], "damaged .npy file"),
        "header.npy": (npy[:12] + b"{{{{" + npy[16:], "damaged .npy file"),
        "text.tif": (b"I am no picture", "not a PNG, JPEG, WebP"),
        "empty.npy": (b"", "an empty file"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    np.save(folder / "objects.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.save(folder / "floats.npy", np.zeros((4, 4, 3), np.float32))
    np.save(folder / "flat.npy", np.zeros(9, np.uint8))
    cv2.imwrite(str(folder / "floats.tif"), np.zeros((4, 4, 3), np.float32))
    return {name: message for name, (_, message) in contents.items()} | {
        "objects.npy": "damaged .npy file",
        "floats.npy": r"array of float32 \(4, 4, 3\), expected uint8 or uint16",
        "flat.npy": r"array of uint8 \(9,\), expected",
        "floats.tif": "holds float values, expected 8 or 16 bits",
        "gone.png": "cannot be read",
    }


def test_broken_files_are_one_line_and_nothing_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, message in broken_files(tmp_path).items():
        with pytest.raises(ImageError, match=message) as caught:
            read_pixels(tmp_path / name, PixelFormat(3, 16))
        assert str(caught.value).startswith(str(tmp_path / name)), name
        assert "\n" not in str(caught.value)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_a_strange_colour_profile_is_nothing_to_talk_about(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image_HWC = noise(3, 16)
    png = save(tmp_path / "a.png", image_HWC).read_bytes()
    profile = png_chunk(b"iCCP", b"bad\0\0" + zlib.compress(b"no profile"))
    (tmp_path / "a.png").write_bytes(png[:33] + profile + png[33:])
    assert np.array_equal(read_pixels(tmp_path / "a.png", PixelFormat(3, 16)), image_HWC)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


@pytest.mark.parametrize("name", ["a.png", "a.npy"])
def test_what_does_not_fit_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = save(tmp_path / name, noise(3, 16))
    for module in (found, by_libvips, reading):
        monkeypatch.setattr(module, "available_memory_bytes", lambda: 1000)
    with pytest.raises(ImageError, match=r"too large|does not fit in memory"):
        read_pixels(path, PixelFormat(3, 16))
