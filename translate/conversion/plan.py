"""What to convert, and where each result goes."""

import os
import stat
import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from translate.conversion.destinations import Destination, LocalFolder
from translate.conversion.faults import FaultLog
from translate.conversion.location import Location, Remote, relative_name
from translate.conversion.naming import (
    LONGEST,
    VIDEO_OUTPUTS,
    ResultFolders,
    allowed_name,
    is_video,
    result_names,
    video_suffix,
)
from translate.conversion.packing import empty, pack, unpacked
from translate.conversion.sources import FileSource, FolderSource, Item, NameFilter, PictureFilter, Source, ZipSource
from translate.errors import ConfigError, DataError, one_line
from translate.files import mode_of, remove_leftovers
from translate.pictures.animation import count_frames
from translate.pictures.formats import FORMATS, READABLE, WRITABLE, head_of, left_out, recognise, result_suffix

OutputFormat = Literal["same", "png", "jpg", "webp", "avif", "tiff", "bmp", "mp4", "mov", "mkv", "webm"]

TemplateFields = Callable[[str], Mapping[str, str]]
"""A picture's name -> the fields of the template except `stem`."""

ReadyFilter = Callable[[list[Item]], Collection[Item]]
"""The pictures of a folder -> those to convert now."""

POLL_SECONDS = 1.0
"""How often to look for new pictures when watching a folder."""
REMOTE_POLL_SECONDS = 10.0
"""The same for cloud storage, where every request may cost money."""

PICTURES = f"{', '.join(one.name for one in FORMATS)}, MP4, MOV, MKV, WebM or AVI"


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to convert."""

    item: Item
    target: str
    """Path of the result relative to the destination, with forward slashes."""
    earlier: tuple[tuple[str, str], ...] = ()
    """Existing results of this picture: name, and SHA-256 of the source file they were made from. If the source still
    has that SHA-256, there is nothing to do."""


@dataclass(frozen=True)
class Plan:
    """All pictures of a source and their destination; nothing is written yet."""

    source: Source
    destination: Location
    """A folder, or the archive to write."""
    output_format: OutputFormat
    count: int
    remote: bool = False
    """Whether the source is in cloud storage."""
    single: bool = False
    """Whether the source is a single picture, which needs no manifest."""
    only_name: str | None = None
    """Name of the single result, if the user gave one."""
    moving: bool = False
    """Whether there are videos, or the source is a single animation, so that frames can be converted in parallel."""
    others: Mapping[str, int] = field(default_factory=dict[str, int])
    """Suffix (lower case) -> number of files that are neither pictures nor films."""
    faults: FaultLog = field(default_factory=FaultLog)
    """Where unforeseen errors are described."""
    remarks: list[str] = field(default_factory=list[str])
    """What else the user should know, one line each."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found and is not used, and remarks, one line each."""
        left = (one_line(f"{name}: left out: {reason}") for name, reason in self.source.left_out.items())
        named = (*self.remarks, *left)
        return (*named, left_out(self.others)) if self.others else tuple(named)

    @property
    def archive(self) -> Path | None:
        """The archive to write, if the destination is one."""
        path = self.destination
        if self.only_name is not None or not isinstance(path, Path) or path.suffix.lower() != ".zip":
            return None
        return None if _is_dir(path) else path

    @property
    def result_folder(self) -> Destination:
        """Where results are written; for an archive, a hidden folder next to it until all results are complete."""
        if isinstance(self.destination, Remote):
            from translate.conversion.cloud.folders import RemoteFolder

            return RemoteFolder(self.destination)
        return LocalFolder(unpacked(self.archive) if self.archive else self.destination)

    def jobs(self, template: str, fields: TemplateFields, ready: ReadyFilter | None = None) -> Iterator[Job]:
        """A job for every picture that is ready, folder by folder.

        `template` and `fields`: see `translate.conversion.naming.result_names`.
        """
        folders = ResultFolders()
        for items in self.source.groups():
            if self.only_name is not None:
                yield Job(items[0], self.only_name)
                return
            parts = (item.name.rpartition("/") for item in items)
            places = [folders.of(folder) + slash for folder, slash, _ in parts]  # also of those that are not chosen
            chosen = set(items if ready is None else ready(items))
            if not chosen:
                continue
            names = [PurePosixPath(item.name).name for item in items]
            suffixes = {name: self._suffix(item) for name, item in zip(names, items, strict=True)}
            targets = result_names(names, suffixes.__getitem__, template, fields)
            for item, place, target in zip(items, places, targets, strict=True):
                if item in chosen:
                    yield Job(item, place + target)

    def watch(self, template: str, fields: TemplateFields, stop: threading.Event) -> Iterator[Job]:
        """All jobs, and then a job for every picture that is added or changed, or whose result gets another name for
        one that was added, until `stop` is set."""
        watcher, last = FolderWatcher(), dict[str, Job]()
        while not stop.is_set():
            for job in self.jobs(template, fields, watcher.ready):
                if last.get(job.item.name) != job:
                    last[job.item.name] = job
                    yield job
            stop.wait(REMOTE_POLL_SECONDS if self.remote else POLL_SECONDS)

    def _suffix(self, item: Item) -> str:
        """Suffix of the result of a picture or video; PNG if its own format cannot be written."""
        if is_video(item.name):
            return video_suffix(item.name, self.output_format)
        if self.output_format != "same" and f".{self.output_format}" not in VIDEO_OUTPUTS:
            return f".{self.output_format}"
        suffix = PurePosixPath(item.name).suffix
        animated = suffix.lower() == ".gif" and _animated(self.source, item)
        return suffix if animated else result_suffix(suffix)

    @contextmanager
    def opened(self, made: Collection[Path] = ()) -> Generator[Destination]:
        """Create the folder for the results; afterwards, unless an exception was raised, pack them into the archive.

        `made`: the results to pack, added while the conversion runs; used for archives only.

        Raises:
            DataError: it cannot be created or written to, another process writes to it, or the archive already exists.
        """
        archive = self.archive
        folder = self.result_folder
        folder.prepare()
        with nullcontext("") if self.single else folder.held() as note:
            _refuse_existing(archive)  # since it was planned
            self.remarks.extend([note] if note else [])
            yield folder
            if archive is not None:
                if not note:  # it is held, so these are of processes that were killed
                    remove_leftovers(unpacked(archive))
                pack(unpacked(archive), archive, made)
                empty(unpacked(archive))
        if archive is not None:
            with suppress(OSError):  # another process may have begun the next archive of this name in it
                unpacked(archive).rmdir()


class FolderWatcher:
    """Polls folders for pictures that are new or changed and completely written.

    If a folder has any, all its pictures are returned, since a new file can change the names of other results.
    """

    def __init__(self) -> None:
        self._last: dict[str, Item] = {}
        self._handled: dict[str, Item] = {}

    def ready(self, items: list[Item]) -> list[Item]:
        """The files to convert now. A file that has changed since the last poll may still be being written."""
        stable = [item for item in items if self._last.get(item.name) == item]
        self._last.update((item.name, item) for item in items)
        if all(self._handled.get(item.name) == item for item in stable):
            return []
        self._handled.update((item.name, item) for item in stable)
        return stable


def make_plan(
    source: Location,
    destination: Location,
    output_format: OutputFormat = "same",
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    template: str = "{stem}",
    may_be_empty: bool = False,
) -> Plan:
    """List what to convert; nothing is written. For the other parameters see `convert_folder`.

    Args:
        template: of the names of results; refused where the user gave the name.
        may_be_empty: accept a source without pictures.

    Raises:
        ConfigError: patterns or a template that would have no effect.
        DataError: no pictures, a folder that cannot be listed, results that would overwrite pictures, or an archive
            that exists already.
        MissingExtra: the package for this kind of storage is not installed.
    """
    wanted = PictureFilter(include, exclude)
    single, only_name, moving = False, None, False
    _check_length(destination)
    if _is_dir(source) or (may_be_empty and isinstance(source, Remote) and not source.is_file()):
        if relative_name(destination, source) == ".":
            raise DataError(f"{source}: input and output are the same folder; choose another folder for the results")
        found = _folder_source(source, wanted, destination, may_be_empty)
    elif not (stat.S_ISREG(mode_of(source)) if isinstance(source, Path) else source.is_file()):
        found = "neither a file nor a folder" if isinstance(source, Path) and mode_of(source) else ""
        raise DataError(
            f"{source}: {found or 'no such file or folder'}; give a picture, a folder of pictures or a zip archive"
        )
    elif source.suffix.lower() == ".zip":
        found = ZipSource(source, wanted)
    elif is_video(source.name) or _is_picture(source):
        if include or exclude:
            raise ConfigError(f"{source}: a single file, so --include and --exclude have no effect; leave them out")
        single, found = True, _file_source(source)
        moving = _animated(found, *next(found.groups()))
        destination, only_name = _single_target(source, destination, output_format, moving, template)
    else:
        raise DataError(f"{source}: not a {PICTURES} file; give a picture, a folder of pictures or a zip archive")
    if only_name is None and isinstance(destination, Remote) and destination.suffix.lower() == ".zip":
        raise DataError(f"{destination}: cannot write archives to cloud storage; give a folder or a local .zip file")
    count, inside = 0, relative_name(source, destination)
    for items in found.groups():
        if inside is not None and not single:
            _check_inputs_are_safe(items, source, inside)
        count += len(items)
        moving = moving or any(is_video(item.name) for item in items)
    if not count and not may_be_empty:
        raise DataError(_nothing_found(source, include, exclude, found.left_out))
    log_folder = destination if isinstance(destination, Path) and destination.suffix.lower() != ".zip" else None
    plan = Plan(
        found,
        destination,
        output_format,
        count,
        remote=isinstance(source, Remote),
        single=single,
        only_name=only_name,
        moving=moving,
        others=dict(wanted.others),
        faults=FaultLog(log_folder),
    )
    _refuse_existing(plan.archive)
    return plan


def _is_picture(file: Location) -> bool:
    """Whether a file that the user has named is one, whatever its suffix."""
    if file.suffix.lower() in READABLE:
        return True
    return recognise(file.head() if isinstance(file, Remote) else head_of(file)) is not None


def _folder_source(folder: Location, wanted: NameFilter, destination: Location, may_be_empty: bool) -> Source:
    if isinstance(folder, Remote):
        from translate.conversion.cloud.folders import RemoteFolderSource

        return RemoteFolderSource(folder, wanted, without=destination if isinstance(destination, Remote) else None)
    without = destination if isinstance(destination, Path) else None
    return FolderSource(folder, wanted, without, may_be_empty=may_be_empty)


def _file_source(picture: Location) -> Source:
    if isinstance(picture, Remote):
        from translate.conversion.cloud.folders import RemoteFileSource

        return RemoteFileSource(picture)
    return FileSource(picture)


def _animated(source: Source, item: Item) -> bool:
    try:
        with source.load(item) as data:
            return count_frames(data) > 1
    except Exception:  # reported when it is converted
        return False


def _single_target(
    source: Location, destination: Location, output_format: OutputFormat, animated: bool, template: str
) -> tuple[Location, str | None]:
    """The folder and, if the user gave one, the name of the single result."""
    if not destination.suffix or _is_dir(destination):
        return destination, None
    suffix, video = destination.suffix.lower(), is_video(source.name)
    writable = VIDEO_OUTPUTS if video else WRITABLE | ({".gif"} if animated else set[str]())
    if suffix not in writable:
        known = ", ".join(sorted(writable))
        raise DataError(f"{destination}: cannot write {destination.suffix}; use one of {known}, or give a folder")
    if f".{output_format}" in writable and _format_of(suffix) != _format_of(f".{output_format}"):
        raise DataError(f"{destination}: its suffix contradicts --format {output_format}; omit one of them")
    if relative_name(destination, source) == ".":
        raise DataError(f"{source}: its result {destination} would overwrite an input; choose another name")
    if template != "{stem}":
        raise ConfigError(
            f"--name {template} has no effect, since the result is to be {destination.name}; omit one of them"
        )
    return destination.parent, destination.name


def _format_of(suffix: str) -> str:
    """The same for all suffixes of a format."""
    return next((one.name for one in FORMATS if suffix in one.suffixes), suffix)


def _check_inputs_are_safe(items: Sequence[Item], source: Location, inside: str) -> None:
    """Reject results that would land in the source: possible if it lies inside the destination and repeats its name."""
    for item in items:
        if item.name.startswith(f"{inside}/"):
            raise DataError(f"{source / item.name}: its result would overwrite an input; choose another folder")


def _is_dir(place: Location) -> bool:
    """As `is_dir`, but False for a name that cannot exist, which `Path` may raise an error for."""
    return stat.S_ISDIR(mode_of(place)) if isinstance(place, Path) else place.is_dir()


def _check_length(destination: Location) -> None:
    """Refuse a name for the result, or for its folder, that no file system takes."""
    for part in destination.parts if isinstance(destination, Path) else ():
        if allowed_name(part, windows=False) != part:
            raise DataError(f"{destination}: a name of more than {LONGEST} bytes; choose a shorter one")


def _nothing_found(
    source: Location, include: Sequence[str], exclude: Sequence[str], left_out: Mapping[str, str]
) -> str:
    if include or exclude:
        return f"{source}: no picture matches --include and --exclude; a star matches any part of a path"
    if left_out:
        name, reason = next(iter(left_out.items()))
        return f"{source}: no pictures but what is left out, such as {name}: {reason}"
    if isinstance(source, Remote):
        return f"{source}: no {PICTURES} files found; give a folder of pictures"
    files = 0
    if _is_dir(source):
        files = sum(name[0] != "." for _, _, names in os.walk(source) for name in names)
        if not files:
            return f"{source}: an empty folder; give a folder of pictures"
    return f"{source}: {files or 'its'} files, none of them {PICTURES}; give a folder of pictures"


def _refuse_existing(archive: Path | None) -> None:
    if archive is not None and archive.exists():
        raise DataError(f"{archive} already exists; remove it or choose another name")
