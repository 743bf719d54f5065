"""The quick resizing against Pillow's."""

import numpy as np
import pytest
from PIL import Image

from translate.pictures.lanczos import Resized, shrink
from translate.pictures.operations import resize

SIZES = [((40, 61), (17, 23)), ((17, 23), (40, 61)), ((30, 30), (90, 7)), ((1, 1), (5, 3)), ((300, 500), (2, 1))]


def picture(size: tuple[int, int], dtype: type[np.uint8] | type[np.uint16]) -> np.ndarray:
    """Noise and hard edges, where Pillow's first half is clipped."""
    found_HWC = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (*size, 3), dtype=dtype)
    found_HWC[: size[0] // 2] = np.where(found_HWC[: size[0] // 2] > np.iinfo(dtype).max // 2, np.iinfo(dtype).max, 0)
    return found_HWC


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("size", "other"), SIZES)
def test_values_are_those_of_pillow(
    size: tuple[int, int], other: tuple[int, int], dtype: type[np.uint8] | type[np.uint16]
) -> None:
    image_HWC = picture(size, dtype)
    expected_HWC, found_HWC = resize(image_HWC, *other), shrink(image_HWC, *other)
    assert (found_HWC.dtype, found_HWC.shape) == (dtype, expected_HWC.shape)
    difference_HWC = np.abs(found_HWC.astype(int) - expected_HWC)
    assert difference_HWC.max() <= 1
    assert (difference_HWC > 0).mean() < 0.01


def test_of_a_large_picture_only_some_rows_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.pictures.lanczos._STRIP_PIXELS", 100)
    monkeypatch.setattr("translate.pictures.lanczos._MOST_PRODUCTS", 500)
    image_HWC = np.random.default_rng(0).normal(0, 1000, (40, 61, 3)).astype(np.float32)
    resized = Resized(np.ascontiguousarray(np.moveaxis(image_HWC, 2, 0)), 55, 80)
    whole_CHW = resized.rows(0, 55)
    parts = [resized.rows(0, 7), resized.rows(7, 33), resized.rows(33, 55)]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole_CHW, atol=0.01)
    for channel in range(3):
        expected_HW = Image.fromarray(image_HWC[..., channel]).resize((80, 55), Image.Resampling.LANCZOS)
        np.testing.assert_allclose(whole_CHW[channel], expected_HW, atol=0.01)


def test_the_same_size_is_the_picture() -> None:
    image_HWC = picture((9, 7), np.uint8)
    assert np.array_equal(shrink(image_HWC, 9, 7), image_HWC)
