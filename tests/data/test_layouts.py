"""Which files belong together, what is left out, and what is refused."""

import os
from pathlib import Path

import pytest

from translate.data.layouts import Listing, list_files, list_pictures, present_folders
from translate.errors import DataError, TranslateError


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
        (("notes.txt", ".a.png"), {"makes_source": True}, "in contains 1 file, none of them PNG, JPEG, WebP, "),
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


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    fill(tmp_path / "data", "a.png", "run/snapshot.safetensors", "run/samples/b.png")
    fill(tmp_path / "data", "old/config.json", "old/log.jsonl")
    fill(tmp_path / "data", "old/samples/x/c.png", "made/.translate.jsonl", "made/deep/d.png", "sub/e.png")
    fill(tmp_path / "data", "measured/metrics.json", "measured/summary.json", "measured/contact_sheet.png")
    fill(tmp_path / "more", "f.png")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "more", target_is_directory=True)
    (tmp_path / "data" / "loop").symlink_to(tmp_path, target_is_directory=True)
    fill(tmp_path / "data", "notes.txt")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "data" / "pipe.png")
    listing = photos(tmp_path / "data")
    assert names(listing.targets, tmp_path / "data") == ["a.png", "link/f.png", "sub/e.png"]
    start, use = f"{tmp_path / 'data'}/", "; give the folder itself to use them"
    *named, counted = listing.left_out
    assert counted == "1 file was not a picture that can be read here: 1 .txt"
    assert sorted(line.removeprefix(start) for line in named) == [
        "loop: left out: a link that leads back to a folder it is in",
        f"made: left out: holds results of translate convert{use}",
        f"measured: left out: holds results of translate evaluate{use}",
        f"old: left out: holds a training run{use}",
        *(["pipe.png: left out: a named pipe, not a file"] if hasattr(os, "mkfifo") else []),
        f"run: left out: holds a training run{use}",
    ]
    assert names(list_pictures(tmp_path / "data" / "made"), tmp_path) == ["data/made/deep/d.png"]
    fill(tmp_path / "outer", "run/snapshot.safetensors", "run/samples/b.png")
    with pytest.raises(DataError, match=r"outer contains no pictures but what is left out, such as .*run: holds a tra"):
        photos(tmp_path / "outer")


def test_a_run_in_the_data_folder_itself(tmp_path: Path) -> None:
    listing = photos(fill(tmp_path, "a.png", "snapshot.safetensors", "log.jsonl", "config.json", "samples/b.png"))
    assert names(listing.targets, tmp_path) == ["a.png"]
    assert listing.left_out == (
        f"{tmp_path / 'samples'}: left out: the sample grids of a training run",
        "3 files were not pictures that can be read here: 1 .json, 1 .jsonl, 1 .safetensors",
    )
