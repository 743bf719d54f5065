"""Data layouts: which files exist and which belong together. Needs neither torch nor OpenCV."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from translate.errors import ConfigError, DataError
from translate.files import refuse_unlistable
from translate.pictures.formats import FORMATS, READABLE, head_of, left_out, may_be_picture

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
    """What was found and is not used, one line each."""


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
        data: the folder, searched recursively; hidden files and folders are ignored.
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
    chosen, folders = _choose_layout(data, layout, paired, folders, makes_source)
    others = Counter[str]()
    if chosen == "two-folders":
        listing = _list_two_folders(data / folders[0], data / folders[1], paired, labels, kinds, others)
    else:
        targets = list_pictures(data, others)
        names, numbers = _labels(data, targets, labels, kinds)
        sources = tuple(targets) if chosen == "side-by-side" else ()
        listing = Listing(chosen, True, sources, tuple(targets), numbers, names, source_side)
    return replace(listing, left_out=(left_out(others),) if others else ())


def list_pictures(folder: Path, others: Counter[str] | None = None) -> list[Path]:
    """All pictures and arrays in `folder`, sorted; hidden files and folders are ignored.

    These are the files with one of the SUFFIXES, and those with a missing or unknown suffix that begin as pictures do.

    Args:
        folder: where to search.
        others: counts the other files by suffix (lower case).

    Raises:
        DataError: missing, not a folder, not listable, or without such files.
    """
    _refuse_no_folder(folder)
    hidden, files, rest = 0, list[Path](), Counter[str]()
    for root, below, names in os.walk(folder, onerror=refuse_unlistable):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            if name.startswith("."):
                hidden += 1
            elif path.suffix.lower() in SUFFIXES or may_be_picture(name, partial(head_of, path)):
                files.append(path)
            else:
                rest[path.suffix.lower()] += 1
    if others is not None:
        others.update(rest)
    if not files:
        formats = f"{', '.join(one.name for one in FORMATS)} or .npy"
        count = hidden + rest.total()
        found = f"{count} file{'s' if count > 1 else ''}, none of them {formats}" if count else "no files"
        raise DataError(f"{folder} contains {found}; put pictures there or give another folder with --data")
    return sorted(files)


def present_folders(data: Path, folders: tuple[str, str]) -> tuple[str, str] | None:
    """The names of the source and the target folder in `data`, or None if they do not exist.

    These are `folders`; instead of the default ones also A and B or trainA and trainB.
    """
    candidates = [folders, *OTHERS] if folders == OURS else [folders]
    return next((names for names in candidates if all((data / name).is_dir() for name in names)), None)


def hold_out(listing: Listing, count: int) -> tuple[Listing, Listing]:
    """Split into (training, validation): `count` evenly spaced targets, and `count` sources if unpaired.

    Raises:
        ConfigError: nothing would remain for training.
    """
    sides = [listing.targets] if listing.paired else [listing.sources, listing.targets]
    fewest = min(len(files) for files in sides)
    if count >= fewest:
        raise ConfigError(
            f"--held-out is {count}, but there are only {fewest} pictures and at least one must remain for training; "
            "give a smaller number"
        )
    return _part(listing, count, kept=False), _part(listing, count, kept=True)


def held_out_count(listing: Listing, share: float = 0.05, most: int = 64) -> int:
    """Default number of pictures to hold out: a fraction `share`, 1 to `most`, or 0 of fewer than 8."""
    fewest = len(listing.targets) if listing.paired else min(len(listing.sources), len(listing.targets))
    return 0 if fewest < 8 else min(most, max(1, round(share * fewest)))


def refuse_overlap(train: Listing, validation: Listing) -> None:
    """Refuse validation pictures that are also in the training data, byte for byte, under any name.

    For pairs both files must match, because pairs may share one side, an empty mask for example.

    Raises:
        DataError: with the first three, and their number.
    """
    found = list[Path]()
    for known, asked in zip(_samples(train), _samples(validation), strict=True):
        # Reading every file would take minutes, and most differ in size already.
        sizes = {_per_file(files, _size) for files in known}
        same_size = [files for files in asked if _per_file(files, _size) in sizes]
        if not same_size:
            continue
        asked_sizes = {_per_file(files, _size) for files in same_size}
        digests = {_per_file(files, _digest) for files in known if _per_file(files, _size) in asked_sizes}
        found += [files[-1] for files in same_size if _per_file(files, _digest) in digests]
    if found:
        raise DataError(
            f"{len(found)} validation pictures are also in the training data ({_first_three(found)}); "
            "remove them from one of the two, otherwise quality is measured on training data"
        )


def _samples(listing: Listing) -> list[list[tuple[Path, ...]]]:
    """The units to compare: pairs of files, or the files of each side."""
    targets = [(path,) for path in listing.targets]
    if not listing.paired:
        return [[(path,) for path in listing.sources], targets]
    if listing.layout == "two-folders":
        return [list(zip(listing.sources, listing.targets, strict=True))]
    return [targets]


def _per_file(files: tuple[Path, ...], measure: Callable[[Path], str]) -> tuple[str, ...]:
    return tuple(measure(path) for path in files)


def _size(path: Path) -> str:
    try:
        return str(path.stat().st_size)
    except OSError:
        return str(path)  # different from all other files; the stream reports it


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return str(path)


def _first_three(names: Sequence[object]) -> str:
    return ", ".join(str(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def _part(listing: Listing, count: int, kept: bool) -> Listing:
    """The held-out part (`kept`), or the training part."""

    def chosen(length: int) -> list[int]:
        held = {(2 * number + 1) * length // (2 * count) for number in range(count)}
        return [index for index in range(length) if (index in held) == kept]

    targets = chosen(len(listing.targets))
    # Aligned with the targets or empty, unless unpaired.
    sources = chosen(len(listing.sources)) if listing.sources else []
    return replace(
        listing,
        sources=tuple(listing.sources[index] for index in sources),
        targets=tuple(listing.targets[index] for index in targets),
        labels=tuple(listing.labels[index] for index in targets),
    )


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
    source: Path, target: Path, paired: bool, labels: bool, kinds: tuple[str, ...], others: Counter[str]
) -> Listing:
    sources, targets = list_pictures(source, others), list_pictures(target, others)
    names, _ = _labels(target, targets, labels, kinds)
    if paired:
        source_names, _ = _labels(source, sources, labels, kinds)
        if source_names != names:
            only = sorted(set(names) ^ set(source_names))
            raise DataError(
                f"the sub-folders of {source} and {target} differ ({_first_three(only)}); labels need the same in both"
            )
        sources, targets = _match(source, sources, target, targets)
    _, numbers = _labels(target, targets, labels, kinds)
    return Listing("two-folders", paired, tuple(sources), tuple(targets), numbers, names)


def _match(source: Path, sources: list[Path], target: Path, targets: list[Path]) -> tuple[list[Path], list[Path]]:
    """Both lists in matching order; partners have the same path below their folder except for the suffix."""
    by_source, by_target = _by_stem(source, sources), _by_stem(target, targets)
    alone = [sorted(by_source.keys() - by_target.keys()), sorted(by_target.keys() - by_source.keys())]
    if alone[0] or alone[1]:
        parts = [
            f"{len(stems)} of {len(files)} in {folder}" + (f" ({_first_three(stems)})" if stems else "")
            for stems, files, folder in zip(alone, (sources, targets), (source, target), strict=True)
        ]
        raise DataError(
            f"pictures without a partner: {parts[0]}, {parts[1]}; pairs must have the same name except for the suffix, "
            "rename or remove these"
        )
    stems = sorted(by_source)
    return [by_source[stem] for stem in stems], [by_target[stem] for stem in stems]


def _by_stem(folder: Path, files: list[Path]) -> dict[str, Path]:
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
