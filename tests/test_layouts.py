"""Which files belong together, what is held out, and what is refused."""

import os
from pathlib import Path

import pytest

from translate.data.layouts import (
    Listing,
    held_out_count,
    hold_out,
    list_files,
    list_pictures,
    present_folders,
    refuse_overlap,
)
from translate.errors import ConfigError, DataError, TranslateError


def fill(folder: Path, *names: str) -> Path:
    """Files that are listed by name only; each holds its own name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def names(paths: tuple[Path, ...] | list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def pairs(folder: Path) -> Listing:
    return list_files(folder, layout="auto", paired=True)


def photos(folder: Path) -> Listing:
    return list_files(folder, layout="auto", paired=True, makes_source=True)


def test_photographs_below_are_found_sorted_and_hidden_ones_left_out(tmp_path: Path) -> None:
    wanted = ["a/b/c.jpeg", "a/z.png", "b.JPG", "d.webp", "e.npy", "f.tif", "g.TIFF"]
    fill(tmp_path, *wanted, "a/notes.txt", "._b.jpg", ".thumbnails/b.jpg", "h.svg")
    listing = photos(tmp_path)
    assert names(listing.targets, tmp_path) == wanted
    note = "2 files were not pictures that can be read here: 1 .svg, 1 .txt"
    expected = tuple(tmp_path / name for name in wanted)
    assert listing == Listing("photos", True, (), expected, (0,) * 7, left_out=(note,))


def test_side_by_side(tmp_path: Path) -> None:
    fill(tmp_path, "b.png", "a.png")
    listing = list_files(tmp_path, layout="side-by-side", paired=True, source_side="right")
    assert listing.layout == "side-by-side"
    assert listing.sources == listing.targets == (tmp_path / "a.png", tmp_path / "b.png")
    assert listing.source_side == "right"


def test_pairs_are_matched_by_path_without_suffix(tmp_path: Path) -> None:
    fill(tmp_path, "source/b.png", "source/x/a.1.png", "target/x/a.1.jpg", "target/b.webp")
    listing = pairs(tmp_path)
    assert (listing.layout, listing.paired) == ("two-folders", True)
    assert names(listing.sources, tmp_path) == ["source/b.png", "source/x/a.1.png"]
    assert names(listing.targets, tmp_path) == ["target/b.webp", "target/x/a.1.jpg"]


@pytest.mark.parametrize("found", [("A", "B"), ("trainA", "trainB"), ("source", "target")])
def test_customary_folder_names_are_taken(tmp_path: Path, found: tuple[str, str]) -> None:
    fill(tmp_path, f"{found[0]}/a.png", f"{found[1]}/a.png", "other/b.png")
    assert names(pairs(tmp_path).sources, tmp_path) == [f"{found[0]}/a.png"]
    with pytest.raises(DataError, match="does not have the folders in and out"):
        list_files(tmp_path, layout="two-folders", paired=True, folders=("in", "out"))


def test_own_folder_names_win_and_two_folders_win_over_photographs(tmp_path: Path) -> None:
    fill(tmp_path, "A/a.png", "B/a.png", "day/c.png", "night/d.png", "night/e.png")
    assert names(photos(tmp_path).targets, tmp_path) == ["B/a.png"]
    listing = list_files(tmp_path, layout="auto", paired=False, folders=("day", "night"))
    assert (listing.layout, listing.paired) == ("two-folders", False)
    assert names(listing.sources, tmp_path) == ["day/c.png"]
    assert names(listing.targets, tmp_path) == ["night/d.png", "night/e.png"]
    assert len(list_files(tmp_path, layout="photos", paired=True, makes_source=True).targets) == 5


def test_present_folders(tmp_path: Path) -> None:
    fill(tmp_path, "A/1.png", "B/1.png")
    assert present_folders(tmp_path, ("source", "target")) == ("A", "B")
    assert present_folders(tmp_path, ("day", "night")) is None


def test_labels_are_the_first_sub_folders(tmp_path: Path) -> None:
    fill(tmp_path / "one", "shoe/a.png", "bag/x/b.png", "bag/c.png")
    (tmp_path / "one" / "empty").mkdir()
    listing = list_files(tmp_path / "one", layout="auto", paired=True, makes_source=True, labels=True)
    assert (listing.label_names, listing.labels) == (("bag", "shoe"), (0, 0, 1))
    assert names(listing.targets, tmp_path / "one") == ["bag/c.png", "bag/x/b.png", "shoe/a.png"]
    # Sorted by name without suffix, which is not the order of the files: the labels follow.
    fill(tmp_path / "two", *(f"{side}/{name}" for side in "AB" for name in ("shoe/a.png", "bag/b.png", "bag/b-c.png")))
    listing = list_files(tmp_path / "two", layout="auto", paired=True, labels=True)
    assert [path.parent.name for path in listing.targets] == [listing.label_names[label] for label in listing.labels]
    fill(tmp_path / "three", "A/a.png", "B/shoe/a.png", "B/bag/b.png")
    listing = list_files(tmp_path / "three", layout="auto", paired=False, labels=True)
    assert (listing.labels, len(listing.sources)) == ((0, 1), 1)


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ((), {}, "in does not exist; give a folder with pictures$"),
        (("notes.txt", ".a.png"), {"makes_source": True}, "in contains 2 files, none of them PNG, JPEG, WebP, "),
        (
            ("a.png",),
            {},
            "in does not have the folders source and target; if every file holds a pair, add --layout side-by-side; "
            "otherwise put pictures into .*/source and .*/target, or give other names with --folders$",
        ),
        (("a.png",), {"paired": False}, "the folders source and target; put pictures into .* with --folders$"),
        (("source/a.png",), {"layout": "two-folders"}, "does not have the folders source and target; put pictures"),
        (("source/a.png", "target/a.txt"), {}, "target contains 1 file, none of them"),
        (
            ("A/a.png", "A/b.png", "A/c.png", "A/d.png", "A/e.png", "B/e.png", "B/f.png"),
            {},
            r"partner: 4 of 5 in .*A \(a, b, c, ...\), 1 of 2 in .*B \(f\); pairs must have the same name",
        ),
        (("A/a.png", "A/b.png", "B/a.png"), {}, r"partner: 1 of 2 in .*A \(b\), 0 of 1 in .*B; pairs"),
        (("A/a.png", "A/a.jpg", "B/a.png"), {}, "A/a.jpg and .*A/a.png differ only in the suffix"),
        (("x/a.png", "c.png", "b.png"), {"makes_source": True, "labels": True}, "b.png is in no sub-folder"),
        (("x/a.png",), {"makes_source": True, "labels": True}, r"only one sub-folder \(x\), but --labels needs two"),
        (
            ("A/x/a.png", "A/y/a.png", "B/x/a.png", "B/z/a.png"),
            {"labels": True},
            r"sub-folders of .*A and .*B differ \(y, z\); labels need the same",
        ),
        (("a.png",), {"layout": "photos"}, "--layout photos is for tasks that make the source"),
        (("a.png",), {"layout": "side-by-side", "paired": False}, "--layout side-by-side is for pairs"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, files: tuple[str, ...], options: dict, message: str) -> None:
    fill(tmp_path / "in", *files)
    with pytest.raises(TranslateError, match=message) as caught:
        list_files(tmp_path / "in", **{"layout": "auto", "paired": True, **options})
    assert "\n" not in str(caught.value)


def test_a_file_and_an_empty_folder_are_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.png is a file; give a folder"):
        list_pictures(fill(tmp_path, "a.png") / "a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty contains no files; put pictures there or give another folder"):
        list_pictures(tmp_path / "empty")


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="rights are another matter there")
def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a.png", "locked/b.png")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # tests may run as root, who may list everything
    with pytest.raises(DataError, match="locked: cannot be listed"):
        list_pictures(tmp_path)


def numbered(folder: Path, count: int, *, unpaired_sources: int = 0) -> Listing:
    targets = tuple(folder / f"{number:02}.png" for number in range(count))
    sources = tuple(folder / f"s{number:02}.png" for number in range(unpaired_sources)) or targets
    layout = "two-folders"
    return Listing(layout, not unpaired_sources, sources, targets, tuple(range(count)))


def test_held_out_pictures_are_spread_and_kept_from_training(tmp_path: Path) -> None:
    listing = numbered(tmp_path, 10)
    train, validation = hold_out(listing, 3)
    assert validation.labels == (1, 5, 8)
    assert validation.sources == validation.targets == tuple(listing.targets[index] for index in (1, 5, 8))
    assert sorted(train.targets + validation.targets) == list(listing.targets)
    assert train.labels == (0, 2, 3, 4, 6, 7, 9)
    for count in range(10):
        assert [len(part.targets) for part in hold_out(listing, count)] == [10 - count, count]
    assert hold_out(listing, 0)[0] == listing


def test_unpaired_pictures_are_held_out_of_either_side(tmp_path: Path) -> None:
    train, validation = hold_out(numbered(tmp_path, 10, unpaired_sources=4), 2)
    assert [len(files) for files in (train.sources, train.targets)] == [2, 8]
    assert names(validation.sources, tmp_path) == ["s01.png", "s03.png"]
    assert names(validation.targets, tmp_path) == ["02.png", "07.png"]


def test_photographs_held_out_have_no_sources(tmp_path: Path) -> None:
    listing = photos(fill(tmp_path, "a.png", "b.png"))
    assert [part.sources for part in hold_out(listing, 1)] == [(), ()]


def test_one_picture_must_remain(tmp_path: Path) -> None:
    for listing in (numbered(tmp_path, 4), numbered(tmp_path, 9, unpaired_sources=4)):
        with pytest.raises(ConfigError, match="--held-out is 4, but there are only 4 pictures") as caught:
            hold_out(listing, 4)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("count", "held"), [(1, 0), (7, 0), (8, 1), (100, 5), (1280, 64), (2000, 64)])
def test_how_many_are_held_out_by_default(tmp_path: Path, count: int, held: int) -> None:
    assert held_out_count(numbered(tmp_path, count)) == held


def test_the_smaller_side_decides_how_many(tmp_path: Path) -> None:
    assert held_out_count(numbered(tmp_path, 100, unpaired_sources=40)) == 2


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
