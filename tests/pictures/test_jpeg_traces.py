"""Traces of JPEG compression, found in files and in pixels."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFilter

from translate.pictures.jpeg_traces import BLOCKY, blockiness, jpeg_quality, jpeg_traces


def photograph() -> np.ndarray:
    """Soft shapes, fine grain, a hard edge, and a fence of straight lines, (96, 128, 3)."""
    rng = np.random.default_rng(5)
    coarse = Image.fromarray(rng.integers(0, 256, (96, 128, 3), np.uint8)).filter(ImageFilter.GaussianBlur(4))
    picture_HWC = (np.asarray(coarse).astype(float) - 128) * 4 + 128 + rng.normal(0, 3, (96, 128, 3))
    picture_HWC[:, 70:] += 60
    picture_HWC[40:60:4] -= 50
    return np.clip(picture_HWC, 0, 255).astype(np.uint8)


def compressed(image_HWC: np.ndarray, quality: int) -> bytes:
    file = BytesIO()
    Image.fromarray(image_HWC).save(file, "JPEG", quality=quality)
    return file.getvalue()


def png(image_HWC: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(image_HWC).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("quality", [30, 50, 75, 90])
def test_the_quality_of_a_file(quality: int) -> None:
    found = jpeg_quality(compressed(photograph(), quality))
    assert found is not None
    assert abs(found - quality) <= 1


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", png(photograph())])
def test_other_files_have_no_quality(data: bytes) -> None:
    assert jpeg_quality(data) is None


def test_blocks_are_found_wherever_the_grid_lies() -> None:
    clean_HWC = photograph()
    stored_HWC = np.asarray(Image.open(BytesIO(compressed(clean_HWC, 25))))
    assert blockiness(clean_HWC) < BLOCKY / 2
    for down, right in ((0, 0), (3, 5), (7, 1)):
        assert blockiness(stored_HWC[down:, right:]) > BLOCKY
    assert blockiness(stored_HWC.astype(np.uint16) * 257) == pytest.approx(blockiness(stored_HWC))


def test_the_milder_the_compression_the_fainter_the_blocks() -> None:
    found = [blockiness(np.asarray(Image.open(BytesIO(compressed(photograph(), q))))) for q in (20, 50, 95)]
    assert found == sorted(found, reverse=True)


def test_small_and_flat_pictures_have_no_blocks() -> None:
    assert blockiness(photograph()[:31]) == 0
    assert blockiness(np.full((64, 64, 3), 90, np.uint8)) == 0


def test_files_and_pixels_together() -> None:
    clean_HWC = photograph()
    strong = compressed(clean_HWC, 25)
    stored_HWC = np.asarray(Image.open(BytesIO(strong)))
    assert jpeg_traces(jpeg_quality(strong), stored_HWC)
    assert jpeg_traces(jpeg_quality(png(stored_HWC)), stored_HWC)  # stored again without loss
    assert jpeg_traces(jpeg_quality(compressed(stored_HWC, 98)), stored_HWC)  # stored again with little
    assert not jpeg_traces(jpeg_quality(compressed(clean_HWC, 95)), clean_HWC)
    assert not jpeg_traces(jpeg_quality(png(clean_HWC)), clean_HWC)
