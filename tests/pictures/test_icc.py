import numpy as np
import pytest
from made_files import ADOBE_RGB, DISPLAY_P3, SRGB, icc_profile

from translate.pictures.icc import cmyk_to_rgb, from_srgb, srgb_profile, to_srgb

P3, ADOBE = icc_profile(DISPLAY_P3, None), icc_profile(ADOBE_RGB, 563 / 256)
GREY = icc_profile(None, 1.8)


def cmyk_profile() -> bytes:
    import pyvips

    return bytes(pyvips.Image.profile_load("cmyk"))


def expected(levels: np.ndarray, columns: np.ndarray, gamma: float | None) -> np.ndarray:
    """sRGB in [0, 1] of colours in [0, 1], by the definitions of the colour spaces."""
    curve = (
        np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        if gamma is None
        else levels**gamma
    )
    light = np.clip(curve @ columns.T @ np.linalg.inv(SRGB).T, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.fixture
def colours_HWC() -> np.ndarray:  # noqa: N802
    """uint16 (300, 40, 3), more than one band of rows."""
    return np.random.default_rng(0).integers(0, 65536, (300, 40, 3), dtype=np.uint16)


@pytest.mark.parametrize(("icc", "columns", "gamma"), [(P3, DISPLAY_P3, None), (ADOBE, ADOBE_RGB, 563 / 256)])
def test_matrix_profiles(colours_HWC: np.ndarray, icc: bytes, columns: np.ndarray, gamma: float | None) -> None:
    deep = to_srgb(colours_HWC, icc)
    assert deep is not None
    error = np.abs(deep / 65535 - expected(colours_HWC / 65535, columns, gamma))
    assert error.max() < 3 / 255  # in the darkest colours
    assert error.mean() < 0.1 / 255
    flat_HWC = (colours_HWC >> 8).astype(np.uint8)
    found = to_srgb(flat_HWC, icc)
    assert found is not None
    assert found.dtype == np.uint8
    # Half a level by rounding and half by LittleCMS.
    assert np.abs(found / 255 - expected(flat_HWC / 255, columns, gamma)).max() <= 1 / 255


def test_known_colours() -> None:
    """Display P3's green lies outside sRGB; its grey is the same; a dull red by hand."""
    colours_HWC = np.array([[[0, 255, 0], [119, 119, 119], [150, 100, 90]]], np.uint8)
    found = to_srgb(colours_HWC, P3)
    assert found is not None
    # Red 150/255 is light 0.3050, green 0.1274, blue 0.1022; the matrix makes 0.3450, 0.1199, 0.0962 of it.
    np.testing.assert_allclose(found, [[[0, 255, 0], [119, 119, 119], [158, 97, 88]]], atol=1)


@pytest.mark.parametrize("icc", [P3, ADOBE])
def test_back_again(colours_HWC: np.ndarray, icc: bytes) -> None:
    """Colours inside both spaces come back: to 4 levels of 255 in the darkest of 16 bits, to 3 of 8 bits."""
    there = to_srgb(colours_HWC, icc)
    assert there is not None
    back = from_srgb(there, icc)
    assert back is not None
    inside = ((there > 0) & (there < 65535)).all(axis=2)
    assert inside.mean() > 0.4
    assert np.abs(back.astype(int) - colours_HWC)[inside].max() < 4 * 257
    flat_HWC = (colours_HWC >> 8).astype(np.uint8) // 2 + 64
    there = to_srgb(flat_HWC, icc)
    assert there is not None
    back = from_srgb(there, icc)
    assert back is not None
    inside = ((there > 0) & (there < 255)).all(axis=2)
    assert np.abs(back.astype(int) - flat_HWC)[inside].max() <= 3


@pytest.mark.parametrize("icc", [icc_profile(SRGB, None), srgb_profile()])
def test_srgb_is_left_as_it_is(colours_HWC: np.ndarray, icc: bytes) -> None:
    assert to_srgb(colours_HWC, icc) is colours_HWC
    assert from_srgb(colours_HWC, icc) is colours_HWC


def test_our_profile_has_no_clock_in_it() -> None:
    made = srgb_profile()
    srgb_profile.cache_clear()
    assert srgb_profile() == made


def test_grey_profile() -> None:
    """Gamma 1.8: level 128 of 255 is light 0.2890, which sRGB writes as 146."""
    grey_HW1 = np.array([[[0], [128], [255]]], np.uint8)
    found = to_srgb(grey_HW1, GREY)
    assert found is not None
    np.testing.assert_allclose(found, [[[0] * 3, [146] * 3, [255] * 3]], atol=1)
    deep = to_srgb(grey_HW1.astype(np.uint16) * 257, GREY)
    assert deep is not None
    np.testing.assert_allclose(deep / 257, [[[0] * 3, [146.4] * 3, [255] * 3]], atol=0.2)
    assert from_srgb(found, GREY) is None


def test_grey_pixels_with_an_rgb_profile() -> None:
    found = to_srgb(np.full((2, 3, 1), 119, np.uint8), P3)
    assert found is not None
    np.testing.assert_allclose(found, np.full((2, 3, 3), 119), atol=1)


def test_cmyk_profile() -> None:
    """Paper is white, full ink black, and cyan, magenta, yellow are what they are called; 16 bits agree."""
    icc = cmyk_profile()
    inks_HW4 = np.array(
        [[[0, 0, 0, 0], [200, 200, 200, 255], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0]]], np.uint8
    )
    found = to_srgb(inks_HW4, icc)
    assert found is not None
    assert found[0, 0].min() >= 250
    assert found[0, 1].max() <= 10
    assert found[0, [2, 3, 4]].argmin(axis=1).tolist() == [0, 1, 2]
    deep = to_srgb(inks_HW4.astype(np.uint16) * 257, icc)
    assert deep is not None
    np.testing.assert_allclose(deep / 257, found, atol=6)
    assert from_srgb(found, icc) is None


@pytest.mark.parametrize(
    "icc", [b"", b"nonsense", P3[:150], P3[:-40], cmyk_profile(), GREY, P3.replace(b"RGB ", b"Lab ")]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_unusable_profiles(icc: bytes, dtype: type) -> None:
    assert to_srgb(np.zeros((2, 2, 3), dtype), icc) is None


def test_no_bit_makes_it_fail() -> None:
    dice = np.random.default_rng(0)
    for icc in (P3, GREY):
        pixels_HWN = np.full((2, 3, 1 if icc is GREY else 3), 300, np.uint16)
        for _ in range(50):
            damaged = bytearray(icc)
            damaged[dice.integers(len(icc))] ^= 1 << dice.integers(8)
            for found in (to_srgb(pixels_HWN, bytes(damaged)), to_srgb(pixels_HWN.astype(np.uint8), bytes(damaged))):
                assert found is None or found.shape == (2, 3, 3)


def test_cmyk_without_a_profile() -> None:
    inks_HW4 = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [51, 0, 0, 51], [0, 0, 0, 255]]], np.uint8)
    assert cmyk_to_rgb(inks_HW4).tolist() == [[[255] * 3, [0, 255, 255], [163, 204, 204], [0] * 3]]
    deep = cmyk_to_rgb(inks_HW4.astype(np.uint16) * 257)
    assert deep[0, 2].tolist() == [41942, 52428, 52428]
