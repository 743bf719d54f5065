"""Pictures as arrays: sizes, bits, opacity, light. Files are in test_codecs and test_encoding."""

import numpy as np
import pytest

from translate.errors import ImageError
from translate.machine import available_memory_bytes
from translate.pictures.operations import (
    Picture,
    bicubic,
    covered,
    fit_size,
    flatten,
    relight,
    resize,
    resize_picture,
    to_bits,
    with_bits,
)

BITS = [8, 16]


def dtype_of(bits: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if bits == 8 else np.uint16


def noise(shape: tuple[int, ...], bits: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**bits, shape, dtype=dtype_of(bits))


@pytest.mark.parametrize("bits", BITS)
def test_from_array(bits: int) -> None:
    image_HWC = noise((24, 40, 3), bits)
    assert np.array_equal(Picture.from_array(image_HWC[..., 0]).rgb_HWC[..., 2], image_HWC[..., 0])
    picture = Picture.from_array(image_HWC)
    assert picture.to_array() is image_HWC
    assert (picture.height, picture.width, picture.bits) == (24, 40, bits)
    rgba_HWC = noise((24, 40, 4), bits)
    assert np.array_equal(Picture.from_array(rgba_HWC).to_array(), rgba_HWC)
    for bad in (image_HWC.astype(np.float32), image_HWC.astype(np.int16), image_HWC[..., :2], image_HWC[None]):
        with pytest.raises(ImageError, match="picture array has"):
            Picture.from_array(bad)


def test_bits_are_rounded_to_nearest_and_come_back() -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(to_bits(levels, 8), np.rint(levels / 257).astype(np.uint8))
    eight = np.arange(256, dtype=np.uint8)[None]
    assert np.array_equal(to_bits(to_bits(eight, 16), 8), eight)
    assert to_bits(eight, 16)[0, [0, 128, 255]].tolist() == [0, 32896, 65535]
    picture = with_bits(Picture(np.full((2, 3, 3), 300, np.uint16), np.full((2, 3), 65535, np.uint16), exif=b"e"), 8)
    assert picture.to_array()[0, 0].tolist() == [1, 1, 1, 255]
    assert picture.exif == b"e"


def test_flatten_blends_and_keeps_opaque_pixels() -> None:
    rgba_HWC = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    expected = np.array([[[10, 20, 30], [255, 255, 255], [127, 127, 127]]])
    assert np.array_equal(flatten(Picture.from_array(rgba_HWC)), expected)
    deep_HWC = flatten(Picture.from_array(to_bits(rgba_HWC, 16)))
    assert deep_HWC.dtype == np.uint16
    assert np.array_equal(deep_HWC, expected * 257)
    assert flatten(Picture.from_array(to_bits(rgba_HWC, 16)), 128)[0, 1].tolist() == [128 * 257] * 3


@pytest.mark.parametrize(
    ("size", "longer", "expected"),
    [((100, 200), 50, (25, 50)), ((10, 10), 64, (64, 64)), ((1, 5000), 256, (1, 256)), ((3, 2), 3, (3, 2))],
)
def test_fit_size(size: tuple[int, int], longer: int, expected: tuple[int, int]) -> None:
    assert fit_size(*size, longer) == expected


@pytest.mark.parametrize("bits", BITS)
def test_resize_keeps_constants_and_size(bits: int) -> None:
    image_HWC = noise((24, 40, 3), bits)
    assert resize(image_HWC, 24, 40) is image_HWC
    flat_HW = np.full((30, 20), 77 if bits == 8 else 30_077, dtype_of(bits))
    assert np.array_equal(resize(flat_HW, 7, 41), np.full((7, 41), flat_HW[0, 0]))


def test_resize_of_16_bits_agrees_with_8() -> None:
    small_HWC = noise((11, 9, 3), 8) // 3 + 80
    for height, width in ((50, 60), (5, 4)):
        deep_HWC = resize(to_bits(small_HWC, 16), height, width)
        assert deep_HWC.dtype == np.uint16
        # Pillow rounds 8 bits after each of its two passes.
        assert np.abs(deep_HWC / 257 - resize(small_HWC, height, width)).max() <= 1.5
        assert np.array_equal(resize(to_bits(small_HWC[..., 1], 16), height, width), deep_HWC[..., 1])


def test_resize_clips_what_goes_beyond_white() -> None:
    step_HW = np.repeat(np.array([[0, 65535]], np.uint16), 8, axis=1).repeat(4, axis=0)
    wide_HW = resize(step_HW, 4, 64).astype(int)
    assert (wide_HW[:, :28] < 6000).all()
    assert (wide_HW[:, 36:] > 59535).all()
    assert {0, 65535} <= set(wide_HW.flat)


@pytest.mark.parametrize("bits", BITS)
def test_transparent_colours_do_not_bleed(bits: int) -> None:
    """A red disc on transparent green stays red up to its edge, to one level; opacity is what resizing it gives."""
    white = 2**bits - 1
    rows, columns = np.mgrid[:48, :48]
    inside_HW = (rows - 24) ** 2 + (columns - 24) ** 2 < 300
    rgb_HWC = np.where(inside_HW[..., None], [white, 0, 0], [0, white, 0]).astype(dtype_of(bits))
    picture = Picture(rgb_HWC, np.where(inside_HW, white, 0).astype(dtype_of(bits)), xmp=b"x")
    for height, width in ((20, 25), (100, 96)):
        found = resize_picture(picture, height, width)
        assert found.alpha_HW is not None
        assert found.xmp == b"x"
        seen_HW = found.alpha_HW > 0
        assert np.abs(found.rgb_HWC[seen_HW].astype(int) - [white, 0, 0]).max() <= 1
        assert (found.rgb_HWC[~seen_HW] == 0).all()
        # The plain way makes the edge brown or green.
        assert np.abs(resize(rgb_HWC, height, width)[seen_HW].astype(int) - [white, 0, 0]).max() > white // 3
        alone_HW = resize(to_bits(np.where(inside_HW, 255, 0).astype(np.uint8), 16), height, width)
        assert np.abs(found.alpha_HW / (white // 255) - alone_HW / 257).max() <= 1
    assert resize_picture(picture, 48, 48) is picture


def test_bicubic_by_hand() -> None:
    step_HWC = np.repeat(np.array([[0, 0, 0, 200, 200, 200]], np.uint8), 4, axis=0)[..., None].repeat(3, axis=2)
    wide_HWC = bicubic(step_HWC, 4, 12)
    # A quarter and three quarters of the way from 0 to 200: weights 0.227 - 0.023 and 0.867 - 0.070.
    assert wide_HWC[2, 5:7, 1].tolist() == [41, 159]
    assert wide_HWC.shape == (4, 12, 3)


@pytest.mark.parametrize("bits", BITS)
def test_resize_picture_by_hand(bits: int) -> None:
    """Two pixels to one: the mean weighted by opacity. 255 of 200 and 85 of 100: (255*200 + 85*100) / 340 = 175."""
    unit = 1 if bits == 8 else 257
    rgb_HWC = np.array([[[200] * 3, [100] * 3]], dtype_of(bits)) * dtype_of(bits)(unit)
    alpha_HW = np.array([[255, 85]], dtype_of(bits)) * dtype_of(bits)(unit)
    found = resize_picture(Picture(rgb_HWC, alpha_HW), 1, 1)
    assert found.alpha_HW is not None
    assert found.to_array()[0, 0].tolist() == [175 * unit] * 3 + [170 * unit]
    opaque = resize_picture(Picture(rgb_HWC), 1, 1)
    assert opaque.alpha_HW is None
    assert opaque.rgb_HWC[0, 0].tolist() == [150 * unit] * 3


@pytest.mark.parametrize("bits", [8, 16])
def test_what_transparency_hides_is_replaced_by_what_is_around(bits: int) -> None:
    white = 2**bits - 1
    rgb_HWC = np.zeros((33, 50, 3), f"uint{bits}")
    rgb_HWC[...] = (0, white, 0)  # hidden
    alpha_HW = np.zeros((33, 50), rgb_HWC.dtype)
    rgb_HWC[5:20, 5:20], alpha_HW[5:20, 5:20] = (white, 0, 0), white
    rgb_HWC[20, 5:20], alpha_HW[20, 5:20] = (white, 0, 0), white // 3
    found_HWC = covered(Picture(rgb_HWC, alpha_HW))
    seen = alpha_HW > 0
    assert np.array_equal(found_HWC[seen], rgb_HWC[seen])
    # All around is the only colour there is, within what Lanczos rounds.
    assert np.abs(found_HWC.astype(int) - (white, 0, 0)).max() <= 0.02 * white
    opaque = Picture(rgb_HWC, np.full_like(alpha_HW, white))
    for picture in (Picture(rgb_HWC), opaque, Picture(rgb_HWC[:1, :1], alpha_HW[:1, :1])):
        assert np.array_equal(covered(picture), picture.rgb_HWC)


def test_memory_is_known() -> None:
    assert available_memory_bytes() > 50 << 20


@pytest.mark.parametrize("bits", BITS)
def test_relight_of_nothing_changed_is_the_picture(bits: int) -> None:
    picture_HWC = noise((600, 50, 3), bits)  # more than one band
    small_HWC = resize(picture_HWC, 60, 5)
    np.testing.assert_array_equal(relight(picture_HWC, small_HWC, small_HWC), picture_HWC)


@pytest.mark.parametrize(("bits", "small_bits"), [(8, 8), (16, 8), (16, 16)])
def test_relight_keeps_fine_detail_as_strong_as_the_place_is_bright(bits: int, small_bits: int) -> None:
    unit = 1 if bits == 8 else 257
    stripes_HWC = np.full((64, 64, 3), 100 * unit, dtype_of(bits))
    stripes_HWC[:, ::2] += 40 * unit  # 120 on average, 20 either way
    small_unit = 1 if small_bits == 8 else 257
    before_HWC, after_HWC = (np.full((8, 8, 3), level * small_unit, dtype_of(small_bits)) for level in (120, 56))
    # (56 + 8) / (120 + 8) is a half.
    dark_HWC = relight(stripes_HWC, before_HWC, after_HWC)
    assert np.unique(dark_HWC[:, ::2]).tolist() == [66 * unit]
    assert np.unique(dark_HWC[:, 1::2]).tolist() == [46 * unit]
    bright_HWC = relight(stripes_HWC, before_HWC * 0, after_HWC)
    assert np.unique(bright_HWC).tolist() == [255 * unit]
