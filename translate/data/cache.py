"""On-disk cache of decoded images: built once, memory-mapped by every process that reads it.

Decoding a large photo takes far longer than cropping a training sample from it, and a GPU would have to wait. The
images are stored one after the other in one file, reduced to the size that the framing needs. The name of a cache is a
hash of everything that determines its content, so a changed data set gets a new cache, and later runs find an existing
one. Old caches stay until the user deletes them.

Shape suffixes: H height, W width, C channels.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock

from translate.data.framing import Framing, cached_size
from translate.data.reading import PixelFormat, Pixels, read_pixels
from translate.errors import DataError, ImageError
from translate.machine import cores

VERSION = 1
PIXELS, INDEX = "pixels", "index.json"
PART = ".part"
"""Suffix of an unfinished folder."""

Loaded = tuple[Pixels, tuple[int, int]]
"""The reduced image, and (height, width) of the file."""
Load = Callable[[Path], Loaded | str]
"""Reads one file, or returns a one-line reason why it cannot."""


class Cache:
    """Images of one format, by path. Only the path and format are pickled; each process maps the file itself.

    Args:
        folder: the sub-folder made by `open`.
        format: of all its images.
    """

    def __init__(self, folder: Path, format: PixelFormat):
        self.folder, self.format = folder, format

    def __reduce__(self) -> tuple[type["Cache"], tuple[Path, PixelFormat]]:
        return Cache, (self.folder, self.format)

    @classmethod
    def open(
        cls,
        folder: Path,
        paths: Iterable[Path],
        format: PixelFormat,
        framing: Framing,
        progress: Callable[[int, int], None],
        *,
        halves: bool = False,
    ) -> "Cache":
        """Find the cache of these files in `folder`, or build it.

        If several processes call this at once, one builds the cache and the others wait.

        Args:
            folder: folder of all caches; created if missing.
            paths: the files, each once.
            format: channels and bits.
            framing: determines how far images are reduced.
            progress: called with (images done, images in total) while building.
            halves: each file holds two images side by side, which are reduced separately.

        Raises:
            DataError: the disk is full or not writable; no partial cache is left behind.
        """
        paths = list(paths)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = cls(folder / _digest(paths, format, framing, halves), format)
            with FileLock(folder / ".lock"):
                # Only one process holds the lock, so unfinished folders belong to processes that were killed.
                for left_over in folder.glob(f"*{PART}"):
                    shutil.rmtree(left_over)
                if not (found.folder / INDEX).exists():
                    _build(found.folder, paths, partial(_load, format=format, framing=framing, halves=halves), progress)
        except OSError as error:
            raise DataError(
                f"{folder}: the cache cannot be written ({error.strerror or error}); "
                "free some disk space, check the write permissions, or omit --cache"
            ) from None
        return found

    def read(self, path: Path) -> Pixels:
        """One image, as returned by `read_pixels` except for its size.

        Returns:
            (H, W, channels) with the format's dtype, a copy.

        Raises:
            ImageError: the file could not be read when the cache was built.
        """
        offset, height, width, *_ = self._entry(path)
        shape = (height, width, self.format.channels)
        return np.array(np.ndarray(shape, self.format.dtype, self._pixels, offset))

    def original_size(self, path: Path) -> tuple[int, int]:
        """(height, width) of the original file.

        Raises:
            ImageError: like `read`.
        """
        *_, height, width = self._entry(path)
        return height, width

    def _entry(self, path: Path) -> list[int]:
        """Offset in bytes, height and width in the cache, height and width of the file."""
        entry = self._index[str(path.absolute())]
        if isinstance(entry, str):
            raise ImageError(entry)
        return entry

    @cached_property
    def _index(self) -> dict[str, list[int] | str]:
        return json.loads((self.folder / INDEX).read_text(encoding="utf-8"))

    @cached_property
    def _pixels(self) -> Any:
        return np.memmap(self.folder / PIXELS, np.uint8, mode="r")


def _digest(paths: list[Path], format: PixelFormat, framing: Framing, halves: bool) -> str:
    """Name of a cache: a hash of everything that determines its content."""
    # Augmentation does not matter; for patches, nor does their size.
    size = 0 if framing.kind == "patch" else framing.size
    digest = hashlib.sha256(repr((VERSION, format, framing.kind, size, halves)).encode())
    for path in paths:
        try:
            status = path.stat()
            state = (status.st_size, status.st_mtime_ns)
        except OSError:
            state = None  # recorded as a broken file
        digest.update(repr((str(path.absolute()), state)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _load(path: Path, format: PixelFormat, framing: Framing, halves: bool) -> Loaded | str:
    """The reduced image and the size of the file, or the reason why it cannot be read."""
    try:
        picture_HWC = read_pixels(path, format)
    except ImageError as error:
        return str(error)
    height, width = picture_HWC.shape[:2]
    parts = np.split(picture_HWC, 2, axis=1) if halves and width % 2 == 0 else [picture_HWC]
    reduced = np.concatenate([_reduce(part_HWC, framing) for part_HWC in parts], axis=1)
    return reduced, (height, width)


def _reduce(picture_HWC: Pixels, framing: Framing) -> Pixels:
    height, width = cached_size(framing, *picture_HWC.shape[:2])
    if (height, width) == picture_HWC.shape[:2]:
        return picture_HWC
    # In groups of channels: OpenCV is fast for up to four channels, and supports some types only for these.
    groups = [
        cv2.resize(
            np.ascontiguousarray(picture_HWC[..., first : first + 4]), (width, height), interpolation=cv2.INTER_AREA
        ).reshape(height, width, -1)
        for first in range(0, picture_HWC.shape[2], 4)
    ]
    return np.concatenate(groups, axis=2)


def _build(
    folder: Path,
    paths: list[Path],
    load: Load,
    progress: Callable[[int, int], None],
) -> None:
    """Write `folder` atomically."""
    part = folder.with_name(f".{secrets.token_hex(8)}{PART}")
    part.mkdir()
    try:
        index: dict[str, list[int] | str] = {}
        with (part / PIXELS).open("wb") as handle:
            for number, (path, found) in enumerate(_in_threads(load, paths), start=1):
                if isinstance(found, str):
                    index[str(path.absolute())] = found
                else:
                    picture_HWC, size = found
                    index[str(path.absolute())] = [handle.tell(), *picture_HWC.shape[:2], *size]
                    handle.write(picture_HWC.data)
                progress(number, len(paths))
            _to_disk(handle)
        with (part / INDEX).open("w", encoding="utf-8") as handle:
            json.dump(index, handle)
            _to_disk(handle)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)  # already renamed if all went well


def _in_threads(load: Load, paths: list[Path]) -> Iterator[tuple[Path, Loaded | str]]:
    """(path, load(path)) in order, a few at a time: decoders release the GIL, and memory stays bounded."""
    workers = min(8, cores())
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[Path, Future[Loaded | str]]] = deque()
        try:
            for path in paths:
                waiting.append((path, pool.submit(load, path)))
                if len(waiting) > workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            for first, future in waiting:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _to_disk(handle: Any) -> None:
    """Flush to disk, so that the data is there before the folder gets its name."""
    handle.flush()
    os.fsync(handle.fileno())
