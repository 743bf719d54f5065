"""Sources of pictures: a folder, a single file or a zip archive. For cloud storage see
`translate.conversion.cloud.folders`."""

import fnmatch
import os
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from translate.conversion.location import Location, modified_ns
from translate.conversion.naming import is_video
from translate.errors import DataError, ImageError
from translate.files import refuse_unlistable
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


class Source(Protocol):
    """Pictures, listed folder by folder, so that a list of a million need not be kept in memory."""

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

    `*` also matches slashes, and case does not matter: cameras write .JPG.
    """

    others: Counter[str]
    """Suffix (lower case) -> how many files that match were neither pictures nor films."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include, self._exclude = ([pattern.casefold() for pattern in given] for given in (include, exclude))
        self.others = Counter()

    def __call__(self, name: str, head: Head) -> bool:
        """See `NameFilter`."""
        folded = name.casefold()
        if self._include and not any(fnmatch.fnmatchcase(folded, pattern) for pattern in self._include):
            return False
        if any(fnmatch.fnmatchcase(folded, pattern) for pattern in self._exclude):
            return False
        if is_video(name) or may_be_picture(name, head):
            return True
        self.others[PurePosixPath(name).suffix.lower()] += 1
        return False


class FolderSource:
    """A folder and its subfolders. Skips hidden files, symbolic links to folders, and the folder `without`."""

    def __init__(self, root: Path, wanted: NameFilter, without: Path | None = None) -> None:
        self.root, self._wanted, self._without = root, wanted, without and without.resolve()

    def groups(self) -> Iterator[list[Item]]:
        """See `Source`."""
        for folder, below, names in os.walk(self.root, onerror=refuse_unlistable):
            below[:] = sorted(
                name for name in below if name[0] != "." and Path(folder, name).resolve() != self._without
            )
            relative = Path(folder).relative_to(self.root)
            visible = sorted(name for name in names if name[0] != ".")
            items = [
                self._item(relative / name)
                for name in visible
                if self._wanted((relative / name).as_posix(), partial(head_of, Path(folder, name)))
            ]
            if items:
                yield items

    def _item(self, name: Path) -> Item:
        try:
            found = (self.root / name).stat()
        except OSError:  # a dangling link, or deleted since it was listed: reported when it is read
            return Item(name.as_posix(), 0, 0)
        return Item(name.as_posix(), found.st_size, found.st_mtime_ns)

    def load(self, item: Item) -> AbstractContextManager[Path | bytes]:
        """See `Source`."""
        return nullcontext(self.root / item.name)

    def title(self, name: str) -> str:
        """See `Source`."""
        return str(self.root / name)


class FileSource:
    """A single picture."""

    def __init__(self, path: Path) -> None:
        self.path = path

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

    Raises:
        DataError: not a zip archive.
    """

    def __init__(self, path: Location, wanted: NameFilter) -> None:
        self.path, self._wanted = path, wanted
        self._lock = threading.Lock()
        try:
            self._archive = zipfile.ZipFile(path if isinstance(path, Path) else path.open())
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: not a readable zip archive ({error}); pack it again") from None
        self._modified_ns = path.stat().st_mtime_ns if isinstance(path, Path) else modified_ns(path.info() or {})

    def __reduce__(self) -> tuple[type["ZipSource"], tuple[Location, NameFilter]]:
        """Other processes open the archive themselves."""
        return ZipSource, (self.path, self._wanted)

    def groups(self) -> Iterator[list[Item]]:
        """See `Source`. Names that point outside the archive are included; they are rejected when converted."""
        folders: dict[str, list[Item]] = {}
        for member in self._archive.infolist():
            path = PurePosixPath(member.filename)
            hidden = any(part[0] == "." and part != ".." for part in path.parts) or "__MACOSX" in path.parts
            if not member.is_dir() and not hidden and self._wanted(member.filename, partial(self._head, member)):
                item = Item(member.filename, member.file_size, self._modified_ns)
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
            with self._lock, self._archive.open(item.name) as member:
                return nullcontext(member.read(item.size + 1)[: item.size])
        except Exception as error:  # zipfile raises many kinds for damaged archives, storage libraries raise others
            raise ImageError(f"{self.title(item.name)}: cannot be unpacked ({error}); pack it again") from None

    def title(self, name: str) -> str:
        """See `Source`."""
        return f"{self.path}/{name}"


def is_safe_name(name: str) -> bool:
    """Whether a path joined to a folder stays inside it, on every operating system."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and "\\" not in name and ":" not in parts[0] and ".." not in parts
