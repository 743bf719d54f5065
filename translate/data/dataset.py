"""Listed files -> an endless, seeded, resumable stream of training samples.

Sample n of a run (its position) is fully determined by the seed and n: the files, the crop and the augmentation. So the
stream has no state to save: resuming at sample n means starting at position n, and neither the batch size nor the
number of loader processes or GPUs changes the samples.

Shape suffixes: B batch, H height, W width, C channels.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from translate.data.cache import Cache
from translate.data.framing import Framing, check_size, frame, frame_plain
from translate.data.layouts import MIN_SIDE, Listing
from translate.data.reading import PixelFormat, Pixels, read_pixels
from translate.errors import DataError, ImageError

SOURCE, TARGET = 0, 1


class Item(NamedTuple):
    """One sample: (H, W, C) of integers, uint8 for formats with 8 bits and int32 for those with 16."""

    source_HWC: Tensor | None
    """None if the source is made from the target."""
    target_HWC: Tensor
    label: int
    """Class label of the target."""
    rejected: tuple[str, ...]
    """One line for each file that could not be used and was replaced by another."""
    unpaired: tuple[Tensor, int] | None = None
    """A source without a target, (H, W, C), and its class label; None beside most samples."""


class RawUnpaired(NamedTuple):
    """Sources without targets that accompany a batch; U of them."""

    source_UHWC: Tensor
    label_U: Tensor
    """int64."""


class RawBatch(NamedTuple):
    """Output of the loader: (B, H, W, C) of integers, uint8 or int32 (torch's uint16 lacks operations)."""

    source_BHWC: Tensor | None
    target_BHWC: Tensor
    label_B: Tensor
    """int64."""
    rejected: tuple[str, ...]
    unpaired: RawUnpaired | None = None


@dataclass(frozen=True)
class UnpairedSources:
    """Sources without targets, some of which accompany the samples of a `PictureDataset`.

    Which ones follows from the position of the sample, too, so batches of equal size get equally many, give or take
    one.
    """

    pictures: "PictureDataset"
    """The sources, listed as targets."""
    share: float
    """Number of them for each sample, 0 to 1."""

    def at(self, position: int) -> Item | None:
        """The source that accompanies the sample at `position`, as target of the item, or None."""
        before, now = (math.floor(place * self.share) for place in (position, position + 1))
        return self.pictures[before] if now > before else None


class PictureDataset(Dataset[Item]):
    """Training samples by position in the endless stream.

    Args:
        listing: the files.
        framing: how they become square samples.
        formats: channels and bits of source and target.
        seed: for order and augmentation.
        cache: of decoded images, one for both sides or one each (see `open_caches`).
        unpaired: sources without targets that accompany the samples.
        prepare: applied to every picture that is read, before the framing; not for cached ones.

    Raises:
        DataError: none of the first few files of one side is usable.
    """

    def __init__(
        self,
        listing: Listing,
        framing: Framing,
        formats: tuple[PixelFormat, PixelFormat],
        seed: int,
        cache: Cache | tuple[Cache, Cache] | None = None,
        unpaired: UnpairedSources | None = None,
        prepare: Callable[[Pixels], Pixels] | None = None,
    ):
        self.listing, self.framing, self.formats, self.seed = listing, framing, formats, seed
        self.unpaired, self._prepare = unpaired, prepare
        self._caches = cache if isinstance(cache, tuple) else (cache, cache)
        self._files = (listing.sources, listing.targets)
        # Sides that share an index. The targets come last, and only they have labels.
        if not listing.sources:
            self._draws = ((TARGET,),)
        else:
            self._draws = ((SOURCE, TARGET),) if listing.paired else ((SOURCE,), (TARGET,))
        self._check_some()

    def __len__(self) -> int:
        """Number of targets."""
        return len(self.listing.targets)

    def __getitem__(self, position: int) -> Item:
        rejected: list[str] = []
        squares: list[Pixels] = []
        index = 0
        for sides in self._draws:
            # Unpaired sources have their own order and augmentation.
            stream = () if TARGET in sides else (1,)
            index, pictures = self._usable(sides, position, stream, rejected)
            entropy = np.random.SeedSequence((self.seed, position, *stream))
            squares += frame(self.framing, pictures, int(entropy.generate_state(1)[0]))
        *source, target_HWC = [_to_tensor(square_HWC) for square_HWC in squares]
        item = Item(source[0] if source else None, target_HWC, self.listing.labels[index], tuple(rejected))
        extra = None if self.unpaired is None else self.unpaired.at(position)
        if extra is None:
            return item
        return item._replace(unpaired=(extra.target_HWC, extra.label), rejected=item.rejected + extra.rejected)

    def plain(self, count: int) -> RawBatch:
        """`count` samples, or all if there are fewer, evenly spread over the listing and not augmented.

        Unpaired sources are spread over their own side. Unusable samples are skipped.

        Raises:
            DataError: none can be used.
        """
        rejected: list[str] = []
        found: list[list[tuple[int, list[Tensor]]]] = []
        for sides in self._draws:
            tried = _spread(len(self._files[sides[-1]]), count)
            usable: list[tuple[int, list[Tensor]]] = []
            for index in tried:
                try:
                    squares = frame_plain(self.framing, self._load(sides, index))
                except ImageError as error:
                    rejected.append(str(error))
                    continue
                usable.append((index, [_to_tensor(square_HWC) for square_HWC in squares]))
            if not usable:
                raise self._nothing(sides, f"none of the {len(tried)} pictures tried can be used", rejected)
            found.append(usable)
        items: list[Item] = []
        for draws in zip(*found, strict=False):  # unpaired sides may have different numbers of usable files
            *source, target_HWC = [square_HWC for _, squares in draws for square_HWC in squares]
            items.append(Item(source[0] if source else None, target_HWC, self.listing.labels[draws[-1][0]], ()))
        return collate(items)._replace(rejected=tuple(rejected))

    def _check_some(self) -> None:
        """Fail before training starts if the first few files tried are all unusable."""
        for sides in self._draws:
            tried = _spread(len(self._files[sides[-1]]), 16)
            reasons: list[str] = []
            for index in tried:
                try:
                    self._load(sides, index)
                    break
                except ImageError as error:
                    reasons.append(str(error))
            else:
                raise self._nothing(sides, f"none of the {len(tried)} pictures tried can be used", reasons)

    def _usable(
        self, sides: Sequence[int], position: int, stream: tuple[int, ...], rejected: list[str]
    ) -> tuple[int, list[Pixels]]:
        """Index and images at `position`, or the next usable ones: a bad file must not end a run."""
        count = len(self._files[sides[-1]])
        epoch, place = divmod(position, count)
        order = _order((self.seed, epoch, *stream), count)
        before = len(rejected)
        for step in range(count):
            index = int(order[(place + step) % count])
            try:
                return index, self._load(sides, index)
            except ImageError as error:
                rejected.append(str(error))
        raise self._nothing(sides, f"none of the {count} pictures can be used", rejected[before:])

    def _load(self, sides: Sequence[int], index: int) -> list[Pixels]:
        """The images of `sides` with this index, of equal and sufficient size."""
        if self.listing.layout == "side-by-side":
            return self._load_halves(index)
        paths = [self._files[side][index] for side in sides]
        found = [self._read(side, path) for side, path in zip(sides, paths, strict=True)]
        sizes = [size for _, size in found]
        if sizes[0] != sizes[-1]:
            (height, width), (target_height, target_width) = sizes
            raise ImageError(
                f"{paths[0]} is {width}x{height} pixels and its partner {paths[1]} is {target_width}x{target_height}; "
                "a pair must have the same size, replace one of them"
            )
        for path, (height, width) in zip(paths, sizes, strict=True):
            check_size(self.framing, path, height, width)
        return [picture_HWC for picture_HWC, _ in found]

    def _load_halves(self, index: int) -> list[Pixels]:
        path = self.listing.targets[index]
        sides = {format: side for side, format in enumerate(self.formats)}  # decoded once if the formats are equal
        found = {format: self._read(side, path) for format, side in sides.items()}
        height, width = found[self.formats[TARGET]][1]
        if width % 2 or width < 2 * MIN_SIDE:
            raise ImageError(
                f"{path} is {width}x{height} pixels; two pictures side by side need an even width "
                f"of at least {2 * MIN_SIDE}; replace or remove it"
            )
        check_size(self.framing, path, height, width // 2)
        halves: list[Pixels] = []
        for side, format in enumerate(self.formats):
            whole_HWC = found[format][0]
            middle = whole_HWC.shape[1] // 2
            on_the_left = (side == SOURCE) == (self.listing.source_side == "left")
            halves.append(whole_HWC[:, :middle] if on_the_left else whole_HWC[:, middle:])
        return halves

    def _read(self, side: int, path: Path) -> tuple[Pixels, tuple[int, int]]:
        """Pixels, and (height, width) of the file; cached pixels may be fewer."""
        cache = self._caches[side]
        if cache is not None:
            assert cache.format == self.formats[side]
            return cache.read(path), cache.original_size(path)
        picture_HWC = read_pixels(path, self.formats[side])
        if self._prepare is not None:
            picture_HWC = self._prepare(picture_HWC)
        return picture_HWC, picture_HWC.shape[:2]

    def _nothing(self, sides: Sequence[int], found: str, reasons: list[str]) -> DataError:
        folder = os.path.commonpath([path.parent for path in self._files[sides[-1]]])
        return DataError(f"{folder}: {found}; the first one: {reasons[0]}")


def open_caches(
    folder: Path,
    listing: Listing,
    framing: Framing,
    formats: tuple[PixelFormat, PixelFormat],
    progress: Callable[[int, int], None],
) -> tuple[Cache, Cache]:
    """The caches of both sides for `PictureDataset`; the same one if the formats are equal.

    `progress` is called with (images done, images in total), and restarts for the second side.

    Raises:
        DataError: the cache cannot be written.
    """
    halves = listing.layout == "side-by-side"
    sources, targets = (listing.sources or listing.targets), listing.targets
    if formats[SOURCE] == formats[TARGET] or not listing.sources:
        both = Cache.open(
            folder, dict.fromkeys((*sources, *targets)), formats[TARGET], framing, progress, halves=halves
        )
        return both, both
    return (
        Cache.open(folder, sources, formats[SOURCE], framing, progress, halves=halves),
        Cache.open(folder, targets, formats[TARGET], framing, progress, halves=halves),
    )


@lru_cache(maxsize=4)
def _order(entropy: tuple[int, ...], count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The order of the files in one epoch."""
    return np.random.default_rng(entropy).permutation(count)


def _spread(length: int, count: int) -> list[int]:
    """`count` indices, or all if there are fewer, evenly spaced from the first to the last."""
    return [int(index) for index in np.linspace(0, length - 1, min(count, length)).round()]


def _to_tensor(square_HWC: Pixels) -> Tensor:
    # An image that was neither cropped nor flipped is read-only memory of Pillow, which torch must not use.
    kind = np.uint8 if square_HWC.dtype == np.uint8 else np.int32
    return torch.from_numpy(np.require(square_HWC, kind, "W"))


def collate(items: list[Item]) -> RawBatch:
    """Samples -> a batch."""
    sources = [item.source_HWC for item in items if item.source_HWC is not None]
    return RawBatch(
        torch.stack(sources) if sources else None,
        torch.stack([item.target_HWC for item in items]),
        torch.tensor([item.label for item in items], dtype=torch.int64),
        tuple(line for item in items for line in item.rejected),
        _collate_unpaired([item.unpaired for item in items if item.unpaired is not None]),
    )


def _collate_unpaired(found: list[tuple[Tensor, int]]) -> RawUnpaired | None:
    if not found:
        return None
    sources, labels = zip(*found, strict=True)
    return RawUnpaired(torch.stack(sources), torch.tensor(labels, dtype=torch.int64))
