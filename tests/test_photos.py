"""The stream of training pictures: order, augmentation by position, bad files, and what each file becomes.

Shape suffixes: B batch, H height, W width, C channels.
"""

import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from translate.data.photos import PhotoFolder, _order, list_photos, photo_batches
from translate.errors import DataError

SIZE = 32
COUNT = 5


def save(path: Path, array: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def plain_colour(level: int, height: int = 40, width: int = 40) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`COUNT` photographs without symmetry."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(COUNT):
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((40 + 8 * number, 48), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def messy(folder: Path, tmp_path: Path) -> Path:
    """One good photograph and four that cannot be used, of which the first few sort before it."""
    shutil.copy(folder / "0.png", tmp_path / "m.png")
    save(tmp_path / "whole.jpg", np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    (tmp_path / "whole.jpg").unlink()
    (tmp_path / "text.png").write_text("I am no picture")
    (tmp_path / "empty.webp").touch()
    save(tmp_path / "dot.png", plain_colour(0, 1, 1))
    return tmp_path


def first(photos: PhotoFolder, count: int, batch_size: int, start: int = 0, workers: int = 0) -> torch.Tensor:
    """The first `count` pictures from position `start`, through the loader."""
    batches = photo_batches(photos, batch_size, start, workers, pin=False)
    chosen = torch.cat([batch.photo_BHWC for batch in islice(batches, -(-count // batch_size))])
    del batches
    return chosen[:count]


def test_every_pass_shows_every_file_once(folder: Path) -> None:
    for epoch in range(3):
        assert sorted(_order(7, epoch, 20).tolist()) == list(range(20))
    assert _order(7, 0, 20).tolist() != _order(7, 1, 20).tolist()
    assert _order(7, 0, 20).tolist() != _order(8, 0, 20).tolist()


def test_one_pass_through_the_stream(tmp_path: Path) -> None:
    for level in (10, 60, 110, 160, 210):
        save(tmp_path / f"{level}.png", plain_colour(level, 64, 64))
    photos = PhotoFolder(tmp_path, SIZE, seed=0)
    for epoch in range(2):
        # Grey photographs keep their colour: only place and shape change, and the middle stays inside.
        middles = [int(photos[5 * epoch + place].photo_HWC[SIZE // 2, SIZE // 2, 0]) for place in range(5)]
        assert sorted(middles) == [10, 60, 110, 160, 210]


def test_pictures_are_uint8_squares(folder: Path) -> None:
    photos = PhotoFolder(folder, SIZE, seed=0)
    assert len(photos) == COUNT
    batch = next(photo_batches(photos, 3, 0, 0, pin=False))
    assert (batch.photo_BHWC.shape, batch.photo_BHWC.dtype) == ((3, SIZE, SIZE, 3), torch.uint8)
    assert batch.rejected == ()


def test_position_and_seed_decide(folder: Path) -> None:
    photos = PhotoFolder(folder, SIZE, seed=0)
    backwards = [photos[position].photo_HWC for position in reversed(range(8))]
    again = PhotoFolder(folder, SIZE, seed=0)
    assert all(torch.equal(again[7 - number].photo_HWC, photo) for number, photo in enumerate(backwards))
    other = PhotoFolder(folder, SIZE, seed=1)
    assert not all(torch.equal(other[position].photo_HWC, photos[position].photo_HWC) for position in range(8))


def test_augmentation_differs_between_passes(folder: Path) -> None:
    photos = PhotoFolder(folder, SIZE, seed=0)
    seen = {photos[position].photo_HWC.numpy().tobytes() for position in range(4 * COUNT)}
    assert len(seen) > 2 * COUNT  # a fifth is only fitted, and half of all are mirrored


def test_torch_s_and_numpy_s_own_randomness_is_left_alone(folder: Path) -> None:
    photos = PhotoFolder(folder, SIZE, seed=0)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first(photos, 4, 2)
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[0])


def test_batch_size_start_and_workers_change_nothing(folder: Path) -> None:
    photos = PhotoFolder(folder, SIZE, seed=0)
    expected_BHWC = first(photos, 12, 4)
    assert torch.equal(first(photos, 12, 3), expected_BHWC)
    assert torch.equal(first(photos, 5, 5, start=7), expected_BHWC[7:])
    assert torch.equal(first(photos, 12, 4, workers=1), expected_BHWC)


def test_bad_files_are_replaced_and_reported(messy: Path) -> None:
    photos = PhotoFolder(messy, SIZE, seed=0)
    rejected: set[str] = set()
    good = PhotoFolder(messy, SIZE, seed=0)
    for position in range(len(photos)):
        item = photos[position]
        assert item.photo_HWC.shape == (SIZE, SIZE, 3)
        rejected.update(item.rejected)
    assert len(rejected) == 4
    assert all("\n" not in line for line in rejected)
    for name, reason in {
        "cut.jpg": "damaged picture",
        "text.png": "not a PNG, JPEG or WebP picture",
        "empty.webp": "an empty file",
        "dot.png": "is 1x1 pixels; training needs at least 16",
    }.items():
        assert [line for line in rejected if str(messy / name) in line and reason in line], name
    assert good.plain(8).shape == (1, SIZE, SIZE, 3)


def test_all_files_gone_while_training(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "in")
    photos = PhotoFolder(tmp_path / "in", SIZE, seed=0)
    shutil.rmtree(tmp_path / "in")
    for attempt in (lambda: photos[0], lambda: photos.plain(4)):
        with pytest.raises(DataError, match="none of") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_an_error_in_a_loader_process_is_one_line(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "in")
    photos = PhotoFolder(tmp_path / "in", SIZE, seed=0)
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(DataError, match="none of its 5 pictures can be used") as caught:
        next(photo_batches(photos, 2, 0, workers=1, pin=False))
    assert "\n" not in str(caught.value)


def make_nothing(folder: Path) -> None:
    folder.mkdir()


def make_file(folder: Path) -> None:
    folder.write_text("x")


def make_notes(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.png").write_text("x")


def make_broken(folder: Path) -> None:
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_text("x")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (None, "in does not exist; --data expects a folder with photographs$"),
        (make_file, "in is a file; --data expects a folder with photographs$"),
        (make_nothing, "in holds no files; put photographs there or name another folder"),
        (make_notes, "in holds 2 files, none of them PNG, JPEG or WebP; put photographs there"),
        (make_broken, "in: none of 3 pictures tried can be used; the first: .*0.png: not a PNG"),
    ],
)
def test_unusable_folder(tmp_path: Path, make: object, message: str) -> None:
    if callable(make):
        make(tmp_path / "in")
    with pytest.raises(DataError, match=message) as caught:
        PhotoFolder(tmp_path / "in", SIZE, seed=0)
    assert "\n" not in str(caught.value)


def test_files_are_found_below_and_sorted(tmp_path: Path) -> None:
    names = ["b.JPG", "a/z.png", "a/b/c.jpeg", "d.webp"]
    for name in names:
        save(tmp_path / name, plain_colour(9))
    for name in ("a/notes.txt", "._b.jpg", "e.gif"):
        (tmp_path / name).write_text("x")
    assert list_photos(tmp_path) == sorted(tmp_path / name for name in names)


@pytest.fixture
def only(tmp_path: Path) -> Path:
    """Where the single photograph of a folder goes."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_non_square_is_fitted_with_white_around(only: Path) -> None:
    save(only / "wide.png", plain_colour(0, 32, 64))
    photo_HWC = PhotoFolder(only, SIZE, seed=0).plain(1)[0]
    assert (photo_HWC[8:24] == 0).all()
    assert (photo_HWC[:8] == 255).all()
    assert (photo_HWC[24:] == 255).all()


def test_augmented_borders_are_white(only: Path) -> None:
    save(only / "tall.png", plain_colour(255, 64, 20))
    photos = PhotoFolder(only, SIZE, seed=0)
    assert all((photos[position].photo_HWC == 255).all() for position in range(20))


def test_alpha_is_laid_on_white(only: Path) -> None:
    rgba_HWC = np.zeros((SIZE, SIZE, 4), np.uint8)
    rgba_HWC[:, 16:, 3] = 255
    rgba_HWC[:, 8:16, 3] = 128
    save(only / "glass.png", rgba_HWC)
    row_W = PhotoFolder(only, SIZE, seed=0).plain(1)[0][5, :, 0].tolist()
    assert row_W == [255] * 8 + [127] * 8 + [0] * 16


def test_exif_orientation_is_honoured(only: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    array_HWC = plain_colour(255, SIZE, SIZE)
    array_HWC[:8] = 0  # the stored top becomes the right side
    save(only / "turned.jpg", array_HWC, exif=exif, quality=100)
    photo_HW = PhotoFolder(only, SIZE, seed=0).plain(1)[0][..., 0]
    assert (photo_HW[:, 26:] < 20).all()
    assert (photo_HW[:, :22] > 235).all()


def test_plain_is_spread_over_the_folder_and_unchanged(tmp_path: Path) -> None:
    for level in range(0, 250, 25):
        save(tmp_path / f"{level:03}.png", plain_colour(level, SIZE, SIZE))
    photos = PhotoFolder(tmp_path, SIZE, seed=0)
    assert photos.plain(4)[:, 3, 3, 0].tolist() == [0, 75, 150, 225]
    assert len(photos.plain(99)) == 10
