"""From the data folder and the settings of a run to batches on the device.

Shape suffixes: B batch, C channels, H height, W width.
"""

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Generator, Tensor

from translate.data.cache import Cache
from translate.data.dataset import PictureDataset, RawBatch, RawUnpaired, UnpairedSources, open_caches
from translate.data.framing import Framing
from translate.data.layouts import Listing, list_files, list_unpaired
from translate.data.split import hold_out, hold_out_spaced, refuse_overlap, spaced_count
from translate.errors import ConfigError, DataError, one_line
from translate.inference.placement import framed, typical_share
from translate.networks.pixels import pixels_to_signal
from translate.networks.precision import full_precision
from translate.pictures.picture import to_bits
from translate.tasks import Task
from translate.tasks.base import load_object
from translate.trainers.base import Batch, SourceMaker, Trainer, Unpaired
from translate.trainers.config import TrainConfig

SOURCES = 1
"""Distinguishes the seeds of synthetic sources."""

UNPAIRED = 2
"""Distinguishes the seeds of unpaired sources."""

FRAMED = 32
"""Number of training images that say how large things are in them."""

MAX_HELD_OUT = 64
"""Maximum number of validation images, evenly spread over a larger --val folder."""

SPLIT = "content"
"""How pictures are held out by new runs, see `translate.data.split.hold_out`."""

NO_SPLIT = "none"
"""The same for runs that began with too few pictures to hold any out: all are learnt from, also when there are more."""


@dataclass(frozen=True)
class Listings:
    """The files for training and for validation."""

    train: Listing
    held_out: Listing
    unpaired: Listing | None = None
    """Sources without targets, listed as targets."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """What was found and is not used, one line each."""
        unpaired = self.unpaired.left_out if self.unpaired else ()
        return tuple(dict.fromkeys((*self.train.left_out, *self.held_out.left_out, *unpaired)))

    @property
    def digest(self) -> str:
        """Equal for equal file names in both parts, independent of the location of the folder."""
        digest = hashlib.sha256()
        for listing in (self.train, self.held_out):
            files = [*listing.sources, *listing.targets]
            top = os.path.commonpath([path.parent for path in files]) if files else ""
            text = "\n".join(path.relative_to(top).as_posix() for path in files)
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")  # names need not be text
        return digest.hexdigest()


@dataclass(frozen=True)
class TrainingData:
    """The training stream and the held-out images."""

    stream: PictureDataset
    held_out: RawBatch | None
    """Not augmented; None if there are too few images to hold any out."""
    make_source: SourceMaker | None
    """None if the data contains the sources."""
    config: TrainConfig

    @property
    def held_out_count(self) -> int:
        """Number of held-out images."""
        return 0 if self.held_out is None else len(self.held_out.target_BHWC)

    def samples(self, count: int) -> RawBatch:
        """A few fixed samples, held-out ones if there are any."""
        if self.held_out is None:
            return self.stream.plain(count)
        # Evenly spread, because with class labels the first few are all of the first class.
        last = len(self.held_out.target_BHWC) - 1
        return _select(self.held_out, torch.linspace(0, last, min(count, last + 1)).round().long())

    def batch(
        self, raw: RawBatch, seed: tuple[int, ...], device: torch.device, share: float = 0.0, step: int = 0
    ) -> Batch:
        """`raw` on the device as network input, with synthetic sources made with `seed`."""
        source_format, target_format = self.config.data.formats
        target_BCHW = _signal(raw.target_BHWC, target_format.bits, device)
        if raw.source_BHWC is not None:
            source_BCHW = _signal(raw.source_BHWC, source_format.bits, device)
        else:
            assert self.make_source is not None
            # Independent of the random numbers that the step itself draws with the same seed.
            generator = Generator().manual_seed(seed_number(*seed, SOURCES))
            with full_precision(device):  # the result of an edge detector would change under autocast
                source_BCHW = self.make_source(target_BCHW, generator)
            if source_BCHW.shape[1] != source_format.channels:  # the channels of a drawing are equal
                source_BCHW = source_BCHW[:, :1].expand(-1, source_format.channels, -1, -1)
            source_BCHW = source_BCHW.contiguous(memory_format=torch.channels_last)
        unpaired = None
        if raw.unpaired is not None:
            unpaired = Unpaired(
                _signal(raw.unpaired.source_UHWC, source_format.bits, device),
                raw.unpaired.label_U.to(device, non_blocking=True),
            )
        return Batch(source_BCHW, target_BCHW, raw.label_B.to(device, non_blocking=True), share, step, unpaired)


def list_training_data(
    task: Task, config: TrainConfig, data: Path, validation: Path | None, split: str = SPLIT
) -> tuple[Listings, TrainConfig]:
    """Find the files; returns them and the settings with the class label names filled in.

    Without `validation` some of `data` are held out, as `split` says: by content, none, or evenly spaced as runs from
    before.

    Raises:
        DataError: files missing, unmatched, or in both `data` and `validation`.
        ConfigError: the labels differ from those the run was started with, or unpaired sources have another.
    """
    listing, wanted = _list(task, config, data), config.validation.held_out
    if config.data.label_names and listing.label_names != config.data.label_names:
        raise ConfigError(
            f"{data} has the labels {', '.join(listing.label_names)}, but the run was started with "
            f"{', '.join(config.data.label_names)}; use the same sub-folders, or start a new run"
        )
    if validation is not None:
        held_out = _list(task, config, validation)
        if held_out.label_names != listing.label_names:
            raise DataError(
                f"{validation} has the labels {', '.join(held_out.label_names)}, {data} has "
                f"{', '.join(listing.label_names)}; both need the same sub-folders"
            )
        refuse_overlap(listing, held_out)
        listings = Listings(listing, held_out)
    elif split == SPLIT:
        listings = Listings(*hold_out(listing, None if wanted < 0 else wanted))
    elif split == NO_SPLIT:
        listings = Listings(*hold_out(listing, 0))
    else:
        listings = Listings(*hold_out_spaced(listing, spaced_count(listing) if wanted < 0 else wanted))
    if config.data.unpaired_sources:
        listings = dataclasses.replace(listings, unpaired=_list_unpaired(config, listing.label_names))
    return listings, config.replace(label_names=listing.label_names)


def _list_unpaired(config: TrainConfig, kinds: tuple[str, ...]) -> Listing:
    left_out: list[str] = []
    folder = Path(config.data.unpaired_sources)
    listing = list_unpaired(
        folder,
        kinds,
        config.data.unpaired_label,
        lambda path, reason: left_out.append(one_line(f"{path}: left out: {reason}")),
    )
    return dataclasses.replace(listing, left_out=tuple(left_out))


def open_training_data(
    trainer: Trainer, task: Task, listings: Listings, console: Console | None = None
) -> TrainingData:
    """Open the files for training; builds the cache of decoded images if the settings ask for one.

    Raises:
        DataError: none of the first few images can be used, or the cache cannot be written.
    """
    config = trainer.config
    framing = Framing(config.data.framing, config.data.image_size, config.data.augmentation)
    cache = _open_cache(config, listings.train, framing, console) if config.data.cache else None
    stream = PictureDataset(listings.train, framing, config.data.formats, config.seed, cache)
    if listings.unpaired is not None:
        stream.unpaired = _unpaired_sources(config, task, listings.unpaired, stream)
    held_out = None
    if listings.held_out.targets:
        measured = PictureDataset(listings.held_out, framing, config.data.formats, config.seed)
        held_out = measured.plain(min(len(measured), max(MAX_HELD_OUT, config.validation.held_out)))
    return TrainingData(stream, held_out, trainer.source_maker() or _task_source_maker(task), config)


def _unpaired_sources(config: TrainConfig, task: Task, listing: Listing, stream: PictureDataset) -> UnpairedSources:
    """Unpaired sources, framed and augmented like the others; those that are made from targets have no colours."""
    framing = dataclasses.replace(stream.framing, colours=not task.makes_source)
    source_format = config.data.formats[0]
    prepare = None
    if framing.kind == "fit" and source_format.channels in (1, 3):
        # Of 8 bits, because tensors of 16 are integers of 32, in which white is not the largest number.
        share = typical_share([to_bits(image_HWC, 8) for image_HWC in stream.plain(FRAMED).target_BHWC.numpy()])
        prepare = partial(framed, share)
    seed = seed_number(config.seed, UNPAIRED)
    pictures = PictureDataset(listing, framing, (source_format, source_format), seed, prepare=prepare)
    return UnpairedSources(pictures, config.data.unpaired_share)


def _open_cache(
    config: TrainConfig, listing: Listing, framing: Framing, console: Console | None
) -> tuple[Cache, Cache]:
    """Find or build the cache, with a progress bar."""
    quiet = console is None or not console.is_terminal
    with Progress(*Progress.get_default_columns(), console=console, disable=quiet) as bar:
        row = bar.add_task("decoding pictures", total=None)
        return open_caches(
            Path(config.data.cache),
            listing,
            framing,
            config.data.formats,
            lambda done, total: bar.update(row, completed=done, total=total),
        )


def _task_source_maker(task: Task) -> SourceMaker | None:
    return load_object(task.source_maker) if task.source_maker else None


def _list(task: Task, config: TrainConfig, data: Path) -> Listing:
    return list_files(
        data,
        layout=config.data.layout,
        paired=task.paired,
        folders=config.data.folders,
        makes_source=task.makes_source,
        labels=config.data.labels,
        # The start model may have more classes than the data.
        kinds=config.data.label_names if config.start_from else (),
        source_side=config.data.source_side,
    )


def seed_number(*numbers: int) -> int:
    """Derive a seed for torch from several numbers; different numbers give independent random streams."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def parts(raw: RawBatch, count: int) -> Iterator[RawBatch]:
    """`raw` in `count` equal parts."""
    size = len(raw.target_BHWC) // count
    for number in range(count):
        part = _select(raw, slice(number * size, (number + 1) * size))
        yield part._replace(unpaired=_part(raw.unpaired, number, count))


def _part(unpaired: RawUnpaired | None, number: int, count: int) -> RawUnpaired | None:
    """One of `count` parts, as equal as possible."""
    if unpaired is None:
        return None
    first, end = (len(unpaired.label_U) * place // count for place in (number, number + 1))
    return RawUnpaired(unpaired.source_UHWC[first:end], unpaired.label_U[first:end]) if end > first else None


def _select(raw: RawBatch, chosen: slice | Tensor) -> RawBatch:
    source_BHWC = None if raw.source_BHWC is None else raw.source_BHWC[chosen]
    return RawBatch(source_BHWC, raw.target_BHWC[chosen], raw.label_B[chosen], raw.rejected)


def _signal(pixels_BHWC: Tensor, bits: int, device: torch.device) -> Tensor:
    # Transferred as integers, which is a quarter of the bytes, then converted to the networks' memory format.
    signal_BCHW = pixels_to_signal(pixels_BHWC.to(device, non_blocking=True), bits)
    return signal_BCHW.contiguous(memory_format=torch.channels_last)
