import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate import images
from translate.errors import ImageError
from translate.images import Picture, fit_size, flatten, read_picture, relight, resize, write_picture


def png_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def png_16_bit(image: np.ndarray, colour_type: int, *extra: tuple[bytes, bytes]) -> bytes:
    """Encode (H, W) or (H, W, C) uint16, which Pillow cannot write for colours."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 16, colour_type, 0, 0, 0)
    return png_chunks((b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".jpeg", ".JPG"])
def test_round_trip(tmp_path: Path, image_HWC: np.ndarray, suffix: str) -> None:
    smooth_HWC = resize(resize(image_HWC, 3, 5), 24, 40)
    write_picture(tmp_path / f"a{suffix}", Picture(smooth_HWC))
    found = read_picture(tmp_path / f"a{suffix}")
    tolerance = 0 if suffix == ".png" else 12
    assert np.abs(found.rgb_HWC.astype(int) - smooth_HWC).max() <= tolerance
    assert found.alpha_HW is None
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def test_alpha_round_trip(tmp_path: Path, image_HWC: np.ndarray) -> None:
    rgba_HWC = np.dstack([image_HWC, image_HWC[..., 0]])
    for name in ("a.png", "a.webp"):
        write_picture(tmp_path / name, Picture.from_array(rgba_HWC))
        found = read_picture(tmp_path / name)
        assert np.array_equal(found.to_array()[..., 3], rgba_HWC[..., 3])
    assert np.array_equal(read_picture(tmp_path / "a.png").to_array(), rgba_HWC)


def test_jpeg_lays_alpha_on_white(tmp_path: Path) -> None:
    rgba_HWC = np.zeros((16, 16, 4), np.uint8)
    write_picture(tmp_path / "a.jpg", Picture.from_array(rgba_HWC))
    assert read_picture(tmp_path / "a.jpg").rgb_HWC.min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright_HW = np.zeros((16, 32), np.uint8)
    upright_HW[:8, :8] = 255  # one bright corner, top left
    upright_HW[:8, 24:] = 128  # and a grey one, top right
    turns = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda x: np.rot90(x, 1),
        7: lambda x: np.rot90(x, 2).T,
        8: lambda x: np.rot90(x, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turns[orientation](upright_HW))).convert("RGB")
    options = {"lossless": True} if suffix == "webp" else {}
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **options)
    found_HW = read_picture(tmp_path / f"a.{suffix}").rgb_HWC[..., 0]
    assert found_HW.shape == upright_HW.shape
    assert np.abs(found_HW.astype(int) - upright_HW).max() <= 4


def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    grey_HW = np.array([[0, 257, 32896, 65535]], np.uint16)
    (tmp_path / "a.png").write_bytes(png_16_bit(grey_HW, 0))
    assert read_picture(tmp_path / "a.png").rgb_HWC[0, :, 1].tolist() == [0, 1, 128, 255]


def test_16_bit_grey_with_a_transparent_level(tmp_path: Path) -> None:
    grey_HW = np.array([[0, 256, 257, 65535]], np.uint16)
    (tmp_path / "a.png").write_bytes(png_16_bit(grey_HW, 0, (b"tRNS", struct.pack(">H", 257))))
    alpha_HW = read_picture(tmp_path / "a.png").alpha_HW
    assert alpha_HW is not None
    assert alpha_HW.tolist() == [[255, 255, 0, 255]]


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour(tmp_path: Path, colour_type: int, channels: int) -> None:
    image = np.full((2, 3, channels), 65535, np.uint16)
    (tmp_path / "a.png").write_bytes(png_16_bit(image, colour_type))
    found = read_picture(tmp_path / "a.png")
    assert found.to_array().shape == (2, 3, 3 if channels == 3 else 4)
    assert found.to_array().min() == 255


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK"])
def test_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    blocks = Image.new("RGB", (32, 16), "white")
    blocks.paste((0, 0, 0), (0, 0, 16, 16))
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    blocks.convert(mode).save(path)
    found = read_picture(path)
    assert found.rgb_HWC[:, :12].max() <= 4
    assert found.rgb_HWC[:, 20:].min() >= 251
    assert (found.alpha_HW is not None) == (mode == "LA")


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_palette_transparency(tmp_path: Path, transparency: int | bytes) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=transparency)
    found = read_picture(tmp_path / "a.png")
    assert found.to_array().tolist() == [[[255, 0, 0, 255], [0, 255, 0, 0]]]


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    for name in ("a.png", "a.webp"):
        red.save(tmp_path / name, save_all=True, append_images=[blue], lossless=True)
        assert read_picture(tmp_path / name).rgb_HWC[0, 0].tolist() == pytest.approx([255, 0, 0], abs=1)


def test_one_pixel(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", Picture(np.zeros((1, 1, 3), np.uint8)))
    assert read_picture(tmp_path / "a.png").rgb_HWC.shape == (1, 1, 3)


def truncated_jpeg(path: Path) -> None:
    Image.effect_noise((64, 64), 90).convert("RGB").save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-900])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated_jpeg, "truncated"),
        (lambda path: path.write_text("hello"), "not a PNG, JPEG or WebP"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: None, "cannot be read"),
        (lambda path: Image.new("RGB", (9, 9)).save(path, "GIF"), "not a PNG, JPEG or WebP"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)), "damaged"),
        (lambda path: path.write_bytes(b"RIFF\0\0\0\0WEBP" + bytes(99)), "damaged"),
        (lambda path: path.write_bytes(b"\xff\xd8\xff" + bytes(99)), "damaged"),
    ],
)
def test_unreadable(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "photo.png"
    make(path)
    with pytest.raises(ImageError, match=message) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_metadata_is_ignored_without_a_warning(tmp_path: Path) -> None:
    # One IFD entry that claims 1000 bytes at an offset beyond the end: Pillow warns about it.
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\xe8\x03\0\0\xff\0\0\0\0\0\0\0"
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").rgb_HWC.shape == (8, 8, 3)
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    broken_animation = (b"acTL", bytes(8))
    data = png_chunks((b"IHDR", header), broken_animation, (b"IDAT", zlib.compress(b"\0\7")), (b"IEND", b""))
    (tmp_path / "a.png").write_bytes(data)
    assert read_picture(tmp_path / "a.png").rgb_HWC.tolist() == [[[7, 7, 7]]]


def test_max_pixels(tmp_path: Path, image_HWC: np.ndarray) -> None:
    write_picture(tmp_path / "a.png", Picture(image_HWC))
    assert read_picture(tmp_path / "a.png", max_pixels=960).width == 40
    with pytest.raises(ImageError, match="40 x 24 pixels is too large"):
        read_picture(tmp_path / "a.png", max_pixels=959)


@pytest.mark.parametrize("side", [10_000, 14_000])
def test_our_limit_replaces_pillows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    """Pillow warns above 89 megapixels and refuses above 179; here only our own limit speaks."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(png_chunks((b"IHDR", header), (b"IDAT", b""), (b"IEND", b"")))
    monkeypatch.setattr(images, "available_memory_bytes", lambda: 12 * 10**6)
    with pytest.raises(ImageError, match=r"at most 1\.0 megapixels"):
        read_picture(tmp_path / "a.png")
    with pytest.raises(ImageError, match="damaged"):
        read_picture(tmp_path / "a.png", max_pixels=side * side)


def test_write_errors(tmp_path: Path, image_HWC: np.ndarray) -> None:
    (tmp_path / "file").write_text("")
    for path, message in [
        (tmp_path / "a.gif", r"cannot write \.gif"),
        (tmp_path / "file" / "a.png", "cannot be written"),
        (tmp_path / "missing" / "a.png", "cannot be written"),
    ]:
        with pytest.raises(ImageError, match=message):
            write_picture(path, Picture(image_HWC))
    for name in ("a.jpg", "a.webp"):
        with pytest.raises(ImageError, match=re.escape(name)):
            write_picture(tmp_path / name, Picture(np.zeros((1, 70_000, 3), np.uint8)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_from_array(image_HWC: np.ndarray) -> None:
    assert np.array_equal(Picture.from_array(image_HWC[..., 0]).rgb_HWC[..., 2], image_HWC[..., 0])
    assert Picture.from_array(image_HWC).to_array() is image_HWC
    for bad in (image_HWC.astype(np.float32), image_HWC[..., :2], image_HWC[None]):
        with pytest.raises(ImageError, match="picture array has"):
            Picture.from_array(bad)


def test_flatten_blends_and_keeps_opaque_pixels() -> None:
    rgba_HWC = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    assert flatten(Picture.from_array(rgba_HWC)).tolist() == [[[10, 20, 30], [255, 255, 255], [127, 127, 127]]]


@pytest.mark.parametrize(
    ("size", "longer", "expected"),
    [((100, 200), 50, (25, 50)), ((10, 10), 64, (64, 64)), ((1, 5000), 256, (1, 256)), ((3, 2), 3, (3, 2))],
)
def test_fit_size(size: tuple[int, int], longer: int, expected: tuple[int, int]) -> None:
    assert fit_size(*size, longer) == expected


def test_resize_keeps_constants_and_size(image_HWC: np.ndarray) -> None:
    assert resize(image_HWC, 24, 40) is image_HWC
    flat_HW = np.full((30, 20), 77, np.uint8)
    assert np.array_equal(resize(flat_HW, 7, 41), np.full((7, 41), 77))


def test_memory_is_known() -> None:
    assert images.available_memory_bytes() > 50 << 20


def test_relight_of_nothing_changed_is_the_picture() -> None:
    picture_HWC = np.random.default_rng(0).integers(0, 256, (600, 50, 3), dtype=np.uint8)  # more than one band
    small_HWC = resize(picture_HWC, 60, 5)
    np.testing.assert_array_equal(relight(picture_HWC, small_HWC, small_HWC), picture_HWC)


def test_relight_keeps_fine_detail_as_strong_as_the_place_is_bright() -> None:
    stripes_HWC = np.full((64, 64, 3), 100, np.uint8)
    stripes_HWC[:, ::2] += 40  # 120 on average, 20 either way
    before_HWC, after_HWC = (np.full((8, 8, 3), level, np.uint8) for level in (120, 56))
    # (56 + 8) / (120 + 8) is a half.
    dark_HWC = relight(stripes_HWC, before_HWC, after_HWC)
    assert np.unique(dark_HWC[:, ::2]).tolist() == [66]
    assert np.unique(dark_HWC[:, 1::2]).tolist() == [46]
    bright_HWC = relight(stripes_HWC, before_HWC * 0, after_HWC)
    assert np.unique(bright_HWC).tolist() == [255]
