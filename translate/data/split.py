"""Which pictures are held out for measuring. Needs no torch."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from translate.data.layouts import Listing, first_three
from translate.errors import ConfigError, DataError
from translate.files import sha256_of

SHARE = 0.05
"""Share of the pictures that is held out by default."""

MOST = 64
"""Maximum number of pictures that are held out by default, but for copies."""

LEAST = 8
"""Of fewer pictures none is held out by default."""

_ENDS = (1 << 12, 1 << 14)
"""Bytes from the middle and from the end of a file by which it is recognised."""

_READERS = 8
"""Files that are read at the same time; disks and networks serve several sooner than one after the other."""


def hold_out(listing: Listing, count: int | None = None) -> tuple[Listing, Listing]:
    """Split into (training, validation) by what the files contain.

    Each sample (a picture, or a pair) has a number that follows from the bytes of its files, and those with the lowest
    numbers are held out. So copies are on one side; and however many pictures are added later, none that was learnt
    from is held out, for lower numbers only take the place of others. The exceptions follow from how many there were:
    none are held out of fewer than `LEAST`, nor copies that make up more than half.

    Args:
        listing: the files.
        count: how many targets to hold out, and how many sources if unpaired; of copies there may be more. None: those
            whose number is in the lowest `SHARE`, but at least one and at most `MOST`, and none of fewer than `LEAST`.

    Raises:
        ConfigError: nothing would remain for training.
    """
    sides = samples(listing)
    fewest = min(map(len, sides))
    if count is not None:
        _refuse_too_many(count, fewest)
    if count == 0 or (count is None and fewest < LEAST):
        return hold_out_spaced(listing, 0)
    held = [_lowest(files, count) for files in sides]
    return _part(listing, held, kept=False), _part(listing, held, kept=True)


def hold_out_spaced(listing: Listing, count: int) -> tuple[Listing, Listing]:
    """Split into (training, validation): `count` evenly spaced targets, and `count` sources if unpaired.

    For runs that were started before `hold_out` went by content, which have to keep their pictures.

    Raises:
        ConfigError: nothing would remain for training.
    """
    lengths = [len(side) for side in samples(listing)]
    _refuse_too_many(count, min(lengths))
    held = [{(2 * number + 1) * length // (2 * count) for number in range(count)} for length in lengths]
    return _part(listing, held, kept=False), _part(listing, held, kept=True)


def spaced_count(listing: Listing) -> int:
    """Default number of pictures for `hold_out_spaced`."""
    fewest = min(map(len, samples(listing)))
    return 0 if fewest < LEAST else min(MOST, max(1, round(SHARE * fewest)))


def refuse_overlap(train: Listing, validation: Listing) -> None:
    """Refuse validation pictures that are also in the training data, byte for byte, under any name.

    For pairs both files must match, because pairs may share one side, an empty mask for example.

    Raises:
        DataError: with the first three, and their number.
    """
    found = list[Path]()
    for known, asked in zip(samples(train), samples(validation), strict=True):
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
            f"{len(found)} validation pictures are also in the training data ({first_three(found)}); "
            "remove them from one of the two, otherwise quality is measured on training data"
        )


def samples(listing: Listing) -> list[list[tuple[Path, ...]]]:
    """What belongs together: pairs of files, or the files of each side."""
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
        return sha256_of(path)
    except OSError:
        return str(path)


def _refuse_too_many(count: int, fewest: int) -> None:
    if count >= fewest:
        raise ConfigError(
            f"--held-out is {count}, but there are only {fewest} pictures and at least one must remain for training; "
            "give a smaller number"
        )


def _lowest(side: list[tuple[Path, ...]], count: int | None) -> set[int]:
    """Indices of the samples to hold out, see `hold_out`."""
    copies: dict[str, list[int]] = defaultdict(list)
    with ThreadPoolExecutor(_READERS) as pool:
        for index, number in enumerate(pool.map(_number, side, chunksize=64)):
            copies[number].append(index)
    ordered = sorted(copies)
    if count is None:
        # What makes up most of the pictures, an empty mask for example, has to be learnt.
        ordered = [number for number in ordered if 2 * len(copies[number]) <= len(side)]
        ordered = [number for number in ordered if int(number[:8], 16) < SHARE * 2**32] or ordered[:1]
    held: set[int] = set()
    for number in ordered:
        if len(held) >= (MOST if count is None else count):
            break
        held.update(copies[number])
    if len(held) == len(side):
        raise ConfigError(
            f"--held-out is {count}, but with their copies these are all {len(side)} pictures; give a smaller number, "
            "or remove copies"
        )
    return held


def _number(files: tuple[Path, ...]) -> str:
    """A number that follows from what the files contain, hexadecimal."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(_fingerprint(path))
    return digest.hexdigest()


def _fingerprint(path: Path) -> bytes:
    """The size of a file, and some of its bytes: equal for copies, and reading a million whole files takes hours."""
    middle, end = _ENDS
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - end))
            found = file.read(end)
            file.seek(max(0, size // 2 - middle))
            return hashlib.sha256(f"{size} ".encode() + file.read(middle) + found).digest()
    except OSError:
        return path.name.encode("utf-8", "surrogatepass")  # the stream reports it


def _part(listing: Listing, held: list[set[int]], kept: bool) -> Listing:
    """The held-out part (`kept`), or the training part; `held`: the indices of each side."""

    def chosen(length: int, held: set[int]) -> list[int]:
        return [index for index in range(length) if (index in held) == kept]

    targets = chosen(len(listing.targets), held[-1])
    # Aligned with the targets or empty, unless unpaired.
    sources = chosen(len(listing.sources), held[0]) if listing.sources else []
    return replace(
        listing,
        sources=tuple(listing.sources[index] for index in sources),
        targets=tuple(listing.targets[index] for index in targets),
        labels=tuple(listing.labels[index] for index in targets),
    )
