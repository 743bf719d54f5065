"""What is to be converted, and where each result goes."""

import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from translate.animation import count_frames
from translate.errors import DataError, ImageError
from translate.files import atomic_path
from translate.images import READABLE, WRITABLE
from translate.manifest import FILE_NAME
from translate.naming import FILM_RESULTS, is_film, result_names, suffix_of_film
from translate.sources import FileSource, FolderSource, Item, Source, ZipSource, picked

OutputFormat = Literal["same", "png", "jpg", "webp", "avif", "tiff", "bmp", "mp4", "mov", "mkv", "webm"]

Facts = Callable[[str], Mapping[str, str]]
"""A picture's name -> the fields of the template but `stem`."""

Ready = Callable[[list[Item]], Collection[Item]]
"""The pictures of a folder -> those to convert now."""

LOOK_SECONDS = 1.0
"""Between two looks for more pictures."""

PICTURES = "PNG, JPEG, WebP, AVIF, TIFF, BMP, GIF, HEIC, MP4, MOV, MKV, WebM or AVI"


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to convert."""

    item: Item
    target: str
    """Name of the result below the destination, with slashes."""


@dataclass(frozen=True)
class Plan:
    """All pictures of a source and their destination; nothing is written yet."""

    source: Source
    destination: Path
    """A folder, or the archive to write."""
    output_format: OutputFormat
    count: int
    only_name: str | None = None
    """Of the only result, where its name was given."""
    moving: bool = False
    """Whether there are films, or it is about one animation: what has frames to convert at the same time."""

    @property
    def packed(self) -> bool:
        """Whether the destination is an archive."""
        return self.only_name is None and _is_archive(self.destination)

    @property
    def single(self) -> bool:
        """Whether it is about one picture, which needs no manifest."""
        return isinstance(self.source, FileSource)

    @property
    def folder(self) -> Path:
        """Where results are written; for an archive a hidden folder beside it, until all are there."""
        if self.packed:
            return self.destination.with_name(f".{self.destination.name}.unfinished")
        return self.destination

    def jobs(self, template: str, facts: Facts, ready: Ready | None = None) -> Iterator[Job]:
        """All jobs, folder by folder, of those pictures that are ready.

        `template` and `facts`: see `translate.naming.result_names`.
        """
        for items in self.source.groups():
            if self.only_name is not None:
                yield Job(items[0], self.only_name)
                return
            chosen = items if ready is None else ready(items)
            if not chosen:
                continue
            names = [PurePosixPath(item.name).name for item in items]
            suffixes = {name: self._suffix(item) for name, item in zip(names, items, strict=True)}
            results = result_names(names, suffixes.__getitem__, template, facts)
            for item, result in zip(items, results, strict=True):
                if item in chosen:
                    yield Job(item, str(PurePosixPath(item.name).with_name(result)))

    def watched(self, template: str, facts: Facts, stop: threading.Event) -> Iterator[Job]:
        """All jobs, and then those of pictures that come, until `stop` is set."""
        newcomers = Newcomers()
        while not stop.is_set():
            yield from self.jobs(template, facts, newcomers.ready)
            stop.wait(LOOK_SECONDS)

    def _suffix(self, item: Item) -> str:
        """Of the result of a picture or film; what cannot be written becomes PNG."""
        if is_film(item.name):
            return suffix_of_film(item.name, self.output_format)
        if self.output_format != "same" and f".{self.output_format}" not in FILM_RESULTS:
            return f".{self.output_format}"
        suffix = PurePosixPath(item.name).suffix
        animated = suffix.lower() == ".gif" and self._animated(item)
        return suffix if animated or suffix.lower() in WRITABLE else ".png"

    def _animated(self, item: Item) -> bool:
        try:
            return count_frames(self.source.load(item)) > 1
        except ImageError:  # reported when it is to be converted
            return False

    @contextmanager
    def opened(self) -> Generator[Path]:
        """Make the folder for the results; afterwards, if nothing was raised, pack it where it is to be an archive.

        Raises:
            DataError: it cannot be made or written, or an archive of this name is there already.
        """
        if self.packed and self.destination.exists():
            raise DataError(f"{self.destination} is there already; remove it or choose another name")
        _make_folder(self.folder)
        yield self.folder
        if self.packed:
            _pack(self.folder, self.destination)


class Newcomers:
    """Looks at folders again and again for pictures that are new or changed, and whole.

    A folder with any is gone through as a whole, as names of results may depend on the newcomer; what is done in it
    is found in the manifest.
    """

    def __init__(self) -> None:
        self._last: dict[str, Item] = {}
        self._handled: dict[str, Item] = {}

    def ready(self, items: list[Item]) -> list[Item]:
        """Those to convert now: a file that has changed since the last look may still be being copied."""
        settled = [item for item in items if self._last.get(item.name) == item]
        self._last.update((item.name, item) for item in items)
        if all(self._handled.get(item.name) == item for item in settled):
            return []
        self._handled.update((item.name, item) for item in settled)
        return settled


def make_plan(
    source: Path,
    destination: Path,
    output_format: OutputFormat = "same",
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    may_be_empty: bool = False,
) -> Plan:
    """List what is to be converted; nothing is written. For the other parameters see `convert_folder`.

    Args:
        may_be_empty: whether there may be no pictures yet.

    Raises:
        DataError: no pictures, a folder that cannot be listed, or results on top of the pictures.
    """
    wanted = picked(include, exclude)
    only_name, moving = None, False
    if source.is_dir():
        if destination.resolve() == source.resolve():
            raise DataError(f"{source}: input and output are the same folder; give another folder for the results")
        found: Source = FolderSource(source, wanted, without=destination)
    elif source.is_file() and _is_archive(source):
        found = ZipSource(source, wanted)
    elif source.is_file():
        if source.suffix.lower() not in READABLE and not is_film(source.name):
            raise DataError(f"{source}: not a {PICTURES} file; give a picture, a folder of pictures or a zip archive")
        found, moving = FileSource(source), count_frames(source) > 1
        destination, only_name = _single_target(source, destination, output_format)
    else:
        raise DataError(f"{source}: no such file or folder; give a picture, a folder of pictures or a zip archive")
    count = 0
    for items in found.groups():
        _refuse_inputs(items, source, destination)
        count += len(items)
        moving = moving or any(is_film(item.name) for item in items)
    if not count and not may_be_empty:
        raise DataError(_nothing(source, include, exclude))
    return Plan(found, destination, output_format, count, only_name, moving)


def _single_target(source: Path, destination: Path, output_format: OutputFormat) -> tuple[Path, str | None]:
    """Folder and, where it is given, name of the only result."""
    if destination.is_dir() or not destination.suffix:
        return destination, None
    suffix, film = destination.suffix.lower(), is_film(source.name)
    writable = FILM_RESULTS if film else WRITABLE | ({".gif"} if count_frames(source) > 1 else set[str]())
    if suffix not in writable:
        known = ", ".join(sorted(writable))
        raise DataError(f"{destination}: cannot write {destination.suffix}; use one of {known}, or name a folder")
    if f".{output_format}" in writable and suffix != f".{output_format}":
        raise DataError(f"{destination}: its suffix contradicts --format {output_format}; leave one of them out")
    if destination.resolve() == source.resolve():
        raise DataError(f"{source}: its result {destination} would replace an input; choose another name")
    return destination.parent, destination.name


def _refuse_inputs(items: Sequence[Item], source: Path, destination: Path) -> None:
    """A source inside its destination may hold folders of the same name, whose results would come to lie in it."""
    if not (source.is_dir() and source.resolve().is_relative_to(destination.resolve())):
        return
    inside = source.resolve().relative_to(destination.resolve()).as_posix()
    for item in items:
        if item.name.startswith(f"{inside}/"):
            raise DataError(f"{source / item.name}: its result would replace an input; choose another folder")


def _nothing(source: Path, include: Sequence[str], exclude: Sequence[str]) -> str:
    if include or exclude:
        return f"{source}: no picture there fits --include and --exclude; a star fits any part of a name, folders too"
    files = 0
    if source.is_dir():
        files = sum(name[0] != "." for _, _, names in os.walk(source) for name in names)
        if not files:
            return f"{source}: an empty folder; give a folder with pictures"
    return f"{source}: {files or 'its'} files, none of them {PICTURES}; give a folder with pictures"


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and not path.is_dir()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made a folder ({error.strerror}); choose another") from None
    if not os.access(folder, os.W_OK):
        raise DataError(f"{folder}: no right to write there; choose another folder")


def _pack(folder: Path, archive: Path) -> None:
    """Put all results into an archive, which appears whole, and remove the folder."""
    with (
        atomic_path(archive) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as packed,  # pictures are compressed already
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FILE_NAME):
            packed.write(path, path.relative_to(folder).as_posix())
    shutil.rmtree(folder)
