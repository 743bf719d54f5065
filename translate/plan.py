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
from translate.destinations import Destination, LocalFolder
from translate.errors import DataError, ImageError
from translate.files import atomic_path
from translate.images import READABLE, WRITABLE
from translate.location import Location, Remote, below
from translate.manifest import FILE_NAME
from translate.naming import FILM_RESULTS, is_film, result_names, suffix_of_film
from translate.sources import Chosen, FileSource, FolderSource, Item, Source, ZipSource, picked

OutputFormat = Literal["same", "png", "jpg", "webp", "avif", "tiff", "bmp", "mp4", "mov", "mkv", "webm"]

Facts = Callable[[str], Mapping[str, str]]
"""A picture's name -> the fields of the template but `stem`."""

Ready = Callable[[list[Item]], Collection[Item]]
"""The pictures of a folder -> those to convert now."""

LOOK_SECONDS = 1.0
"""Between two looks for more pictures."""
REMOTE_LOOK_SECONDS = 10.0
"""The same in a store, where every look may cost money."""

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
    destination: Location
    """A folder, or the archive to write."""
    output_format: OutputFormat
    count: int
    remote: bool = False
    """Whether the source is in a store."""
    single: bool = False
    """Whether it is about one picture, which needs no manifest."""
    only_name: str | None = None
    """Of the only result, where its name was given."""
    moving: bool = False
    """Whether there are films, or it is about one animation: what has frames to convert at the same time."""

    @property
    def archive(self) -> Path | None:
        """The archive to write, if it is to be one."""
        place = self.destination
        if self.only_name is not None or not isinstance(place, Path) or place.suffix.lower() != ".zip":
            return None
        return None if place.is_dir() else place

    @property
    def results(self) -> Destination:
        """Where results are written; for an archive a hidden folder beside it, until all are there."""
        if isinstance(self.destination, Remote):
            from translate.remote import RemoteFolder

            return RemoteFolder(self.destination)
        return LocalFolder(_unpacked(self.archive) if self.archive else self.destination)

    def jobs(self, template: str, facts: Facts, ready: Ready | None = None) -> Iterator[Job]:
        """All jobs, folder by folder, of those pictures that are ready.

        `template` and `facts`: see `translate.naming.result_names`.
        """
        for items in self.source.groups():
            if self.only_name is not None:
                yield Job(items[0], self.only_name)
                return
            chosen = set(items if ready is None else ready(items))
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
            stop.wait(REMOTE_LOOK_SECONDS if self.remote else LOOK_SECONDS)

    def _suffix(self, item: Item) -> str:
        """Of the result of a picture or film; what cannot be written becomes PNG."""
        if is_film(item.name):
            return suffix_of_film(item.name, self.output_format)
        if self.output_format != "same" and f".{self.output_format}" not in FILM_RESULTS:
            return f".{self.output_format}"
        suffix = PurePosixPath(item.name).suffix
        animated = suffix.lower() == ".gif" and _animated(self.source, item)
        return suffix if animated or suffix.lower() in WRITABLE else ".png"

    @contextmanager
    def opened(self) -> Generator[Destination]:
        """Make the folder for the results; afterwards, if nothing was raised, pack it where it is to be an archive.

        Raises:
            DataError: it cannot be made or written, or an archive of this name is there already.
        """
        archive = self.archive
        if archive is not None and archive.exists():
            raise DataError(f"{archive} is there already; remove it or choose another name")
        results = self.results
        results.prepare()
        yield results
        if archive is not None:
            _pack(_unpacked(archive), archive)


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
    source: Location,
    destination: Location,
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
        MissingExtra: what reaches such a store is not installed.
    """
    wanted = picked(include, exclude)
    single, only_name, moving = False, None, False
    if source.is_dir() or (may_be_empty and isinstance(source, Remote) and not source.is_file()):
        if below(destination, source) == ".":
            raise DataError(f"{source}: input and output are the same folder; give another folder for the results")
        found = _folder_source(source, wanted, destination)
    elif not source.is_file():
        raise DataError(f"{source}: no such file or folder; give a picture, a folder of pictures or a zip archive")
    elif source.suffix.lower() == ".zip":
        found = ZipSource(source, wanted)
    elif source.suffix.lower() in READABLE or is_film(source.name):
        single, found = True, _file_source(source)
        moving = _animated(found, *next(found.groups()))
        destination, only_name = _single_target(source, destination, output_format, moving)
    else:
        raise DataError(f"{source}: not a {PICTURES} file; give a picture, a folder of pictures or a zip archive")
    if only_name is None and isinstance(destination, Remote) and destination.suffix.lower() == ".zip":
        raise DataError(f"{destination}: archives are written on this machine only; give a folder, or a .zip file here")
    count, inside = 0, below(source, destination)
    for items in found.groups():
        if inside is not None and not single:
            _refuse_inputs(items, source, inside)
        count += len(items)
        moving = moving or any(is_film(item.name) for item in items)
    if not count and not may_be_empty:
        raise DataError(_nothing(source, include, exclude))
    return Plan(found, destination, output_format, count, isinstance(source, Remote), single, only_name, moving)


def _folder_source(folder: Location, wanted: Chosen, destination: Location) -> Source:
    if isinstance(folder, Remote):
        from translate.remote import RemoteFolderSource

        return RemoteFolderSource(folder, wanted, without=destination if isinstance(destination, Remote) else None)
    return FolderSource(folder, wanted, without=destination if isinstance(destination, Path) else None)


def _file_source(picture: Location) -> Source:
    if isinstance(picture, Remote):
        from translate.remote import RemoteFileSource

        return RemoteFileSource(picture)
    return FileSource(picture)


def _animated(source: Source, item: Item) -> bool:
    try:
        with source.load(item) as data:
            return count_frames(data) > 1
    except ImageError:  # reported when it is to be converted
        return False


def _single_target(
    source: Location, destination: Location, output_format: OutputFormat, animated: bool
) -> tuple[Location, str | None]:
    """Folder and, where it is given, name of the only result."""
    if not destination.suffix or destination.is_dir():
        return destination, None
    suffix, film = destination.suffix.lower(), is_film(source.name)
    writable = FILM_RESULTS if film else WRITABLE | ({".gif"} if animated else set[str]())
    if suffix not in writable:
        known = ", ".join(sorted(writable))
        raise DataError(f"{destination}: cannot write {destination.suffix}; use one of {known}, or name a folder")
    if f".{output_format}" in writable and suffix != f".{output_format}":
        raise DataError(f"{destination}: its suffix contradicts --format {output_format}; leave one of them out")
    if below(destination, source) == ".":
        raise DataError(f"{source}: its result {destination} would replace an input; choose another name")
    return destination.parent, destination.name


def _refuse_inputs(items: Sequence[Item], source: Location, inside: str) -> None:
    """A source inside its destination may hold folders of the same name, whose results would come to lie in it."""
    for item in items:
        if item.name.startswith(f"{inside}/"):
            raise DataError(f"{source / item.name}: its result would replace an input; choose another folder")


def _nothing(source: Location, include: Sequence[str], exclude: Sequence[str]) -> str:
    if include or exclude:
        return f"{source}: no picture there fits --include and --exclude; a star fits any part of a name, folders too"
    if isinstance(source, Remote):
        return f"{source}: no {PICTURES} files there; give a folder with pictures"
    files = 0
    if source.is_dir():
        files = sum(name[0] != "." for _, _, names in os.walk(source) for name in names)
        if not files:
            return f"{source}: an empty folder; give a folder with pictures"
    return f"{source}: {files or 'its'} files, none of them {PICTURES}; give a folder with pictures"


def _unpacked(archive: Path) -> Path:
    """The folder of the results that are to be in an archive."""
    return archive.with_name(f".{archive.name}.unfinished")


def _pack(folder: Path, archive: Path) -> None:
    """Put all results into an archive, which appears whole, and remove the folder."""
    with (
        atomic_path(archive) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as packed,  # pictures are compressed already
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FILE_NAME):
            packed.write(path, path.relative_to(folder).as_posix())
    shutil.rmtree(folder)
