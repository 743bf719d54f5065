"""How the data set reads files: alpha, orientation, samples without augmentation."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_stream import SIZE, photos, plain_colour, save

from translate.errors import DataError


@pytest.fixture
def only(tmp_path: Path) -> Path:
    """Where the single photograph of a folder goes."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_alpha_is_laid_on_white(only: Path) -> None:
    rgba_HWC = np.zeros((SIZE, SIZE, 4), np.uint8)
    rgba_HWC[:, 16:, 3] = 255
    rgba_HWC[:, 8:16, 3] = 128
    save(only / "glass.png", rgba_HWC)
    row_W = photos(only).plain(1).target_BHWC[0, 5, :, 0].tolist()
    assert row_W == [255] * 8 + [127] * 8 + [0] * 16


def test_exif_orientation_is_honoured(only: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    array_HWC = plain_colour(255, SIZE, SIZE)
    array_HWC[:8] = 0  # the stored top becomes the right side
    save(only / "turned.jpg", array_HWC, exif=exif, quality=100)
    photo_HW = photos(only).plain(1).target_BHWC[0, ..., 0]
    assert (photo_HW[:, 26:] < 20).all()
    assert (photo_HW[:, :22] > 235).all()


def test_plain_is_spread_over_the_folder_and_unchanged(tmp_path: Path) -> None:
    for level in range(0, 250, 25):
        save(tmp_path / f"{level:03}.png", plain_colour(level, SIZE, SIZE))
    stream = photos(tmp_path)
    assert stream.plain(4).target_BHWC[:, 3, 3, 0].tolist() == [0, 75, 150, 225]
    assert len(stream.plain(99).target_BHWC) == 10


def test_unreadable_photographs_end_it_at_once(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_text("x")
    with pytest.raises(
        DataError, match=r": none of the 3 pictures tried can be used; the first one: .*0.png: not a PNG"
    ):
        photos(tmp_path)
