"""A folder of photographs -> an endless, seeded, resumable stream of training pictures.

Picture number n of a run (its position) is fully determined by the seed and n: which file, which flip, which
colour change. So the stream has no state to save: resuming at image n is asking for position n, and neither
the batch size nor the number of loader processes changes what is seen.

Shape suffixes: B batch, H height, W width, C channels.
"""

import os
import signal
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from translate.errors import DataError, ImageError
from translate.files import refuse_unlistable
from translate.images import READABLE, flatten, read_picture

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
import albumentations
import cv2

cv2.setNumThreads(0)  # loader processes are the parallelism; OpenCV's own threads would fight over the cores

MIN_SIDE = 16
"""Smaller photographs teach nothing."""

WHITE = 255


class PhotoBatch(NamedTuple):
    """What the loader delivers."""

    photo_BHWC: Tensor
    """uint8, 0 to 255."""
    rejected: tuple[str, ...]
    """One line for every file that could not be used and was replaced by another."""


class Photo(NamedTuple):
    """One item of `PhotoFolder`: photo_HWC uint8 and the reasons of files that were passed over."""

    photo_HWC: Tensor
    rejected: tuple[str, ...]


class PhotoFolder(Dataset[Photo]):
    """Photographs below `folder`, by position in the endless stream.

    Args:
        folder: searched recursively for PNG, JPEG and WebP.
        size: side in pixels of the squares delivered; photographs are fitted in, the rest is white.
        seed: of order and augmentation.

    Raises:
        DataError: folder missing, or without pictures, or none of a first few readable.
    """

    def __init__(self, folder: Path, size: int, seed: int):
        self.folder, self.size, self.seed = folder, size, seed
        self.files = list_photos(folder)
        self._augment = _augmentation(size)
        self._fit = _fitting(size)
        self._check_some()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> Photo:
        epoch, place = divmod(position, len(self.files))
        order = _order(self.seed, epoch, len(self.files))
        rejected: list[str] = []
        # A file that cannot be read is replaced by the next in order: one bad file must not end a night's run.
        for step in range(len(self.files)):
            path = self.files[order[(place + step) % len(self.files)]]
            try:
                photo_HWC = _read(path)
            except ImageError as error:
                rejected.append(str(error))
                continue
            self._augment.set_random_seed(int(np.random.SeedSequence((self.seed, position)).generate_state(1)[0]))
            augmented_HWC = self._augment(image=photo_HWC)["image"]
            return Photo(torch.from_numpy(np.ascontiguousarray(augmented_HWC)), tuple(rejected))
        raise DataError(f"{self.folder}: none of its {len(self.files)} pictures can be used; the first: {rejected[0]}")

    def plain(self, count: int) -> Tensor:
        """`count` photographs spread evenly over the sorted folder, not augmented: uint8 (B, H, W, C)."""
        photos: list[Tensor] = []
        for path in _spread(self.files, count):
            try:
                photo_HWC = _read(path)
            except ImageError:
                continue  # reported when the stream meets it
            photos.append(torch.from_numpy(np.ascontiguousarray(self._fit(image=photo_HWC)["image"])))
        if not photos:
            raise DataError(
                f"{self.folder}: none of {count} pictures tried can be read; put readable photographs there"
            )
        return torch.stack(photos)

    def _check_some(self) -> None:
        """Fail before training starts when the first few files tried are all unusable."""
        tried = _spread(self.files, 16)
        reasons: list[str] = []
        for path in tried:
            try:
                _read(path)
                return
            except ImageError as error:
                reasons.append(str(error))
        raise DataError(f"{self.folder}: none of {len(tried)} pictures tried can be used; the first: {reasons[0]}")


def _spread(files: list[Path], count: int) -> list[Path]:
    """`count` of the files, or all if there are fewer, at equal distances from the first to the last."""
    return [files[index] for index in np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)]


def list_photos(folder: Path) -> list[Path]:
    """All PNG, JPEG and WebP files below `folder`, sorted.

    Raises:
        DataError: missing, not a folder, or no such file in it.
    """
    if not folder.is_dir():
        found = "is a file" if folder.is_file() else "does not exist"
        raise DataError(f"{folder} {found}; --data expects a folder with photographs")
    others, files = 0, list[Path]()
    for root, _, names in os.walk(folder, onerror=refuse_unlistable):
        for name in names:
            if Path(name).suffix.lower() in READABLE and not name.startswith("."):
                files.append(Path(root, name))
            else:
                others += 1
    if not files:
        found = f"{others} files, none of them PNG, JPEG or WebP" if others else "no files"
        raise DataError(f"{folder} holds {found}; put photographs there or name another folder with --data")
    return sorted(files)


def photo_batches(photos: PhotoFolder, batch_size: int, start: int, workers: int, pin: bool) -> Iterator[PhotoBatch]:
    """Endless batches from position `start` on.

    Args:
        photos: the stream.
        batch_size: pictures a batch.
        start: position of the first picture; the number of pictures already seen.
        workers: loader processes; 0 loads in this process.
        pin: page-locked memory, for fast copies to a GPU.
    """
    loader = DataLoader(
        photos,
        batch_size=batch_size,
        sampler=_Positions(start),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin,
        worker_init_fn=_quiet_worker,
        prefetch_factor=4 if workers else None,
        # Or making the iterator would take a number from torch's own generator, and resuming would take one more.
        generator=torch.Generator(),
    )
    return _one_line_errors(iter(loader))


def _one_line_errors(batches: Iterator[PhotoBatch]) -> Iterator[PhotoBatch]:
    """A loader process hands over its traceback as the message; only the last line is meant for the user."""
    try:
        yield from batches
    except DataError as error:
        raise DataError(str(error).strip().splitlines()[-1].removeprefix("translate.errors.DataError: ")) from None


class _Positions(Sampler[int]):
    """start, start + 1, ... without end."""

    def __init__(self, start: int):
        self.start = start

    def __iter__(self) -> Iterator[int]:
        position = self.start
        while True:
            yield position
            position += 1


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The order of the files in one pass over the folder."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def _read(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Decode one photograph on white: uint8 (H, W, 3)."""
    photo_HWC = flatten(read_picture(path), WHITE)
    height, width = photo_HWC.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{path} is {width}x{height} pixels; training needs at least {MIN_SIDE} on both sides")
    return photo_HWC


def _collate(items: list[Photo]) -> PhotoBatch:
    return PhotoBatch(
        torch.stack([item.photo_HWC for item in items]), tuple(line for item in items for line in item.rejected)
    )


def _quiet_worker(_: int) -> None:
    """Ctrl-C and `timeout` signal the whole process group; only the trainer's own process may react."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # a loader that dies would end the trainer within a step, without a snapshot


def _fitting(size: int) -> albumentations.Compose:
    """Fit into a square without distortion, white around."""
    return albumentations.Compose(
        [
            albumentations.LongestMaxSize(size, interpolation=cv2.INTER_AREA),
            albumentations.PadIfNeeded(size, size, border_mode=cv2.BORDER_CONSTANT, fill=WHITE),
        ]
    )


def _augmentation(size: int) -> albumentations.Compose:
    """Fit, then move, turn, zoom, mirror and recolour a little.

    Runs on the photograph before the sketch is made from it, so source and target stay in register.
    """
    return albumentations.Compose(
        [
            _fitting(size),
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Affine(
                scale=(0.8, 1.1),
                translate_percent=(-0.06, 0.06),
                rotate=(-8, 8),
                shear=(-4, 4),
                interpolation=cv2.INTER_LINEAR,
                border_mode=cv2.BORDER_CONSTANT,
                fill=WHITE,
                p=0.8,
            ),
            # Small: recoloured photographs are not photographs, and the discriminator would learn to love them.
            albumentations.HueSaturationValue(hue_shift_limit=6, sat_shift_limit=12, val_shift_limit=0, p=0.3),
        ]
    )
