"""What is held out for measuring, and what is refused because it was learnt from."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from test_layouts import fill, names, pairs, photos

from translate.data.layouts import Listing, list_files
from translate.data.split import MOST, hold_out, hold_out_spaced, refuse_overlap, spaced_count
from translate.errors import ConfigError, DataError


def numbered(folder: Path, count: int, *, unpaired_sources: int = 0) -> Listing:
    targets = tuple(folder / f"{number:02}.png" for number in range(count))
    sources = tuple(folder / f"s{number:02}.png" for number in range(unpaired_sources)) or targets
    layout = "two-folders"
    return Listing(layout, not unpaired_sources, sources, targets, tuple(range(count)))


def test_held_out_pictures_are_spread_and_kept_from_training(tmp_path: Path) -> None:
    listing = numbered(tmp_path, 10)
    train, validation = hold_out_spaced(listing, 3)
    assert validation.labels == (1, 5, 8)
    assert validation.sources == validation.targets == tuple(listing.targets[index] for index in (1, 5, 8))
    assert sorted(train.targets + validation.targets) == list(listing.targets)
    assert train.labels == (0, 2, 3, 4, 6, 7, 9)
    for count in range(10):
        assert [len(part.targets) for part in hold_out_spaced(listing, count)] == [10 - count, count]
    assert hold_out_spaced(listing, 0)[0] == listing


def test_unpaired_pictures_are_held_out_of_either_side(tmp_path: Path) -> None:
    train, validation = hold_out_spaced(numbered(tmp_path, 10, unpaired_sources=4), 2)
    assert [len(files) for files in (train.sources, train.targets)] == [2, 8]
    assert names(validation.sources, tmp_path) == ["s01.png", "s03.png"]
    assert names(validation.targets, tmp_path) == ["02.png", "07.png"]


def test_photographs_held_out_have_no_sources(tmp_path: Path) -> None:
    listing = photos(fill(tmp_path, "a.png", "b.png"))
    assert [part.sources for part in hold_out(listing, 1)] == [(), ()]


@pytest.mark.parametrize("split", [hold_out, hold_out_spaced])
def test_one_picture_must_remain(tmp_path: Path, split: Callable[[Listing, int], object]) -> None:
    for listing in (numbered(tmp_path, 4), numbered(tmp_path, 9, unpaired_sources=4)):
        with pytest.raises(ConfigError, match="--held-out is 4, but there are only 4 pictures") as caught:
            split(listing, 4)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("count", "held"), [(1, 0), (7, 0), (8, 1), (100, 5), (1280, 64), (2000, 64)])
def test_how_many_are_held_out_by_default(tmp_path: Path, count: int, held: int) -> None:
    assert spaced_count(numbered(tmp_path, count)) == held


def test_the_smaller_side_decides_how_many(tmp_path: Path) -> None:
    assert spaced_count(numbered(tmp_path, 100, unpaired_sources=40)) == 2


def test_overlap_is_found_by_content(tmp_path: Path) -> None:
    fill(tmp_path / "train", "a.png", "b.png", "c.png", "d.png", "e.png")
    fill(tmp_path / "val", "f.png", "gg.png")
    train = photos(tmp_path / "train")
    refuse_overlap(train, photos(tmp_path / "val"))
    for number, name in enumerate("abcd"):
        (tmp_path / "val" / f"{number}.png").write_text(f"{name}.png")
    with pytest.raises(DataError, match=r"^4 validation pictures .* \(.*0.png, .*1.png, .*2.png, ...\)") as caught:
        refuse_overlap(train, photos(tmp_path / "val"))
    assert "\n" not in str(caught.value)


def test_of_a_pair_both_files_must_be_known(tmp_path: Path) -> None:
    fill(tmp_path / "train", "source/a.png", "target/a.png")
    fill(tmp_path / "val", "source/b.png", "target/b.png")
    (tmp_path / "val/target/b.png").write_bytes((tmp_path / "train/target/a.png").read_bytes())
    refuse_overlap(pairs(tmp_path / "train"), pairs(tmp_path / "val"))
    (tmp_path / "val/source/b.png").write_bytes((tmp_path / "train/source/a.png").read_bytes())
    with pytest.raises(DataError, match=r"^1 validation pictures"):
        refuse_overlap(pairs(tmp_path / "train"), pairs(tmp_path / "val"))


def test_unpaired_sides_are_compared_each_for_itself(tmp_path: Path) -> None:
    def unpaired(name: str) -> Listing:
        return list_files(tmp_path / name, layout="auto", paired=False)

    fill(tmp_path / "train", "A/a.png", "B/b.png")
    fill(tmp_path / "val", "A/c.png", "B/d.png")
    refuse_overlap(unpaired("train"), unpaired("val"))
    (tmp_path / "val/A/c.png").write_text("A/a.png")
    with pytest.raises(DataError, match=r"^1 validation pictures .*c.png"):
        refuse_overlap(unpaired("train"), unpaired("val"))


def test_a_file_that_vanished_is_no_overlap(tmp_path: Path) -> None:
    train, validation = photos(fill(tmp_path / "a", "a.png")), photos(fill(tmp_path / "b", "b.png"))
    (tmp_path / "b/b.png").unlink()
    refuse_overlap(train, validation)


def written(folder: Path, names: range, seed: int = 1) -> Listing:
    """Pictures that are told apart by their middle or their end only; two of ten are copies."""
    folder.mkdir(exist_ok=True)
    for name in names:
        content = bytearray(60_000)
        content[-5:] = random.Random(f"{seed}{name % 800}").randbytes(5)
        (folder / f"{name}.png").write_bytes(content)
    return photos(folder)


def held(listing: Listing, count: int | None = None) -> set[str]:
    return {path.name for path in hold_out(listing, count)[1].targets}


@pytest.mark.parametrize("count", [None, 5])
def test_pictures_that_are_added_never_take_learnt_ones_out(tmp_path: Path, count: int | None) -> None:
    learnt: set[str] = set()
    for upper in (8, 40, 200, 600, 1000):
        listing = written(tmp_path / "in", range(upper))
        found = held(listing, count)
        assert not found & learnt
        learnt |= {path.name for path in listing.targets} - found
        assert 1 <= len(found) <= MOST
        assert count is None or len(found) in (count, count + 1)
        contents = {(tmp_path / "in" / name).read_bytes() for name in found}
        assert not contents & {(tmp_path / "in" / name).read_bytes() for name in learnt}
    assert len(found) == MOST or count or 30 < len(found) < MOST  # 5 of 100
    for path in listing.targets:  # neither names nor places matter
        path.rename(tmp_path / "in" / f"x{path.name}")
    (tmp_path / "in").rename(tmp_path / "other")
    assert held(photos(tmp_path / "other"), count) == {f"x{name}" for name in found}


def test_copies_alone(tmp_path: Path) -> None:
    listing = photos(fill(tmp_path, *(f"{number}.png" for number in range(10))))
    for path in listing.targets[:9]:
        path.write_text("all alike")
    assert held(listing) == {"9.png"}  # most of the pictures have to be learnt
    listing.targets[9].write_text("all alike")
    assert held(listing) == set()
    with pytest.raises(ConfigError, match="--held-out is 2, but with their copies these are all 10 pictures; give a"):
        hold_out(listing, 2)


def test_pairs_and_unpaired_pictures_by_content(tmp_path: Path) -> None:
    for number in range(12):
        fill(tmp_path, f"A/{number}.png", f"B/{number}.png")
        (tmp_path / "A" / f"{number}.png").write_text("the same mask")
    train, validation = hold_out(pairs(tmp_path), 3)
    assert [path.name for path in validation.sources] == [path.name for path in validation.targets]
    assert (len(validation.targets), len(train.targets)) == (3, 9)
    fill(tmp_path, *(f"A/{number}.png" for number in range(6)))
    unpaired = list_files(tmp_path, layout="auto", paired=False)
    train, validation = hold_out(unpaired, 2)
    assert len(validation.targets) == 2
    assert 2 <= len(validation.sources) < 12
    (tmp_path / "B" / "0.png").unlink()  # vanished since it was listed
    hold_out(unpaired, 2)
