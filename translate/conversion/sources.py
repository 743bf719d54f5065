"""Sources of pictures: a folder, a single file or a zip archive. For cloud storage see
`translate.conversion.cloud.folders`."""

import fnmatch
import os
import stat
import threading
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from translate.conversion.location import Location, modified_ns
from translate.conversion.naming import is_video, key_of
from translate.conversion.zip_names import member_name, open_archive
from translate.errors import DataError, ImageError
from translate.files import irregular, refuse_unlistable, walk
from translate.pictures.formats import HEAD_BYTES, head_of, may_be_picture

Head = Callable[[], bytes]
"""Reads the first bytes of a file, for `translate.pictures.formats.may_be_picture`; none if that is impossible."""

NameFilter = Callable[[str, Head], bool]
"""Decides by name (relative to the source, with forward slashes) and, where the name does not tell, by the first bytes
whether to convert a file."""

MAX_MEMBER_BYTES = 2 << 30
"""Maximum unpacked size of an archive member; a larger one may be a zip bomb, or is better unpacked by hand."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file in a source."""

    name: str
    """Path relative to the source, with forward slashes."""
    size: int
    """In bytes."""
    modified_ns: int
    fault: str = ""
    """Why it cannot be converted, if that shows when it is listed; or a traceback."""


class Source(Protocol):
    """Pictures, listed folder by folder, so that a list of a million need not be kept in memory."""

    @property
    def left_out(self) -> dict[str, str]:
        """What was found so far and is not used: name for messages -> reason."""
        ...

    def groups(self) -> Iterator[list[Item]]:
        """The pictures of one folder at a time, sorted by name.

        Raises:
            DataError: a folder cannot be listed.
        """
        ...

    def load(self, item: Item) -> AbstractContextManager[Path | bytes]:
        """The path of the file, or its bytes if it is not a file on disk; valid until the context ends.

        Raises:
            ImageError: it cannot be read; the message names it.
        """
        ...

    def title(self, name: str) -> str:
        """Name of a picture for messages."""
        ...


class PictureFilter:
    """Accepts pictures and films that match any of `include` (if given) and none of `exclude`; a `NameFilter`.

    `*` also matches slashes. Case does not matter, as cameras write .JPG, nor how an accent is stored.
    """

    others: Counter[str]
    """Suffix (lower case) -> how many files that match were neither pictures nor films."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include, self._exclude = ([key_of(pattern) for pattern in given] for given in (include, exclude))
        self.others = Counter()

    def __call__(self, name: str, head: Head) -> bool:
        """See `NameFilter`."""
        folded = key_of(name)
        if self._include and not any(fnmatch.fnmatchcase(folded, pattern) for pattern in self._include):
            return False
        if any(fnmatch.fnmatchcase(folded, pattern) for pattern in self._exclude):
            return False
        if is_video(name) or may_be_picture(name, head):
            return True
        self.others[PurePosixPath(name).suffix.lower()] += 1
        return False


class FolderSource:
    """A folder and its subfolders, as `translate.files.walk` finds them, without the folder `without`.

    `may_be_empty`: whether it is watched, so that pictures come and go.
    """

    def __init__(
        self, root: Path, wanted: NameFilter, without: Path | None = None, *, may_be_empty: bool = False
    ) -> None:
        self.root, self._wanted, self._without, self._may_be_empty = root, wanted, without, may_be_empty
        self.left_out: dict[str, str] = {}

    def groups(self) -> Iterator[list[Item]]:
        """See `Source`. A folder below that cannot be listed is an item by itself, with a fault."""
        locked: list[Item] = []

        def leave(path: Path, reason: str) -> None:
            self.left_out[str(path)] = reason

        def unlistable(error: OSError) -> None:
            folder = Path(error.filename)
            if folder == self.root:
                refuse_unlistable(error)
            fault = f"cannot be listed ({error.strerror}); check its permissions"
            locked.append(Item(folder.relative_to(self.root).as_posix(), 0, 0, fault))

        for folder, entries in walk(self.root, leave, without=self._without, unlistable=unlistable):
            relative = folder.relative_to(self.root).as_posix()
            items = [found for entry in entries if (found := self._item(relative, entry))]
            if items:
                yield items
        yield from ([item] for item in locked)

    def _item(self, folder: str, entry: os.DirEntry[str]) -> Item | None:
        name = entry.name if folder == "." else f"{folder}/{entry.name}"
        try:
            if not self._wanted(name, partial(head_of, Path(entry.path))):
                return None
            if kind := irregular(entry):
                self.left_out[entry.path] = f"{kind}, not a file"
                return None
            found = entry.stat()
        except OSError:  # a dangling link, or deleted since it was listed: reported when it is read
            return Item(name, 0, 0)
        except Exception:
            return Item(name, 0, 0, traceback.format_exc())
        return Item(name, found.st_size, found.st_mtime_ns)

    @contextmanager
    def load(self, item: Item) -> Generator[Path | bytes]:
        """See `Source`.

        Raises:
            DataError: not only this file is gone but the whole folder, as when its disk is disconnected.
        """
        try:
            yield self.root / item.name
        except ImageError:
            if _is_gone(self.root, self._may_be_empty):
                reason = "the folder is gone or empty now; bring it back, then run the same command again"
                raise DataError(f"{self.root}: {reason}") from None
            raise

    def title(self, name: str) -> str:
        """See `Source`."""
        return str(self.root / name)


def _is_gone(folder: Path, may_be_empty: bool) -> bool:
    """Whether a folder is missing or, unless it may be, empty: the mount point of a disk that was disconnected."""
    try:
        with os.scandir(folder) as found:
            return not may_be_empty and next(found, None) is None
    except OSError:
        return True


class FileSource:
    """A single picture."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_out: dict[str, str] = {}

    def groups(self) -> Iterator[list[Item]]:
        """See `Source`."""
        found = self.path.stat()
        yield [Item(self.path.name, found.st_size, found.st_mtime_ns)]

    def load(self, item: Item) -> AbstractContextManager[Path | bytes]:
        """See `Source`."""
        return nullcontext(self.path)

    def title(self, name: str) -> str:
        """See `Source`."""
        return str(self.path)


class ZipSource:
    """A zip archive, read member by member; nothing is unpacked to disk.

    Names are those that whoever packed it has meant, see `translate.conversion.zip_names`. Of members with one name the
    last counts, as it would if they were unpacked.

    Raises:
        DataError: not a zip archive.
    """

    def __init__(self, path: Location, wanted: NameFilter) -> None:
        self.path, self._wanted = path, wanted
        self._lock = threading.Lock()
        self.left_out: dict[str, str] = {}
        try:
            self._archive = open_archive(path) if isinstance(path, Path) else zipfile.ZipFile(path.open())
        except Exception as error:  # damage is found in many ways
            raise DataError(f"{path}: not a readable zip archive ({error}); pack it again") from None
        self._members = {name: member for member in self._archive.infolist() if (name := member_name(member))}
        self._modified_ns = path.stat().st_mtime_ns if isinstance(path, Path) else modified_ns(path.info() or {})

    def __reduce__(self) -> tuple[type["ZipSource"], tuple[Location, NameFilter]]:
        """Other processes open the archive themselves."""
        return ZipSource, (self.path, self._wanted)

    def groups(self) -> Iterator[list[Item]]:
        """See `Source`. Names that point outside the archive are included; they are rejected when converted."""
        folders: dict[str, list[Item]] = {}
        for name, member in self._members.items():
            path = PurePosixPath(name)
            hidden = any(part[0] == "." and part != ".." for part in path.parts) or "__MACOSX" in path.parts
            if hidden or not self._wanted(name, partial(self._head, member)):
                continue
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
                self.left_out[self.title(name)] = "a link or a device, not a file"
                continue
            item = Item(name, member.file_size, self._modified_ns)
            folders.setdefault(str(path.parent), []).append(item)
        for folder in sorted(folders):
            yield sorted(folders[folder], key=lambda item: item.name)

    def _head(self, member: zipfile.ZipInfo) -> bytes:
        try:
            with self._lock, self._archive.open(member) as file:
                return file.read(HEAD_BYTES)
        except Exception:  # as in `load`
            return b""

    def load(self, item: Item) -> AbstractContextManager[Path | bytes]:
        """See `Source`."""
        if item.size > MAX_MEMBER_BYTES:
            limit = f"{MAX_MEMBER_BYTES >> 30} GiB"
            raise ImageError(f"{self.title(item.name)}: larger than {limit}; unpack the archive first")
        try:
            with self._lock, self._archive.open(self._members[item.name]) as member:
                return nullcontext(member.read(item.size + 1)[: item.size])
        except Exception as error:  # zipfile raises many kinds for damaged archives, storage libraries raise others
            raise ImageError(f"{self.title(item.name)}: cannot be unpacked ({error}); pack it again") from None

    def title(self, name: str) -> str:
        """See `Source`."""
        return f"{self.path}/{name}"


def is_safe_name(name: str, *, windows: bool = os.name == "nt") -> bool:
    """Whether a path joined to a folder stays inside it."""
    parts = PurePosixPath(name).parts
    drive = windows and ("\\" in name or ":" in name)  # elsewhere characters like any other
    return bool(parts) and not name.startswith("/") and not drive and ".." not in parts
