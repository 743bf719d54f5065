"""Decoded pictures on disk: built once, mapped into memory by every process that reads them.

Decoding a large photograph takes far longer than cutting a training sample from it, and a GPU would wait. The
pictures lie one after the other in one file, reduced to what the framing can use. A cache is named by everything
that decides its content, so a changed data set gets a new one and an unchanged one is found again by later runs.
Old ones stay until the user removes them.

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

from translate.cores import cores
from translate.data.formats import PixelFormat, Pixels, read_pixels
from translate.data.framing import Framing, cached_size
from translate.errors import DataError, ImageError

VERSION = 1
PIXELS, INDEX = "pixels", "index.json"
PART = ".part"
"""Suffix of a folder that is being built."""

Loaded = tuple[Pixels, tuple[int, int]]
"""The picture, reduced, and (height, width) of the file."""
Load = Callable[[Path], Loaded | str]
"""Reads one file, or says in one line why it cannot."""


class Cache:
    """Pictures of one format, by path. Pickles as two short texts; every process maps the file for itself.

    Args:
        folder: the sub-folder made by `open`.
        format: of all its pictures.
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
        """Find the cache of these files below `folder`, or build it.

        Several processes may ask at once: one builds, the others wait for it.

        Args:
            folder: where caches are; made if missing.
            paths: the files, each once.
            format: channels and bits.
            framing: how pictures will be used; decides how far they are reduced.
            progress: told (pictures done, pictures in all) while building.
            halves: every file holds two pictures side by side, which are reduced each for itself.

        Raises:
            DataError: the disk refuses or is full; nothing half-written is left.
        """
        paths = list(paths)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = cls(folder / _digest(paths, format, framing, halves), format)
            with FileLock(folder / ".lock"):
                # Whoever holds the lock is alone, so unfinished folders belong to processes that were killed.
                for left_over in folder.glob(f"*{PART}"):
                    shutil.rmtree(left_over)
                if not (found.folder / INDEX).exists():
                    _build(found.folder, paths, partial(_load, format=format, framing=framing, halves=halves), progress)
        except OSError as error:
            raise DataError(
                f"{folder}: the cache cannot be written ({error.strerror or error}); "
                "make room or give yourself the right to write, or leave out --cache"
            ) from None
        return found

    def read(self, path: Path) -> Pixels:
        """One picture, as `read_pixels` gives it but for its size.

        Returns:
            (H, W, channels) of the format's type, the caller's own copy.

        Raises:
            ImageError: the file could not be read when the cache was built.
        """
        offset, height, width, *_ = self._entry(path)
        shape = (height, width, self.format.channels)
        return np.array(np.ndarray(shape, self.format.dtype, self._pixels, offset))

    def original_size(self, path: Path) -> tuple[int, int]:
        """(height, width) of the file itself.

        Raises:
            ImageError: as `read`.
        """
        *_, height, width = self._entry(path)
        return height, width

    def _entry(self, path: Path) -> list[int]:
        """Offset in bytes, height and width of the pixels kept, height and width of the file."""
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
    """Name of a cache: everything that decides its content."""
    # How samples are varied is of no account; where patches are cut, their size is not either.
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
    """The reduced picture and the file's own size, or why there is none."""
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
    # In groups of channels: OpenCV has fast code, and for some types any code at all, for up to four.
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
    """Write `folder`, whole or not at all."""
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
        shutil.rmtree(part, ignore_errors=True)  # gone already when all went well


def _in_threads(load: Load, paths: list[Path]) -> Iterator[tuple[Path, Loaded | str]]:
    """(path, load(path)) in order, a few at a time: decoders let other threads run, and memory stays bounded."""
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
    """The data must be there before the name is."""
    handle.flush()
    os.fsync(handle.fileno())
