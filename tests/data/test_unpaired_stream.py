"""Sources without targets beside the samples: which ones come when, and their labels.

Shape suffixes: H height, W width, C channels.
"""

import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from translate.data.dataset import PictureDataset, UnpairedSources
from translate.data.framing import Framing
from translate.data.layouts import list_files, list_unpaired
from translate.data.loading import batches
from translate.data.reading import parse_channels
from translate.errors import ConfigError, DataError

RGB = parse_channels("3")
FRAMING = Framing("fit", 16, "full", colours=False)
KINDS = ("bag", "shoe")


def save(path: Path, level: int, red: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture_HWC = np.full((40, 40, 3), level, np.uint8)
    picture_HWC[..., 0] += np.uint8(red)
    Image.fromarray(picture_HWC).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs above 100 and drawings below, of two kinds. Read only."""
    folder = tmp_path_factory.mktemp("unpaired")
    for number, kind in enumerate(("bag", "bag", "shoe", "shoe", "shoe")):
        save(folder / "photos" / kind / f"{number}.png", 110 + 10 * number, red=40)
        save(folder / "drawings" / kind / f"{number}.png", 10 + 10 * number)
    return folder


def stream(folder: Path, share: float | None = None, kinds: tuple[str, ...] = KINDS) -> PictureDataset:
    listing = list_files(folder / "photos", layout="photos", paired=True, makes_source=True, labels=bool(kinds))
    unpaired = None
    if share is not None:
        drawings = PictureDataset(list_unpaired(folder / "drawings", kinds), FRAMING, RGB, 7)
        unpaired = UnpairedSources(drawings, share)
    return PictureDataset(listing, Framing("fit", 16, "full"), RGB, 0, unpaired=unpaired)


def levels(found: PictureDataset, positions: range) -> list[tuple[int, int]]:
    """Middle and label of the unpaired sources at these positions."""
    items = [found[position].unpaired for position in positions]
    return [(int(picture_HWC[8, 8, 0]), label) for picture_HWC, label in (item for item in items if item is not None)]


@pytest.mark.parametrize(("share", "at"), [(0.25, [3, 7, 11]), (0.5, [1, 3, 5, 7, 9, 11]), (1.0, list(range(12)))])
def test_a_share_of_the_samples_has_one(folder: Path, share: float, at: list[int]) -> None:
    found = stream(folder, share)
    assert [position for position in range(12) if found[position].unpaired is not None] == at


def test_each_pass_shows_each_once_with_its_label_and_without_changed_colours(folder: Path) -> None:
    found = stream(folder, 0.5)
    expected = [(10, 0), (20, 0), (30, 1), (40, 1), (50, 1)]
    passes = [levels(found, range(first, first + 10)) for first in (0, 10)]
    assert [sorted(one) for one in passes] == [expected, expected]
    assert passes[0] != passes[1]
    greys = [found[position].unpaired for position in range(1, 20, 2)]
    assert all(bool((grey[0] == grey[0][..., :1]).all()) for grey in greys if grey is not None)


def test_samples_are_the_same_with_and_without(folder: Path) -> None:
    plain, beside = stream(folder), stream(folder, 0.5)
    for position in range(6):
        one, other = plain[position], beside[position]
        assert one.unpaired is None
        assert torch.equal(one.target_HWC, other.target_HWC)
        assert one.label == other.label


def test_they_follow_from_the_position_alone(folder: Path) -> None:
    found = stream(folder, 0.25)

    def unpaired(batch_size: int, start: int, **part: int) -> list[torch.Tensor]:
        loaded = islice(batches(found, batch_size, start, 0, pin=False, **part), (16 - start) // batch_size)
        return [picture for batch in loaded if batch.unpaired is not None for picture in batch.unpaired.source_UHWC]

    whole = unpaired(8, 0)
    assert len(whole) == 4
    for parts, expected in (
        (unpaired(2, 0), whole),
        (unpaired(8, 8), whole[2:]),
        (unpaired(8, 0, rank=1, world=2), whole[1::2]),
    ):
        assert all(torch.equal(one, other) for one, other in zip(parts, expected, strict=True))
    assert next(batches(found, 2, 0, 0, pin=False)).unpaired is None


def test_a_bad_file_is_replaced_and_named(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "good.png", 10)
    (tmp_path / "bad.png").write_text("no picture")
    drawings = PictureDataset(list_unpaired(tmp_path), FRAMING, RGB, 7)
    found = stream(folder)
    found.unpaired = UnpairedSources(drawings, 1.0)
    items = [found[position] for position in range(2)]
    assert [int(item.unpaired[0][8, 8, 0]) for item in items if item.unpaired is not None] == [10, 10]
    assert [line for item in items for line in item.rejected if "bad.png" in line]


# --- labels


def test_one_label_for_all(folder: Path) -> None:
    assert list_unpaired(folder / "drawings", KINDS, "shoe").labels == (1,) * 5
    assert list_unpaired(folder / "drawings" / "shoe", KINDS, "bag").labels == (0,) * 3
    assert list_unpaired(folder / "drawings").labels == (0,) * 5


@pytest.mark.parametrize(
    ("part", "kinds", "label", "kind", "message"),
    [
        ("drawings", KINDS, "boot", ConfigError, "--unpaired-label is boot, but the labels are bag, shoe"),
        ("drawings", (), "shoe", ConfigError, "--unpaired-label is shoe, but this run has no class labels"),
        ("drawings/bag", KINDS, "", DataError, "bag or shoe, or give --unpaired-label for all of "),
        ("drawings", ("bag", "cap"), "", DataError, "is in the sub-folder shoe; the labels are fixed"),
        ("none", (), "", DataError, "none does not exist; give a folder with pictures"),
        ("empty", (), "", DataError, "empty contains no files; put pictures there or give another folder"),
    ],
)
def test_what_does_not_fit(
    folder: Path, part: str, kinds: tuple[str, ...], label: str, kind: type[Exception], message: str
) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    with pytest.raises(kind, match=re.escape(message)) as error:
        list_unpaired(folder / part, kinds, label)
    assert "\n" not in str(error.value)
