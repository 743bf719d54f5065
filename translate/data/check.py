"""Checks of a data folder before training. Needs no torch.

Shape suffixes: H height, W width, C channels, D values per thumbnail.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from translate.data.layouts import MIN_SIDE, OURS, Layout, Listing, Side, list_files, present_folders
from translate.data.reading import PixelFormat, Pixels, read_with_notes
from translate.data.thumbnails import looks_drawn, near_duplicates, thumbnail
from translate.errors import DataError, ImageError, TranslateError
from translate.machine import cores
from translate.tasks import Task

NAMED = 20
"""Maximum number of files listed in a finding."""

SPLITS = ("val", "test")
"""Folders beside `train` whose pictures must not be used for training."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a folder is checked for; the options of `translate train` with the same names."""

    task: Task
    layout: Layout | Literal["auto"] = "auto"
    folders: tuple[str, str] = OURS
    labels: bool = False
    source_side: Side = "left"
    formats: tuple[PixelFormat, PixelFormat] = (PixelFormat(), PixelFormat())


@dataclass(frozen=True)
class Finding:
    """A problem in the data."""

    kind: str
    text: str
    """One line that ends with what to do."""
    names: tuple[str, ...] = ()
    """The files, at most `NAMED`."""
    count: int = 0
    """Total number of files."""


@dataclass(frozen=True)
class Seen:
    """A file that was decoded successfully."""

    path: Path
    height: int
    width: int
    """Of one half, for a side-by-side file."""
    digest: bytes
    """Hash of the pixels."""
    thumbnail_D: Pixels
    """uint8: 24 x 24 grey and 8 x 8 colour values, for each half."""
    odd: bool
    """A side-by-side file of odd width."""
    notes: tuple[str, ...] = ()
    """What was left out while reading, a few words each."""


@dataclass(frozen=True)
class Split:
    """The pictures of one folder, all decoded."""

    name: str
    """train, val, test, or empty for a single folder."""
    folder: Path
    listing: Listing
    side_names: tuple[str, ...]
    seen: dict[Path, Seen]
    broken: dict[Path, str]
    """The reason why each file cannot be read."""
    findings: list[Finding] = field(default_factory=list[Finding])
    """About files without a partner."""

    @property
    def sides(self) -> dict[str, tuple[Path, ...]]:
        """Files by role."""
        listing = self.listing
        if listing.layout == "two-folders":
            return dict(zip(self.side_names, (listing.sources, listing.targets), strict=True))
        return {"pictures" if listing.layout == "photos" else "pairs": listing.targets}

    def samples(self) -> dict[str, list[tuple[Seen, ...]]]:
        """The training samples: the readable pictures of each side, or complete pairs."""
        rows = {name: [(path,) for path in files] for name, files in self.sides.items()}
        if self.listing.layout == "two-folders" and self.listing.paired:
            rows = {"pairs": list(zip(self.listing.sources, self.listing.targets, strict=True))}
        return {
            name: [tuple(self.seen[path] for path in files) for files in entries if all(f in self.seen for f in files)]
            for name, entries in rows.items()
        }

    def show(self, files: Iterable[Path]) -> str:
        """Names relative to the folder, or to its parent if there are several splits."""
        start = self.folder.parent if self.name else self.folder
        return " = ".join(path.relative_to(start).as_posix() for path in files)


def least_side(task: Task) -> int:
    """Pictures with a shorter side, in pixels, are skipped in training: a patch is cropped, never enlarged."""
    return task.image_size if task.framing == "patch" else MIN_SIDE


def find_splits(data: Path, validation: Path | None) -> dict[str, Path]:
    """Folders to compare with each other, by name; `train` is the first. The name of a single folder is empty."""
    if validation is not None:
        return {"train": data, "val": validation}
    others = {name: data / name for name in SPLITS if (data / name).is_dir()}
    return {"train": data / "train", **others} if others and (data / "train").is_dir() else {"": data}


def look(name: str, folder: Path, question: Question, on_progress: Callable[[int, int], object]) -> Split:
    """List and decode the pictures of `folder`; `on_progress` is called with (done, total).

    Raises:
        DataError: there are no pictures.
        ConfigError: the layout does not suit the task.
    """
    listing, findings = _list(folder, question)
    files = dict.fromkeys(listing.sources, question.formats[0]) | dict.fromkeys(listing.targets, question.formats[1])
    halves = listing.layout == "side-by-side"
    seen, broken = dict[Path, Seen](), dict[Path, str]()
    # Decoding releases the GIL, so threads use all cores.
    with ThreadPoolExecutor(cores()) as pool:
        try:
            for path, found in zip(files, pool.map(lambda path: _see(path, files[path], halves), files), strict=True):
                if isinstance(found, Seen):
                    seen[path] = found
                else:
                    broken[path] = found.removeprefix(f"{path}: ")
                on_progress(len(seen) + len(broken), len(files))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return Split(name, folder, listing, _side_names(folder, question), seen, broken, findings)


def find_faults(splits: Sequence[Split], task: Task) -> list[Finding]:
    """All problems in each split, and between the first and each of the others."""
    found = list[Finding]()
    for split in splits:
        found += split.findings + _unreadable(split) + _wrong_sizes(split, task) + _duplicates(split)
        found += _drawings(split) if task.draws_input and task.source_maker and split.listing.layout == "photos" else []
    for other in splits[1:]:
        found += _between(splits[0], other)
    return found


def facts(split: Split, task: Task) -> dict[str, Any]:
    """Counts and sizes, as JSON values. Sizes are (width, height), of one half for side-by-side files."""
    listing = split.listing
    sizes = {
        name: _size_table([split.seen[path] for path in files if path in split.seen], task.image_size)
        for name, files in split.sides.items()
    }
    counts = {name: len(files) for name, files in split.sides.items()}
    labels = Counter(listing.label_names[number] for number in listing.labels) if listing.label_names else {}
    return {
        "split": split.name,
        "folder": str(split.folder),
        "layout": listing.layout,
        "paired": listing.paired,
        "left_out": listing.left_out,
        "notes": _notes(split),
        "counts": {"pairs": len(listing.targets)} if listing.layout != "photos" and listing.paired else counts,
        "labels": dict(labels),
        "sizes": sizes,
    }


def _notes(split: Split) -> list[str]:
    """What was left out while reading, with the number of files and the first of them."""
    files: dict[str, list[Path]] = defaultdict(list)
    for seen in split.seen.values():
        for note in seen.notes:
            files[note].append(seen.path)
    return [
        f"{split.show(paths[:1])}: {note}" + (f" (and {len(paths) - 1} more)" if len(paths) > 1 else "")
        for note, paths in files.items()
    ]


def _list(folder: Path, question: Question) -> tuple[Listing, list[Finding]]:
    """The files (of pairs in two folders those with a partner), and a finding about the others."""

    def listed(paired: bool) -> Listing:
        return list_files(
            folder,
            layout=question.layout,
            paired=paired,
            folders=question.folders,
            makes_source=question.task.makes_source,
            labels=question.labels,
            source_side=question.source_side,
        )

    try:
        return listed(question.task.paired), []
    except DataError as error:
        if not question.task.paired:
            raise
        try:
            loose = listed(paired=False)
        except TranslateError:  # the problem is not missing partners
            raise error from None
        reason = str(error)
    names = _side_names(folder, question)
    by_stem = [
        {path.relative_to(folder / name).with_suffix("").as_posix(): path for path in files}
        for name, files in zip(names, (loose.sources, loose.targets), strict=True)
    ]
    matched = sorted(by_stem[0].keys() & by_stem[1].keys())
    alone = [
        f"{name}/{stem}"
        for name, stems, others in zip(names, by_stem, reversed(by_stem), strict=True)
        for stem in sorted(stems.keys() - others.keys())
    ]
    sources, targets = (tuple(stems[stem] for stem in matched) for stems in by_stem)
    label_of = dict(zip(loose.targets, loose.labels, strict=True))
    labels = tuple(label_of[path] for path in targets)
    listing = Listing("two-folders", True, sources, targets, labels, loose.label_names)
    return listing, [Finding("unmatched", reason, tuple(alone[:NAMED]), len(alone))]


def _side_names(folder: Path, question: Question) -> tuple[str, str]:
    """The names of the two folders that `list_files` uses."""
    return present_folders(folder, question.folders) or question.folders


def _see(path: Path, format: PixelFormat, halves: bool) -> Seen | str:
    """Decode a file; returns the reason if it cannot be read."""
    try:
        image_HWC, notes = read_with_notes(path, format)
    except ImageError as error:
        return str(error)
    height, width = image_HWC.shape[:2]
    digest = hashlib.blake2b(f"{image_HWC.shape}".encode() + image_HWC.tobytes(), digest_size=16).digest()
    middle = width // 2
    sides = [image_HWC[:, :middle], image_HWC[:, middle:]] if halves and middle else [image_HWC]
    thumbnail_D = np.concatenate([thumbnail(side_HWC) for side_HWC in sides])
    return Seen(path, height, middle if halves else width, digest, thumbnail_D, halves and width % 2 == 1, notes)


def _size_table(pictures: list[Seen], square: int) -> dict[str, Any]:
    if not pictures:
        return {"pictures": 0}
    ordered = sorted(((seen.width, seen.height) for seen in pictures), key=lambda size: (size[0] * size[1], size))
    return {
        "pictures": len(ordered),
        "smallest": ordered[0],
        "median": ordered[len(ordered) // 2],
        "largest": ordered[-1],
        "below_square": sum(min(size) < square for size in ordered),
    }


def _finding(kind: str, split: Split, text: str, names: Sequence[str]) -> list[Finding]:
    """A finding about these files, or none if there are no files."""
    where = f"{split.name}: " if split.name else ""
    return [Finding(kind, f"{where}{len(names)} {text}", tuple(names[:NAMED]), len(names))] if names else []


def _unreadable(split: Split) -> list[Finding]:
    names = [f"{split.show([path])}: {reason}" for path, reason in split.broken.items()]
    text = "files that cannot be read and will be skipped in training; replace or remove them"
    return _finding("broken", split, text, names)


def _wrong_sizes(split: Split, task: Task) -> list[Finding]:
    least = least_side(task)
    small = [seen for seen in split.seen.values() if min(seen.width, seen.height) < least]
    odd = [seen.path for seen in split.seen.values() if seen.odd]
    unequal = [
        f"{split.show(seen.path for seen in pair)} ({', '.join(f'{seen.width}x{seen.height}' for seen in pair)})"
        for pair in split.samples().get("pairs", ())
        if len({(seen.height, seen.width) for seen in pair}) > 1
    ]
    cut = f"with a side below {least} pixels, which will be skipped in training; replace them with larger ones"
    if least > MIN_SIDE:
        cut += " or train with a smaller --image-size"
    small_names = [f"{split.show([seen.path])} ({seen.width}x{seen.height})" for seen in small]
    differ = "pairs of pictures of different size, which will be skipped in training; replace one of each pair"
    uneven = "files of odd width, which cannot be split into halves; crop or replace them"
    return [
        *_finding("small", split, f"pictures {cut}", small_names),
        *_finding("sizes", split, differ, unequal),
        *_finding("sizes", split, uneven, [split.show([path]) for path in odd]),
    ]


def _drawings(split: Split) -> list[Finding]:
    """Sub-folders of drawings, which would be used as photographs. Single pale pictures are not reported."""
    by_folder: dict[Path, list[Seen]] = defaultdict(list)
    for seen in split.seen.values():
        by_folder[seen.path.parent].append(seen)
    names = list[str]()
    for pictures in by_folder.values():
        drawn = [seen for seen in pictures if looks_drawn(seen.thumbnail_D)]
        if len(drawn) >= 0.9 * len(pictures):
            names += [split.show([seen.path]) for seen in drawn]
    text = (
        "pictures that look like line drawings, but this task makes drawings from photographs itself; give the folder "
        "with the photographs only, or use pairs with --layout two-folders --folders DRAWINGS PHOTOGRAPHS"
    )
    return _finding("drawings", split, text, names)


def _duplicates(split: Split) -> list[Finding]:
    """Samples with the same pixels; for pairs both sides must be the same."""
    names = list[str]()
    for samples in split.samples().values():
        equal: dict[tuple[bytes, ...], list[Path]] = defaultdict(list)
        for sample in samples:
            equal[tuple(seen.digest for seen in sample)].append(sample[-1].path)
        names += [split.show(paths) for paths in equal.values() if len(paths) > 1]
    text = "pictures that occur more than once, and so count more than others in training; keep one of each"
    return _finding("duplicates", split, text, names)


def _between(train: Split, other: Split) -> list[Finding]:
    """Problems between the training split and another one."""
    if (train.listing.layout, train.listing.label_names) != (other.listing.layout, other.listing.label_names):
        layouts = [
            f"{split.name} is {split.listing.layout} with the labels {', '.join(split.listing.label_names) or 'none'}"
            for split in (train, other)
        ]
        return [Finding("splits", f"{' and '.join(layouts)}; use the same layout and labels for both folders")]
    names, copies = list[str](), list[str]()
    for known, asked in zip(train.samples().values(), other.samples().values(), strict=True):
        originals = {tuple(seen.digest for seen in sample): sample[-1].path for sample in reversed(known)}
        found = [originals.get(tuple(seen.digest for seen in sample)) for sample in asked]
        copies += [
            f"{other.show([sample[-1].path])} = {train.show([original])}"
            for sample, original in zip(asked, found, strict=True)
            if original
        ]
        asked = [sample for sample, original in zip(asked, found, strict=True) if original is None]
        if known and asked:
            tables = [
                np.stack([np.concatenate([seen.thumbnail_D for seen in sample]) for sample in samples])
                for samples in (known, asked)
            ]
            names += [
                f"{other.show([asked[row][-1].path])} ~ {train.show([known[nearest][-1].path])} ({distance:.1f} of 255)"
                for row, nearest, distance in near_duplicates(*tables)
            ]
    text = (
        f"pictures with near-duplicates in {train.name}, so quality would be measured on training data; look at them, "
        f"then remove them from {train.name} or {other.name}"
    )
    equal = (
        f"copies of pictures in {train.name}, so quality would be measured on training data; remove them from "
        f"{train.name} or {other.name}"
    )
    return [*_finding("copies", other, equal, copies), *_finding("near-duplicates", other, text, names)]
