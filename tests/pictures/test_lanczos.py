"""The quick resizing against Pillow's."""

import numpy as np
import pytest

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
    image_HWC = picture((40, 61), np.uint8)
    resized = Resized(image_HWC, 55, 80)
    whole_CHW = resized.rows(0, 55)
    assert np.array_equal(np.concatenate([resized.rows(0, 7), resized.rows(7, 33), resized.rows(33, 55)], 1), whole_CHW)
    assert np.abs(np.moveaxis(whole_CHW, 0, 2) - resize(image_HWC, 55, 80)).max() <= 1


def test_the_same_size_is_the_picture() -> None:
    image_HWC = picture((9, 7), np.uint8)
    assert np.array_equal(shrink(image_HWC, 9, 7), image_HWC)
