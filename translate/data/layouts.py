"""Data layouts: which files exist and which belong together. Needs neither torch nor OpenCV."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Literal

from translate.errors import ConfigError, DataError, one_line
from translate.files import LeftOut, irregular, walk
from translate.pictures import formats
from translate.pictures.formats import FORMATS, READABLE, head_of, may_be_picture

Layout = Literal["photos", "side-by-side", "two-folders"]
Side = Literal["left", "right"]

SUFFIXES = READABLE | {".npy"}
"""Suffixes (lower case) of files usable for training; `translate.data.reading` reads them."""

MIN_SIDE = 16
"""Pictures with a shorter side are useless for training and are skipped."""

OURS = ("source", "target")
OTHERS = (("A", "B"), ("trainA", "trainB"))
"""Names of the two folders in data sets for other programs."""


@dataclass(frozen=True)
class Listing:
    """The files and which of them belong together.

    sources: () for photos (the source is made from the target), equal to `targets` for side-by-side, aligned with
        `targets` for pairs in two folders, and of any number for unpaired data.
    labels: for each target an index into `label_names`; zeros without labels.
    """

    layout: Layout
    paired: bool
    """False: sources and targets are unrelated (day, night)."""
    sources: tuple[Path, ...]
    targets: tuple[Path, ...]
    labels: tuple[int, ...]
    label_names: tuple[str, ...] = ()
    source_side: Side = "left"
    """Which half of a side-by-side file is the source."""
    left_out: tuple[str, ...] = ()
    """What was found and is not used, one line each: folders that hold our own results, named pipes, links that lead
    back, and how many files are no pictures."""


def list_files(
    data: Path,
    *,
    layout: Layout | Literal["auto"],
    paired: bool,
    folders: tuple[str, str] = OURS,
    makes_source: bool = False,
    labels: bool = False,
    kinds: tuple[str, ...] = (),
    source_side: Side = "left",
) -> Listing:
    """Find the pictures in `data` and which of them belong together.

    Args:
        data: the folder, searched as `translate.files.walk` does.
        layout: auto means two folders if they exist, otherwise photos if the task makes its own source.
        paired: whether the task needs aligned pairs; if not, there must be two folders.
        folders: names of the source and the target folder in `data`. If the default ones do not exist, A and B or
            trainA and trainB are used.
        makes_source: whether the task makes the source from the target, so that photos are enough.
        labels: whether sub-folders are class labels. Unpaired sources need none.
        kinds: the label names, if they are fixed: there may be fewer sub-folders, but no others.
        source_side: which half of a side-by-side file is the source.

    Raises:
        ConfigError: the layout does not suit the task.
        DataError: a folder is missing or empty, files have no partner, or the labels do not fit.
    """
    _refuse_no_folder(data)
    left_out: list[str] = []

    def leave(path: Path, reason: str) -> None:
        left_out.append(one_line(f"{path}: left out: {reason}"))

    chosen, folders = _choose_layout(data, layout, paired, folders, makes_source)
    others = Counter[str]()
    if chosen == "two-folders":
        listing = _list_two_folders(data / folders[0], data / folders[1], paired, labels, kinds, leave, others)
    else:
        targets = list_pictures(data, leave, others)
        names, numbers = _labels(data, targets, labels, kinds)
        sources = tuple(targets) if chosen == "side-by-side" else ()
        listing = Listing(chosen, True, sources, tuple(targets), numbers, names, source_side)
    counted = (formats.left_out(others),) if others else ()
    return replace(listing, left_out=(*left_out, *counted))


def list_pictures(
    folder: Path, left_out: LeftOut = lambda path, reason: None, others: Counter[str] | None = None
) -> list[Path]:
    """All pictures and arrays in `folder`, sorted, as `translate.files.walk` finds them.

    These are the files with one of the SUFFIXES, and those with a missing or unknown suffix that begin as pictures do.

    Args:
        folder: where to search.
        left_out: called with what looks like a picture or a folder of them and is not used, and the reason.
        others: counts the other files by suffix (lower case).

    Raises:
        DataError: missing, not a folder, not listable, or without such files.
    """
    _refuse_no_folder(folder)
    rest, files, left = Counter[str](), list[Path](), list[str]()

    def leave(path: Path, reason: str) -> None:
        left.append(f"{path}: {reason}")
        left_out(path, reason)

    for _, entries in walk(folder, leave):
        for entry in entries:
            suffix = PurePath(entry.name).suffix.lower()
            if suffix not in SUFFIXES and not may_be_picture(entry.name, partial(head_of, Path(entry.path))):
                rest[suffix] += 1
            elif kind := irregular(entry):
                leave(Path(entry.path), f"{kind}, not a file")
            else:
                files.append(Path(entry.path))
    if others is not None:
        others.update(rest)
    if not files and left:
        raise DataError(f"{folder} contains no pictures but what is left out, such as {left[0]}")
    if not files:
        kinds, count = f"{', '.join(one.name for one in FORMATS)} or .npy", rest.total()
        found = f"{count} file{'s' if count > 1 else ''}, none of them {kinds}" if count else "no files"
        raise DataError(f"{folder} contains {found}; put pictures there or give another folder")
    return sorted(files)


def list_unpaired(
    folder: Path, kinds: tuple[str, ...] = (), label: str = "", left_out: LeftOut = lambda path, reason: None
) -> Listing:
    """Find sources that have no targets; they are listed as targets of their own.

    Args:
        folder: searched as `list_files` does.
        kinds: the label names of the run; () without labels.
        label: the label of all of them; empty: their sub-folders are the labels, if there are any.
        left_out: see `list_pictures`.

    Raises:
        ConfigError: there is no such label.
        DataError: missing or empty, or the sub-folders are not labels.
    """
    if label and label not in kinds:
        known = f"the labels are {', '.join(kinds)}" if kinds else "this run has no class labels; add --labels"
        raise ConfigError(f"--unpaired-label is {label}, but {known}, or omit it")
    files = list_pictures(folder, left_out)
    if label:
        numbers = (kinds.index(label),) * len(files)
    else:
        try:
            _, numbers = _labels(folder, files, bool(kinds), kinds)
        except DataError as error:
            raise DataError(f"{error}, or give --unpaired-label for all of {folder}") from None
    return Listing("photos", True, (), tuple(files), numbers, kinds)


def present_folders(data: Path, folders: tuple[str, str]) -> tuple[str, str] | None:
    """The names of the source and the target folder in `data`, or None if they do not exist.

    These are `folders`; instead of the default ones also A and B or trainA and trainB.
    """
    candidates = [folders, *OTHERS] if folders == OURS else [folders]
    return next((names for names in candidates if all((data / name).is_dir() for name in names)), None)


def first_three(names: Sequence[object]) -> str:
    """The first three names for a message, with dots if there are more."""
    return ", ".join(str(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def _refuse_no_folder(folder: Path) -> None:
    if not folder.is_dir():
        found = "is a file" if folder.is_file() else "does not exist"
        raise DataError(f"{folder} {found}; give a folder with pictures")


def _choose_layout(
    data: Path, layout: Layout | Literal["auto"], paired: bool, folders: tuple[str, str], makes_source: bool
) -> tuple[Layout, tuple[str, str]]:
    """The layout, with `auto` resolved, and the names of the two folders."""
    if layout == "photos" and not (makes_source and paired):
        raise ConfigError("--layout photos is for tasks that make the source themselves; omit it")
    if layout == "side-by-side" and not paired:
        raise ConfigError("--layout side-by-side is for pairs, which this task does not use; omit it")
    if layout in ("photos", "side-by-side"):
        return layout, folders
    present = present_folders(data, folders)
    if present:
        return "two-folders", present
    if layout == "auto" and makes_source and paired:
        return "photos", folders
    wanted = " and ".join(folders)
    hint = f"put pictures into {data / folders[0]} and {data / folders[1]}, or give other names with --folders"
    if layout == "auto" and paired:
        hint = f"if every file holds a pair, add --layout side-by-side; otherwise {hint}"
    raise DataError(f"{data} does not have the folders {wanted}; {hint}")


def _list_two_folders(
    source: Path,
    target: Path,
    paired: bool,
    labels: bool,
    kinds: tuple[str, ...],
    left_out: LeftOut,
    others: Counter[str],
) -> Listing:
    sources, targets = list_pictures(source, left_out, others), list_pictures(target, left_out, others)
    names, _ = _labels(target, targets, labels, kinds)
    if paired:
        source_names, _ = _labels(source, sources, labels, kinds)
        if source_names != names:
            only = sorted(set(names) ^ set(source_names))
            raise DataError(
                f"the sub-folders of {source} and {target} differ ({first_three(only)}); labels need the same in both"
            )
        sources, targets = _match(source, sources, target, targets)
    _, numbers = _labels(target, targets, labels, kinds)
    return Listing("two-folders", paired, tuple(sources), tuple(targets), numbers, names)


def _match(source: Path, sources: list[Path], target: Path, targets: list[Path]) -> tuple[list[Path], list[Path]]:
    """Both lists in matching order; partners have the same path below their folder except for the suffix."""
    by_source, by_target = by_stem(source, sources), by_stem(target, targets)
    alone = [sorted(by_source.keys() - by_target.keys()), sorted(by_target.keys() - by_source.keys())]
    if alone[0] or alone[1]:
        parts = [
            f"{len(stems)} of {len(files)} in {folder}" + (f" ({first_three(stems)})" if stems else "")
            for stems, files, folder in zip(alone, (sources, targets), (source, target), strict=True)
        ]
        raise DataError(
            f"pictures without a partner: {parts[0]}, {parts[1]}; pairs must have the same name except for the suffix, "
            "rename or remove these"
        )
    stems = sorted(by_source)
    return [by_source[stem] for stem in stems], [by_target[stem] for stem in stems]


def by_stem(folder: Path, files: list[Path]) -> dict[str, Path]:
    """Files by their path below `folder` without the suffix, which pairs have in common.

    Raises:
        DataError: two have the same.
    """
    found = dict[str, Path]()
    for path in files:
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise DataError(
                f"{found[stem]} and {path} differ only in the suffix, so their partner is ambiguous; remove one of them"
            )
        found[stem] = path
    return found


def _labels(
    folder: Path, files: list[Path], wanted: bool, kinds: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Label names (the sub-folders of `folder` with pictures, or the given `kinds`), and the index for each file."""
    if not wanted:
        return (), (0,) * len(files)
    parts = [path.relative_to(folder).parts for path in files]
    given = f"the labels are fixed, so move it into a sub-folder of {folder} named {' or '.join(kinds)}"
    for path, below in zip(files, parts, strict=True):
        if len(below) < 2:
            hint = given if kinds else "move it into one or omit --labels"
            raise DataError(f"{path} is in no sub-folder, so it has no label; {hint}")
        if kinds and below[0] not in kinds:
            raise DataError(f"{path} is in the sub-folder {below[0]}; {given}")
    names = kinds or tuple(sorted({below[0] for below in parts}))
    if len(names) < 2:
        raise DataError(
            f"{folder} has pictures in only one sub-folder ({parts[0][0]}), but --labels needs two; "
            "add another, or omit --labels"
        )
    number = {name: index for index, name in enumerate(names)}
    return names, tuple(number[below[0]] for below in parts)
