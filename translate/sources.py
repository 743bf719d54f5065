"""Where pictures come from: a folder, a single file, or a zip archive; in the cloud: `translate.remote`."""

import fnmatch
import os
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from translate.errors import DataError, ImageError
from translate.files import refuse_unlistable
from translate.images import READABLE
from translate.location import Location, modified_ns
from translate.naming import is_film

Chosen = Callable[[str], bool]
"""Whether the picture of a name (with slashes, below the source) is wanted."""

MOST_MEMBER_BYTES = 2 << 30
"""Of a member of an archive, unpacked; a larger one is a bomb or better unpacked by hand."""


@dataclass(frozen=True, slots=True)
class Item:
    """A picture that is there."""

    name: str
    """Below the source, with slashes."""
    size: int
    """In bytes."""
    modified_ns: int


class Source(Protocol):
    """Pictures, listed folder by folder, so that a million of them need not be in memory."""

    def groups(self) -> Iterator[list[Item]]:
        """The pictures of one folder after another, each sorted by name.

        Raises:
            DataError: a folder cannot be listed.
        """
        ...

    def load(self, item: Item) -> AbstractContextManager[Path | bytes]:
        """The file, or its bytes where it is none of the disk's, until the context ends.

        Raises:
            ImageError: it cannot be read; the message names it.
        """
        ...

    def title(self, name: str) -> str:
        """What it is called in messages."""
        ...


def picked(include: Sequence[str], exclude: Sequence[str]) -> Chosen:
    """Readable pictures whose names fit one of `include` (or there is none) and none of `exclude`; * fits slashes."""

    def wanted(name: str) -> bool:
        return (
            (PurePosixPath(name).suffix.lower() in READABLE or is_film(name))
            and (not include or any(fnmatch.fnmatchcase(name, pattern) for pattern in include))
            and not any(fnmatch.fnmatchcase(name, pattern) for pattern in exclude)
        )

    return wanted


class FolderSource:
    """A folder and its sub-folders; hidden files and links to folders are left out, and so is `without`."""

    def __init__(self, root: Path, wanted: Chosen, without: Path | None = None) -> None:
        self.root, self._wanted, self._without = root, wanted, without and without.resolve()

    def groups(self) -> Iterator[list[Item]]:
        """See `Source`."""
        for folder, below, names in os.walk(self.root, onerror=refuse_unlistable):
            below[:] = sorted(
                name for name in below if name[0] != "." and Path(folder, name).resolve() != self._without
            )
            relative = Path(folder).relative_to(self.root)
            visible = sorted(name for name in names if name[0] != ".")
            items = [self._item(relative / name) for name in visible if self._wanted((relative / name).as_posix())]
            if items:
                yield items

    def _item(self, name: Path) -> Item:
        try:
            found = (self.root / name).stat()
        except OSError:  # a dangling link, or gone since it was listed: reported when it is to be read
            return Item(name.as_posix(), 0, 0)
        return Item(name.as_posix(), found.st_size, found.st_mtime_ns)

    def load(self, item: Item) -> AbstractContextManager[Path | bytes]:
        """See `Source`."""
        return nullcontext(self.root / item.name)

    def title(self, name: str) -> str:
        """See `Source`."""
        return str(self.root / name)


class FileSource:
    """One picture."""

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
    """A zip archive, read member by member; nothing is unpacked to the disk.

    Raises:
        DataError: not a zip archive.
    """

    def __init__(self, path: Location, wanted: Chosen) -> None:
        self.path, self._wanted = path, wanted
        self._lock = threading.Lock()
        try:
            self._archive = zipfile.ZipFile(path if isinstance(path, Path) else path.open())
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: not a zip archive that can be read ({error}); pack it again") from None
        self._modified_ns = path.stat().st_mtime_ns if isinstance(path, Path) else modified_ns(path.info() or {})

    def __reduce__(self) -> tuple[type["ZipSource"], tuple[Location, Chosen]]:
        """Opened anew by another process."""
        return ZipSource, (self.path, self._wanted)

    def groups(self) -> Iterator[list[Item]]:
        """See `Source`; names that point outside are left to `load`, which refuses them."""
        folders: dict[str, list[Item]] = {}
        for member in self._archive.infolist():
            path = PurePosixPath(member.filename)
            hidden = any(part[0] == "." and part != ".." for part in path.parts) or "__MACOSX" in path.parts
            if not member.is_dir() and not hidden and self._wanted(member.filename):
                item = Item(member.filename, member.file_size, self._modified_ns)
                folders.setdefault(str(path.parent), []).append(item)
        for folder in sorted(folders):
            yield sorted(folders[folder], key=lambda item: item.name)

    def load(self, item: Item) -> AbstractContextManager[Path | bytes]:
        """See `Source`."""
        if item.size > MOST_MEMBER_BYTES:
            limit = f"{MOST_MEMBER_BYTES >> 30} GiB"
            raise ImageError(f"{self.title(item.name)}: has more than {limit}; unpack the archive first")
        try:
            with self._lock, self._archive.open(item.name) as member:
                return nullcontext(member.read(item.size + 1)[: item.size])
        except Exception as error:  # of damaged archives zipfile raises many things, stores raise others
            raise ImageError(f"{self.title(item.name)}: cannot be unpacked ({error}); pack it again") from None

    def title(self, name: str) -> str:
        """See `Source`."""
        return f"{self.path}/{name}"


def safe_name(name: str) -> bool:
    """Whether a name stays below the folder it is joined to, on every system."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and "\\" not in name and ":" not in parts[0] and ".." not in parts
